"""Dovecot and we give a client the same answers; where not, the table says which and why."""

from collections.abc import Iterator

import pytest

from merpati.message.mime import scan
from merpati.message.sections import Kind, Section, resolve
from merpati.message.summary import summarise
from tests.message.cases import all_samples, message, mixed
from tests.message.dovecot import Dovecot
from tests.message.imap_grammar import Node, read

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot() as session:
        yield session


def folded(node: Node) -> Node:
    """Without regard to case: we write words of MIME in lower case, Dovecot as they stand."""
    if isinstance(node, list):
        return [folded(each) for each in node]
    return node.lower() if isinstance(node, bytes) else node


ITEMS = (b"ENVELOPE", b"BODY", b"BODYSTRUCTURE")


def ours(raw: bytes) -> list[Node]:
    summary = summarise(raw)
    return [folded(read(each)) for each in (summary.envelope, summary.body, summary.structure)]


# Left out: `broken` and `bare_lf` (below); `attachments` names its disposition's parameters in another order.
SAME = {name: raw for name, raw in all_samples().items() if name not in ("broken", "bare_lf", "attachments")}
SAME |= {
    "a group": message('To: A group: a@b, "C d" <c@d>;, x@y\nCc: undisclosed-recipients:;'),
    "no address": message("To: Foo <>\nCc: foo\nBcc: Foo Bar\nReply-To: a@\nSender: @b"),
    "a route": message("To: <@route,@r2:u@h>"),
    "a comment as name": message("From: a@b (Comment Name)\nTo: a (x) @ (y) b (z)"),
    "raw octets": message("Subject: b\xe9ta\nTo: b\xe9 <a@b>\nContent-Type: a/b; n=\xe9"),
    "empty sender": message('From: "Foo \\"B\\" Bar" <"john doe"@b.c>\nSender:\nSubject:'),
    "two fields of addresses": message("From: a@b\nFrom: c@d\nTo: x\nTo: y@z"),
    "a long subject": message("Subject: " + "x" * 2_000),
    "parameters": message("Content-Type: TEXT/Html; CharSet=UTF-8; format = flowed (c) ; x"),
    "two charsets": message("Content-Type: text/plain; charset=a; charset=b"),
    "no charset": message("Content-Type: text/html; format=flowed"),
    "two types": message("Content-Type: text/plain\nContent-Type: text/html"),
    "transfer encodings": message(
        "Content-Type: text/plain\nContent-Transfer-Encoding: foo bar\nContent-Transfer-Encoding: 8bit (c)"
    ),
    "a message": message("Content-Type: message/rfc822", "Subject: in\n\nhi\n"),
    "an empty message": message("Content-Type: message/rfc822", ""),
    "an international message": message("Content-Type: message/global", "Subject: in\n\nhi\n"),
    "a digest": mixed("\nSubject: in\n\nhi").replace(b"mixed", b"digest"),
    "never closed": mixed("\none", "\ntwo", end=""),
    "nothing inside": mixed("", "Content-type: text/html", ""),
    "prefixes": mixed("\n1\n --b", "\n2", end="--bXYZ\n\n3\n--b- \n\n4\n--b --\n"),
    "one boundary twice": mixed("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b--", "\n2"),
    "nested prefixes": mixed("Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n--bb--", "\n2"),
    "cut inside": mixed("Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx"),
    "a continued boundary": mixed("\n1", boundary="bc").replace(b"boundary=bc", b"boundary*0=b; boundary*1=c"),
    "two boundaries": mixed("\n1\n--c\n\n2", boundary="b").replace(b"boundary=b", b"boundary=b; boundary=c"),
}


@pytest.mark.parametrize("name", SAME)
def test_dovecot_describes_a_message_as_we_do(dovecot: Dovecot, name: str) -> None:
    raw = SAME[name]
    assert [folded(read(each)) for each in dovecot.fetch(raw, *ITEMS)] == ours(raw)


