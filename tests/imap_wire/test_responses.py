"""What is written: strings, dates, response lines and codes."""

from __future__ import annotations

import imaplib
import re
from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.imap.wire import codes, render, responses
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.grammar.flags import date_time
from access.imap.wire.limits import AFTER_LOGIN
from access.imap.wire.sequence import set_of
from merpati.mailbox.types import ModSeq, SeqNum, Uid, UidValidity


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"", b'""'),
        (b"abc", b"abc"),
        (b"a b", b'"a b"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        (b"NIL", b'"NIL"'),
        (b"nil", b'"nil"'),
        (b"a]", b"a]"),
        (b"a*", b'"a*"'),
        (b"{5}", b'"{5}"'),
        (b"(", b'"("'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xc3\xa9", b"{2}\r\n\xc3\xa9"),
        (b"a\0", b"~{2}\r\na\0"),
        (b"x " * 501, b"{1002}\r\n" + b"x " * 501),
    ],
)
def test_a_string_is_written_in_the_shortest_form_that_the_grammar_allows(value: bytes, wanted: bytes) -> None:
    assert render.astring(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(b"\xc3\xa9", b'"\xc3\xa9"'), (b"\xff", b"{1}\r\n\xff"), (b"a\n\xc3\xa9", b"{4}\r\na\n\xc3\xa9")],
)
def test_utf8_is_quoted_once_it_is_enabled_and_other_8_bit_bytes_never(value: bytes, wanted: bytes) -> None:
    assert render.string(value, utf8=True) == wanted


@given(st.binary(max_size=40), st.booleans())
def test_every_string_is_read_back_as_it_was(value: bytes, utf8: bool) -> None:
    written = render.string(value, utf8=utf8)
    literal = re.match(rb"(~?)\{(\d+)\}\r\n(.*)\Z", written, re.DOTALL)
    if literal:
        cursor = Cursor([written.split(b"\r\n")[0], b""], [literal[3]], 0, AFTER_LOGIN, utf8=utf8)
        assert len(literal[3]) == int(literal[2])
    else:
        assert not re.search(rb"[\r\n\0]", written)
        cursor = Cursor([written], [], 0, AFTER_LOGIN, utf8=utf8)
    assert cursor.string(binary=True) == value
    assert cursor.at_end()


def test_nothing_is_nil() -> None:
    assert render.nstring(None) == b"NIL"
    assert render.nstring(b"NIL") == b'"NIL"'


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (837596665, b'"17-Jul-1996 09:44:25 +0000"'),
        (951782400, b'"29-Feb-2000 00:00:00 +0000"'),
        (253402300799, b'"31-Dec-9999 23:59:59 +0000"'),
    ],
)
def test_a_date_is_written_in_utc(at: int, wanted: bytes) -> None:
    assert render.internal_date(at) == wanted


@given(st.integers(0, 253402300799))
def test_every_date_is_read_back_as_it_was(at: int) -> None:
    written = render.internal_date(at)
    assert date_time(Cursor([written], [], 0, AFTER_LOGIN, utf8=False)) == at
    parsed = imaplib.Internaldate2tuple(b"INTERNALDATE " + written) if at < 2**31 else None
    if parsed is not None:
        from time import mktime

        assert mktime(parsed) == at


def test_a_leap_second_and_an_offset_are_read() -> None:
    cursor = Cursor([b'"31-Dec-2016 23:59:60 +0130"'], [], 0, AFTER_LOGIN, utf8=False)
    assert date_time(cursor) == timegm((2017, 1, 1, 0, 0, 0, 0, 0, 0)) - 5400


