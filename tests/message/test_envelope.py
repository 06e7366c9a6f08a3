"""ENVELOPE: RFC 3501's example, its rules, and headers that break every rule."""

import pytest

from merpati.message.envelope import MAX_QUOTED, nstring, render_envelope, string
from merpati.message.headers import split_headers
from tests.message.cases import crlf


def envelope(fields: str) -> bytes:
    raw = crlf(f"{fields}\n\nbody")
    return render_envelope(raw, split_headers(raw)[0])


STRINGS = [
    (b"", b'""'),
    (b"plain", b'"plain"'),
    (b'a "b" \\c', b'"a \\"b\\" \\\\c"'),
    (b"tab\there", b'"tab\there"'),
    (b"caf\xc3\xa9", b"{5}\r\ncaf\xc3\xa9"),
    (b"\xff", b"{1}\r\n\xff"),
    (b"a\0b", b'"ab"'),
    (b"a\r\n b", b'"a b"'),
    (b"\0\xff\r", b"{1}\r\n\xff"),
    (b"x" * MAX_QUOTED, b'"' + b"x" * MAX_QUOTED + b'"'),
    (b"x" * (MAX_QUOTED + 1), b"{%d}\r\n" % (MAX_QUOTED + 1) + b"x" * (MAX_QUOTED + 1)),
    (b'"' * (MAX_QUOTED + 1), b"{%d}\r\n" % (MAX_QUOTED + 1) + b'"' * (MAX_QUOTED + 1)),
]


@pytest.mark.parametrize(("value", "rendered"), STRINGS, ids=lambda value: repr(value[:20]))
def test_a_value_is_a_quoted_string_or_a_literal(value: bytes, rendered: bytes) -> None:
    assert string(value) == rendered
    assert nstring(value) == rendered


def test_no_value_is_nil() -> None:
    assert nstring(None) == b"NIL"


# RFC 3501 section 8
RFC_3501_HEADER = """Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII"""
RFC_3501_ENVELOPE = (
    b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) '
    b'(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) '
    b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL '
    b'"<B27397-0100000@cac.washington.edu>")'
)

A = b'((NIL NIL "a" "b"))'
C = b'((NIL NIL "c" "d"))'
AC = b'((NIL NIL "a" "b")(NIL NIL "c" "d"))'
GROUP = b'((NIL NIL "g" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)(NIL NIL "c" "d"))'

ENVELOPES = [
    (RFC_3501_HEADER, RFC_3501_ENVELOPE),
    ("X: nothing", b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
    ("From: a@b", b"(NIL NIL %b %b %b NIL NIL NIL NIL NIL)" % (A, A, A)),
    # RFC 3501 section 7.4.2: absent or empty Sender and Reply-To are From
    ("From: a@b\nSender:\nReply-To: c@d", b"(NIL NIL %b %b %b NIL NIL NIL NIL NIL)" % (A, A, C)),
    ("Sender: c@d", b"(NIL NIL NIL %b NIL NIL NIL NIL NIL NIL)" % C),
    # present and empty is not absent, but an address list is NIL for both
    ("Subject:\nTo:", b'(NIL "" NIL NIL NIL NIL NIL NIL NIL NIL)'),
    ("To: g:;", b'(NIL NIL NIL NIL NIL ((NIL NIL "g" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)'),
    ("To: g: a@b;, c@d", b"(NIL NIL NIL NIL NIL %b NIL NIL NIL NIL)" % GROUP),
    ("To: <@r,@s:a@b>", b'(NIL NIL NIL NIL NIL ((NIL "@r,@s" "a" "b")) NIL NIL NIL NIL)'),
    ("Bcc: a@b\nCc: c@d", b"(NIL NIL NIL NIL NIL NIL %b %b NIL NIL)" % (C, A)),
    ("In-Reply-To: <a@b>\n <c@d>", b'(NIL NIL NIL NIL NIL NIL NIL NIL "<a@b> <c@d>" NIL)'),
    # two of a kind: the first text, all addresses
    ("Subject: 1\nSubject: 2\nTo: a@b\nTo: c@d", b'(NIL "1" NIL NIL NIL %b NIL NIL NIL NIL)' % AC),
    ("From: a@b\nFrom: c@d", b"(NIL NIL %b %b %b NIL NIL NIL NIL NIL)" % (AC, AC, AC)),
    # raw octets travel as they are, encoded words stay encoded
    ("Subject: caf\xe9", b"(NIL {4}\r\ncaf\xe9 NIL NIL NIL NIL NIL NIL NIL NIL)"),
    ("Subject: =?utf-8?q?x?=", b'(NIL "=?utf-8?q?x?=" NIL NIL NIL NIL NIL NIL NIL NIL)'),
    ("From: b\xe9 <a@b>\nSender: c@d\nReply-To: c@d",
     b"(NIL NIL (({2}\r\nb\xe9 NIL \"a\" \"b\")) %b %b NIL NIL NIL NIL NIL)" % (C, C)),
    ("Subject: a\0b\rc", b'(NIL "abc" NIL NIL NIL NIL NIL NIL NIL NIL)'),
    ("To: foo", b'(NIL NIL NIL NIL NIL ((NIL NIL "foo" "MISSING_DOMAIN")) NIL NIL NIL NIL)'),
    # C3
    ("Date: 1 Jan " + "9" * 5_000, b"({%d}\r\n1 Jan %b NIL NIL NIL NIL NIL NIL NIL NIL NIL)" % (5_006, b"9" * 5_000)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "rendered"), ENVELOPES, ids=lambda value: repr(value[:30]))
def test_an_envelope_is_rendered(fields: str, rendered: bytes) -> None:
    assert envelope(fields) == rendered