INNER = "Content-Type: multipart/mixed; boundary=c\n\n--c\n\n1"
DIFFERENT = [
    # what is different, the message, our answer, Dovecot's
    # the first of two is the one that Headers.get, and DMARC's From, go by; Dovecot shows the last
    ("two subjects", message("Subject: one\nSubject: two"), b'"one"', b'"two"'),
    # RFC 5322 section 2.2.3 takes the CRLF out and leaves the tab; Dovecot makes it a space
    ("a fold with a tab", message("Subject: a\n\tb"), b'"a\tb"', b"{3}\r\na b "),
    # NUL may stand in no IMAP string; Dovecot sends U+FFFD
    ("a NUL", message("Subject: a\0b"), b'"ab"', "{5}\r\na\ufffdb".encode()),
    # obsolete, yet RFC 5322 section 4.4 has it read
    ("spaces in an address", message("To: a . b @ c . d"), b'"a.b" "c.d"', b'"MISSING_MAILBOX" "MISSING_DOMAIN"'),
    # what stands before the last @ is not lost
    ("two at signs", message("To: a@b@c"), b'(NIL NIL "a@b" "c")', b'(NIL NIL "a" "b")'),
    # Outlook's separator
    ("semicolons", message("To: a@b;c@d"), b'(NIL NIL "c" "d")', b'((NIL NIL "a" "b")) '),
    # RFC 2045 section 5.2: no valid type is text/plain, and so is a multipart without a boundary
    ("no type", message("Content-Type: text"), b'("text" "plain" ("charset"', b'("text" "" ("charset"'),
    ("no boundary", message("Content-Type: multipart/mixed"), b'("text" "plain" ("charset"', b'"mixed" NIL'),
    # nothing of the mail is out of sight
    ("no part", message("Content-Type: multipart/mixed; boundary=b", "12"), b'"7bit" 2 0', b'"7bit" 0 0'),
    # as every mailer writes it
    ("a space in a name", message("Content-Type: a/b; name=My File.pdf"), b'"My File.pdf"', b'"My"'),
    # RFC 2231 section 6: continuations are joined; their parameter keeps its name
    ("an extended value", message("Content-Type: a/b; n*=utf-8''x; m*0=y"), b'"n*" "utf-8\'\'x" "m" "y"', b'"m"'),
    # RFC 2046 section 5.1.1: the CRLF before the outer delimiter is the delimiter's, behind an inner end mark too
    ("an inner end", mixed(f"Content-Type: message/rfc822\n\n{INNER}\n--c--"), b'NIL "7bit" 60 (', b'NIL "7bit" 62 ('),
    # RFC822.SIZE and BODY are the octets that were accepted; Dovecot counts each LF as CRLF
    ("bare LF", b"A: b\n\n1\n2\n", b'"7bit" 4 2', b'"7bit" 6 2'),
]  # fmt: skip


@pytest.mark.parametrize(("what", "raw", "our", "their"), DIFFERENT)
def test_where_dovecot_answers_otherwise_it_is_known(
    dovecot: Dovecot, what: str, raw: bytes, our: bytes, their: bytes
) -> None:
    summary = summarise(raw)
    mine = b" ".join((summary.envelope, summary.structure))
    dovecots = b" ".join(dovecot.fetch(raw, b"ENVELOPE", b"BODYSTRUCTURE"))
    assert our in mine
    assert their in dovecots
    assert mine != dovecots


PARTS = [(), (1,), (2,), (3,), (4,), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (3, 1, 1)]
SECTIONS = [Section(part, kind) for part in PARTS for kind in (Kind.ALL, Kind.HEADER, Kind.TEXT, Kind.MIME)]
SECTIONS += [
    Section(part, kind, (b"Subject", b"CONTENT-type", b"none"))
    for part in PARTS
    for kind in (Kind.HEADER_FIELDS, Kind.HEADER_FIELDS_NOT)
]


def written(section: Section) -> bytes:
    fields = b" (%b)" % b" ".join(section.fields) if section.fields else b""
    return (
        b".".join([*(b"%d" % number for number in section.part), *filter(None, [section.kind.value.encode()])]) + fields
    )


@pytest.mark.parametrize("name", ["plain", "alternative", "attachments", "forwarded", "report", "signed", "utf8"])
def test_dovecot_gives_the_same_octets_for_a_section(dovecot: Dovecot, name: str) -> None:
    raw = all_samples()[name]
    root = scan(raw)
    sections = [each for each in SECTIONS if each.part or each.kind is not Kind.MIME]
    answers = dovecot.fetch(raw, *(b"BODY.PEEK[%b]" % written(each) for each in sections))
    compared = 0
    for section, answer in zip(sections, answers, strict=True):
        octets = resolve(raw, root, section)
        theirs = read(answer) or b""
        if octets is None:
            # Dovecot takes 1.1 of a leaf for the leaf; all else that is not there is empty or NIL in both.
            assert theirs == b"" or section.part[-1] == 1
            continue
        compared += 1
        assert bytes(octets) == theirs, written(section)
    assert compared >= 7
