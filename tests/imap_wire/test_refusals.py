"""Tables of what is no command, and what is said of it."""

from __future__ import annotations

import pytest

from access.imap.wire.commands import Noop
from access.imap.wire.events import Bad, Command
from access.imap.wire.limits import AFTER_LOGIN
from tests.imap_wire.talk import events, refusal

BAD: list[tuple[bytes, str]] = [
    (b"NOOP x", "an argument too many"),
    (b"NOOP\t", "a TAB is no space"),
    (b"LOGIN a", "no password"),
    (b"LOGIN  a b", "two spaces"),
    (b"LOGIN (a) b", "a list is no string"),
    (b'LOGIN "a b', "an open quote"),
    (b'LOGIN "a" "b"c', "something behind a quote"),
    (b'LOGIN "a\0" b', "NUL"),
    (b'LOGIN a "b\rc"', "CR in a quoted string"),
    (b'LOGIN a "\xc3\xa9"', "8-bit in a quoted string"),
    (b"LOGIN \xc3\xa9 b", "8-bit in an atom"),
    (b'LOGIN a "b\\c"', "a backslash before a letter"),
    (b"LOGIN {1+}\r\n\xff b", "a user name that is no UTF-8"),
    (b"LOGIN {1+}\r\n\0 b", "NUL in a literal"),
    (b"LOGIN ~{1+}\r\na b", "a literal8 where none may be"),
    (b"LOGIN {-1} b", "a negative literal"),
    (b"LOGIN {1e9}", "a size that is no number"),
    (b"LOGIN {070}", "a size with a leading zero"),
    (b"LOGIN {}", "a size of nothing"),
    (b"LOGIN {5}x y", "a literal in the middle of a line"),
    (b"AUTHENTICATE PLAIN ****", "no base64"),
    (b"AUTHENTICATE PLAIN YQ", "base64 without padding"),
    (b"AUTHENTICATE PLAIN a b", "two initial responses"),
    (b"AUTHENTICATE", "no mechanism"),
    (b"ENABLE", "nothing to enable"),
    (b"ID", "no list"),
    (b'ID ("a")', "half a pair"),
    (b"ID (" + b" ".join([b'"a" NIL'] * 31) + b")", "31 fields"),
    (b'ID ("a" "%s")' % (b"x" * 1025), "a long value"),
    (b'SELECT "x" (FOO)', "an unknown parameter"),
    (b"SELECT x (QRESYNC 7)", "QRESYNC without its list"),
    (b"SELECT x (QRESYNC (0 20))", "UIDVALIDITY 0"),
    (b"SELECT x (QRESYNC (7 9223372036854775808))", "64 bits of MODSEQ"),
    (b"SELECT x ()", "empty parameters"),
    (b"CREATE x (USE \\Sent)", "USE without its list"),
    (b"RENAME a", "one name"),
    (b"RENAME a b c", "three names"),
    (b"LIST", "no arguments"),
    (b'LIST ""', "no pattern"),
    (b'LIST (RECURSIVEMATCH) "" *', "RECURSIVEMATCH alone"),
    (b'LIST (FOO) "" *', "an unknown selection option"),
    (b'LIST "" * RETURN (FOO)', "an unknown return option"),
    (b'LIST "" ()', "no patterns"),
    (b'LIST "" "*" (', "an open list"),
    (b"STATUS x MESSAGES", "no list"),
    (b"STATUS x (FOO)", "an unknown item"),
    (b"STATUS x (MESSAGES", "an open list"),
    (b"STATUS x (MESSAGES  UNSEEN)", "two spaces"),
    (b"APPEND x", "no message"),
    (b'APPEND x "hello"', "a quoted message"),
    (b"APPEND x (\\Recent) {1+}\r\na", "\\Recent"),
    (b"APPEND x (\\Foo) {1+}\r\na", "an unknown system flag"),
    (b"APPEND x (a  b) {1+}\r\na", "an empty flag"),
    (b"APPEND x (\\*) {1+}\r\na", "\\*"),
    (b'APPEND x "31-Feb-2000 00:00:00 +0000" {1+}\r\na', "31 February"),
    (b'APPEND x "1-Jan-2000 00:00:00 +0000" {1+}\r\na', "a day in one place"),
    (b'APPEND x " 1-Foo-2000 00:00:00 +0000" {1+}\r\na', "no month"),
    (b'APPEND x " 1-Jan-2000 24:00:00 +0000" {1+}\r\na', "hour 24"),
    (b'APPEND x " 1-Jan-0000 00:00:00 +0000" {1+}\r\na', "year 0"),
    (b"APPEND x UTF8 (~{1+}\r\na)", "UTF8 that is not enabled"),
    (b"APPEND x {1+}\r\na {1+}\r\nb)", "something behind the message"),
    (b"UID EXPUNGE", "no set"),
    (b"EXPUNGE 1", "a set without UID"),
    (b"COPY 0 x", "message 0"),
    (b"COPY 1, x", "an empty range"),
    (b"COPY 1:2:3 x", "two colons"),
    (b"COPY 4294967296 x", "33 bits"),
    (b"COPY 1:4294967296 x", "33 bits at the end"),
    (b"COPY a x", "letters"),
    (b"COPY $,1 x", "$ in a set"),
    (b"COPY *:*:* x", "stars"),
    (b"COPY *1 x", "a star with a number"),
    (b"STORE 1 FLAGS", "no flags"),
    (b"STORE 1 FLAGSX (a)", "an unknown action"),
    (b"STORE 1 +FLAGS (\\Seen) x", "something behind the flags"),
    (b"STORE 1 +FLAGS \\", "no flag"),
    (b"STORE 1 (CHANGEDSINCE 1) FLAGS (a)", "an unknown modifier"),
    (b"FETCH 1", "no item"),
    (b"FETCH 1 FOO", "an unknown item"),
    (b"FETCH 1 (ALL)", "a macro in a list"),
    (b"FETCH 1 ()", "an empty list"),
    (b"FETCH 1 (FLAGS", "an open list"),
    (b"FETCH 1 BODY[", "an open section"),
    (b"FETCH 1 BODY[0]", "part 0"),
    (b"FETCH 1 BODY[1.]", "a dot too many"),
    (b"FETCH 1 BODY[MIME]", "MIME of the message"),
    (b"FETCH 1 BODY[HEADER.FIELDS]", "no fields"),
    (b"FETCH 1 BODY[HEADER.FIELDS ()]", "empty fields"),
    (b"FETCH 1 BODY[HEADERS]", "an unknown section"),
    (b"FETCH 1 BODY[]<0>", "half a partial"),
    (b"FETCH 1 BODY[]<0.0>", "a partial of nothing"),
    (b"FETCH 1 BODY[]<-1.5>", "a negative partial"),
    (b"FETCH 1 FLAGS[]", "a section of an item that has none"),
    (b"FETCH 1 BINARY[1.TEXT]", "BINARY of a text"),
    (b"FETCH 1 FLAGS (VANISHED)", "VANISHED without UID"),
    (b"UID FETCH 1 FLAGS (VANISHED)", "VANISHED without CHANGEDSINCE"),
    (b"FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)", "a modifier twice"),
    (b"SEARCH", "no key"),
    (b"SEARCH FOO", "an unknown key"),
    (b"SEARCH ()", "an empty list"),
    (b"SEARCH (SEEN", "an open list"),
    (b"SEARCH SEEN)", "a parenthesis too many"),
    (b"SEARCH NOT", "NOT of nothing"),
    (b"SEARCH OR SEEN", "half an OR"),
    (b"SEARCH SINCE 30-Feb-2000", "30 February"),
    (b'SEARCH SINCE "1-Jan-2000', "an open quote"),
    (b"SEARCH OLDER 0", "OLDER 0"),
    (b"SEARCH EMAILID %s" % (b"x" * 256), "a long object id"),
    (b"SEARCH RETURN (FOO) ALL", "an unknown return option"),
    (b"SEARCH HEADER From", "half a HEADER"),
    (b"SORT DATE UTF-8 ALL", "no list"),
    (b"SORT () UTF-8 ALL", "an empty order"),
    (b"SORT (REVERSE) UTF-8 ALL", "REVERSE of nothing"),
    (b"SORT (DATE) UTF-8", "no key"),
    (b"THREAD FOO UTF-8 ALL", "an unknown algorithm"),
    (b"GETMETADATA x comment", "an entry without its scope"),
    (b"GETMETADATA x /private/a%", "a wildcard in an entry"),
    (b"GETMETADATA (DEPTH 2) x /private/a", "DEPTH 2"),
    (b"SETMETADATA x (/private/a)", "half a pair"),
    (b"SETMETADATA x ()", "nothing to set"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_what_is_no_command_is_bad(text: bytes, reason: str) -> None:
    refused = refusal(text)
    assert (refused.tag, refused.status) == (b"a", b"BAD"), reason
    assert refused.line.startswith(b"a BAD ")
    assert refused.line.count(b"\r\n") == 1


NO: list[tuple[bytes, bytes, str]] = [
    (b"SELECT &", b"CANNOT", "an unfinished shift"),
    (b"SELECT &AGE-", b"CANNOT", "ASCII in base64"),
    (b"SELECT &2AA-", b"CANNOT", "a lone surrogate"),
    (b"SELECT &Jjo", b"CANNOT", "a shift without its end"),
    (b"SELECT &AOl-", b"CANNOT", "bits left over"),
    (b"SELECT &AOk-&AOk-", b"CANNOT", "two shifts that are one"),
    (b"SELECT {1+}\r\n\n", b"CANNOT", "LF in a name"),
    (b"SELECT {1+}\r\n\x7f", b"CANNOT", "DEL in a name"),
    (b"SELECT {2+}\r\n\xc3\xa9", b"CANNOT", "UTF-8 that is not enabled"),
    (b"CREATE &AAAAAA-", b"CANNOT", "NUL in base64"),
    (b"CREATE &AA0ACg-", b"CANNOT", "CR LF in base64"),
    (b"CREATE {1001+}\r\n" + b"x" * 1001, b"CANNOT", "a long name"),
    (b"RENAME a &", b"CANNOT", "the second name"),
    (b'LIST "" &', b"CANNOT", "a pattern"),
    (b"SEARCH CHARSET X-FOO ALL", b"BADCHARSET (US-ASCII UTF-8)", "an unknown character set"),
    (b"SEARCH CHARSET zlib ALL", b"BADCHARSET (US-ASCII UTF-8)", "a codec of Python's that is no character set"),
    (
        b"SEARCH CHARSET UTF-8 TEXT {1+}\r\n\xff",
        b"BADCHARSET (US-ASCII UTF-8)",
        "text that is not in its character set",
    ),
    (b"SORT (DATE) UTF-7 ALL", b"BADCHARSET (US-ASCII UTF-8)", "UTF-7"),
]


@pytest.mark.parametrize(("text", "code", "reason"), NO)
def test_what_is_a_command_but_cannot_be_done_is_no(text: bytes, code: bytes, reason: str) -> None:
    refused = refusal(text)
    assert (refused.status, refused.code) == (b"NO", code), reason


UNTAGGED: list[tuple[bytes, str]] = [
    (b"* OK", "a server's tag"),
    (b"+ idling", "a continuation"),
    (b"a+b NOOP", "plus in a tag"),
    (b"\0 NOOP", "NUL as a tag"),
    (b"\xe9 NOOP", "an 8-bit tag"),
    (b" NOOP", "no tag"),
    (b"(a NOOP", "a parenthesis in a tag"),
    (b"a" * 256 + b" NOOP", "a long tag"),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "a TLS hello"),
]


@pytest.mark.parametrize(("line", "reason"), UNTAGGED)
def test_what_has_no_tag_is_refused_without_one(line: bytes, reason: str) -> None:
    found = events(line + b"\r\n")
    assert len(found) == 1
    assert isinstance(found[0], Bad)
    assert found[0].tag == b"*", reason


@pytest.mark.parametrize("line", [b"a", b"a ", b"a (NOOP)", b"GET / HTTP/1.1", b"a N\0OP"])
def test_what_has_a_tag_and_no_command_is_refused_with_the_tag(line: bytes) -> None:
    (refused,) = events(line + b"\r\n")
    assert isinstance(refused, Bad)
    assert refused.tag == line.split(b" ")[0]


LIMITED: list[tuple[bytes, str]] = [
    (b"SEARCH " + b"(" * 200 + b"ALL" + b")" * 200, "nested parentheses"),
    (b"SEARCH " + b"NOT " * 200 + b"ALL", "nested NOTs"),
    (b"SEARCH " + b"OR ALL " * 200 + b"ALL", "nested ORs"),
    (b"SEARCH" + b" SEEN" * 2001, "many keys"),
    (b"FETCH 1 BODY[" + b".".join([b"1"] * 101) + b"]", "a deep part"),
    (b"FETCH 1 (" + b" ".join(b"BODY[%d]" % part for part in range(1, 66)) + b")", "many items"),
    (b"FETCH 1 BODY[HEADER.FIELDS (" + b" ".join([b"x"] * 1001) + b")]", "many header names"),
    (b"STORE 1 FLAGS (" + b" ".join(b"k%d" % number for number in range(1001)) + b")", "many flags"),
    (b"COPY " + b",".join(b"%d" % number for number in range(1, 40_001, 2))[:65_000].rstrip(b",") + b" x", "ranges"),
    (b'LIST "" (' + b" ".join([b"x"] * 1001) + b")", "many patterns"),
]


@pytest.mark.parametrize(("text", "reason"), LIMITED)
def test_what_is_longer_than_its_limit_is_refused_by_the_name_of_it(text: bytes, reason: str) -> None:
    from msgspec.structs import replace

    limits = replace(AFTER_LOGIN, max_ranges=8192)
    refused = refusal(text, limits=limits)
    assert refused.code == b"LIMIT", reason


def test_the_stream_is_in_step_after_every_refusal() -> None:
    for text, reason in BAD + [(text, reason) for text, _, reason in NO] + LIMITED:
        found = events(b"a " + text + b"\r\nb NOOP\r\n")
        assert found[-1] == Command(b"b", Noop()), reason