LINES: list[tuple[bytes, bytes]] = [
    (responses.tagged(b"a1", b"OK", "done"), b"a1 OK done\r\n"),
    (responses.tagged(b"a1", b"OK", "done", codes.READ_WRITE), b"a1 OK [READ-WRITE] done\r\n"),
    (responses.ok("hi", codes.capability(["IMAP4rev1", "ID"])), b"* OK [CAPABILITY IMAP4rev1 ID] hi\r\n"),
    (responses.no("careful", codes.ALERT), b"* NO [ALERT] careful\r\n"),
    (responses.bye("so long"), b"* BYE so long\r\n"),
    (responses.bye("so\r\na OK\0 long\té"), b"* BYE so  a OK  long ?\r\n"),
    (responses.continuation("idling"), b"+ idling\r\n"),
    (responses.continuation(""), b"+ \r\n"),
    (responses.capability(["IMAP4rev1", "IDLE"]), b"* CAPABILITY IMAP4rev1 IDLE\r\n"),
    (responses.enabled(["CONDSTORE"]), b"* ENABLED CONDSTORE\r\n"),
    (responses.enabled([]), b"* ENABLED\r\n"),
    (responses.identity({"name": "Merpati", "os": None}), b'* ID ("name" "Merpati" "os" NIL)\r\n'),
    (responses.identity(None), b"* ID NIL\r\n"),
    (responses.exists(3), b"* 3 EXISTS\r\n"),
    (responses.recent(0), b"* 0 RECENT\r\n"),
    (responses.expunge(SeqNum(4)), b"* 4 EXPUNGE\r\n"),
    (responses.vanished(set_of([1, 2, 3, 7])), b"* VANISHED 1:3,7\r\n"),
    (responses.vanished(set_of([5]), earlier=True), b"* VANISHED (EARLIER) 5\r\n"),
    (responses.flags(["\\Seen", "$Junk"]), b"* FLAGS (\\Seen $Junk)\r\n"),
    (responses.fetch(SeqNum(2), [b"UID", b"5", b"FLAGS", b"()"]), b"* 2 FETCH (UID 5 FLAGS ())\r\n"),
    (responses.search([]), b"* SEARCH\r\n"),
    (responses.search([2, 84]), b"* SEARCH 2 84\r\n"),
    (responses.search([2], ModSeq(917)), b"* SEARCH 2 (MODSEQ 917)\r\n"),
    (responses.sort([5, 3]), b"* SORT 5 3\r\n"),
    (responses.thread(b"(2)(3 6)"), b"* THREAD (2)(3 6)\r\n"),
    (responses.thread(b""), b"* THREAD\r\n"),
    (responses.esearch(b"a2", uid=True, results=[("COUNT", b"2")]), b'* ESEARCH (TAG "a2") UID COUNT 2\r\n'),
    (responses.esearch(b'a"', uid=False, results=[]), b'* ESEARCH (TAG "a\\"")\r\n'),
    (responses.list_line("été", ["\\HasNoChildren"]), b'* LIST (\\HasNoChildren) "/" &AOk-t&AOk-\r\n'),
    (responses.list_line("a b", [], word=b"LSUB"), b'* LSUB () "/" "a b"\r\n'),
    (responses.list_line("é", [], utf8=True), b'* LIST () "/" "\xc3\xa9"\r\n'),
    (responses.list_line("", ["\\Noselect"], separator="/"), b'* LIST (\\Noselect) "/" ""\r\n'),
    (responses.list_line("a", [], separator=None), b"* LIST () NIL a\r\n"),
    (
        responses.list_line("a", ["\\NonExistent"], child_info=["SUBSCRIBED"]),
        b'* LIST (\\NonExistent) "/" a ("CHILDINFO" ("SUBSCRIBED"))\r\n',
    ),
    (
        responses.status("INBOX", [("MESSAGES", 2), ("MAILBOXID", "F1"), ("APPENDLIMIT", None)]),
        b"* STATUS INBOX (MESSAGES 2 MAILBOXID (F1) APPENDLIMIT NIL)\r\n",
    ),
    (responses.namespace(), b'* NAMESPACE (("" "/")) NIL NIL\r\n'),
    (responses.quota("", [("STORAGE", 10, 512)]), b'* QUOTA "" (STORAGE 10 512)\r\n'),
    (responses.quota_root("INBOX", ["", "x"]), b'* QUOTAROOT INBOX "" x\r\n'),
    (
        responses.metadata("", [("/shared/comment", b"hi"), ("/private/x", None)]),
        b'* METADATA "" (/shared/comment "hi" /private/x NIL)\r\n',
    ),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_a_response_is_written_as_the_grammar_has_it(line: bytes, wanted: bytes) -> None:
    assert line == wanted


CODES: list[tuple[bytes, bytes]] = [
    (codes.permanent_flags(["\\Seen"], keywords=True), b"PERMANENTFLAGS (\\Seen \\*)"),
    (codes.permanent_flags([], keywords=False), b"PERMANENTFLAGS ()"),
    (codes.uid_validity(UidValidity(7)), b"UIDVALIDITY 7"),
    (codes.uid_next(Uid(8)), b"UIDNEXT 8"),
    (codes.unseen(3), b"UNSEEN 3"),
    (codes.highest_modseq(ModSeq(9)), b"HIGHESTMODSEQ 9"),
    (codes.modified(set_of([7, 9])), b"MODIFIED 7,9"),
    (codes.append_uid(UidValidity(7), set_of([3, 4])), b"APPENDUID 7 3:4"),
    (codes.copy_uid(UidValidity(7), set_of([1, 5]), set_of([3, 4])), b"COPYUID 7 1,5 3:4"),
    (codes.mailbox_id("F1"), b"MAILBOXID (F1)"),
    (codes.append_limit(5), b"APPENDLIMIT 5"),
    (codes.metadata_long_entries(5), b"METADATA LONGENTRIES 5"),
    (codes.metadata_max_size(5), b"METADATA MAXSIZE 5"),
]


@pytest.mark.parametrize(("code", "wanted"), CODES)
def test_a_code_is_written_as_the_grammar_has_it(code: bytes, wanted: bytes) -> None:
    assert code == wanted
