"""BODY and BODYSTRUCTURE: the RFCs' examples and rules, and a whole sample."""

import pytest

from merpati.message import structure
from merpati.message.mime import scan
from merpati.message.structure import render_structure
from tests.message.cases import crlf, message, mixed, sample


def both(raw: bytes) -> tuple[bytes, bytes]:
    return render_structure(raw, scan(raw))


TEXT = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" %d %d'
X = TEXT % (1, 0) + b")"
X_EXTENDED = TEXT % (1, 0) + b" NIL NIL NIL NIL)"
NOTHING = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

SINGLE = [
    # raw, BODY, what BODYSTRUCTURE adds at its end
    (message("X: y", "x\ny\n"), TEXT % (6, 2), b" NIL NIL NIL NIL"),
    (message("Content-Type: text/html; format=flowed", "x"),
     b'("text" "html" ("format" "flowed" "charset" "us-ascii") NIL NIL "7bit" 1 0', b" NIL NIL NIL NIL"),
    (message("Content-Type: TEXT/PLAIN; CHARSET=US-ASCII", "x"),
     b'("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 1 0', b" NIL NIL NIL NIL"),
    (message("Content-Type: text/plain; charset=a; charset=b", "x"),
     b'("text" "plain" ("charset" "a" "charset" "b") NIL NIL "7bit" 1 0', b" NIL NIL NIL NIL"),
    (message("Content-Type: image/png\nContent-ID: <i>\nContent-Description: d\nContent-Transfer-Encoding: X", "x"),
     b'("image" "png" NIL "<i>" "d" "x" 1', b" NIL NIL NIL NIL"),
    (message('Content-Type: a/b\nContent-Disposition: Attachment; filename="x \\"y"\nContent-MD5: m', "x"),
     b'("a" "b" NIL NIL NIL "7bit" 1', b' "m" ("attachment" ("filename" "x \\"y")) NIL NIL'),
    (message("Content-Type: a/b\nContent-Disposition: inline\nContent-Language: en\nContent-Location: u", "x"),
     b'("a" "b" NIL NIL NIL "7bit" 1', b' NIL ("inline" NIL) ("en") "u"'),
    (message("Content-Type: a/b; n=\xe9", "x"), b'("a" "b" ("n" {1}\r\n\xe9) NIL NIL "7bit" 1', b" NIL NIL NIL NIL"),
    (message("Content-Type: message/rfc822", "x: y\n\nx"),
     b'("message" "rfc822" NIL NIL NIL "7bit" 9 %b %b 2' % (NOTHING, X), b" NIL NIL NIL NIL"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "body", "extension"), SINGLE)
def test_a_part_is_described(raw: bytes, body: bytes, extension: bytes) -> None:
    assert both(raw) == (body + b")", body.replace(X, X_EXTENDED) + extension + b")")


def test_parts_of_a_multipart_stand_one_after_the_other() -> None:
    raw = crlf(
        "Content-Type: multipart/MIXED; boundary=b\nContent-Language: de, en\nContent-Disposition: inline\n\n"
        "--b\n\nx\n--b\n\nx\n--b--\n"
    )
    assert both(raw) == (
        b'(%b%b "mixed")' % (X, X),
        b'(%b%b "mixed" ("boundary" "b") ("inline" NIL) ("de" "en") NIL)' % (X_EXTENDED, X_EXTENDED),
    )


def test_a_multipart_without_parts_has_one_that_holds_it_all() -> None:
    # RFC 3501 section 9: 1*body
    assert both(message("Content-Type: multipart/mixed; boundary=b", "x"))[0] == b'(%b "mixed")' % X


def test_the_forwarded_sample_is_described_whole() -> None:
    envelope = (
        b'("16 Nov 23 09:00 PST" "the original" (("Quote \\"Q\\" Name" NIL "q" "y.example")) '
        b'(("Quote \\"Q\\" Name" NIL "q" "y.example")) (("Quote \\"Q\\" Name" NIL "q" "y.example")) '
        b'((NIL "@relay.example,@hop.example" "routed" "z.example")) NIL NIL NIL "<inner@y.example>")'
    )
    one = b'(NIL "first of digest" %b %b %b NIL NIL NIL NIL NIL)' % ((b'((NIL NIL "one" "digest.example"))',) * 3)
    assert both(sample("forwarded"))[0] == (
        b"("
        + TEXT % (13, 0)
        + b')("message" "rfc822" NIL NIL "forwarded message" "7bit" 301 '
        + envelope
        + b" ("
        + TEXT % (11, 0)
        + b')("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 12 0) "alternative") 15)'
        + b'(("message" "rfc822" NIL NIL NIL "7bit" 57 '
        + one
        + b" "
        + TEXT % (3, 0)
        + b") 3)"
        + TEXT % (13, 0)
        + b') "digest") "mixed")'
    )


def test_envelopes_of_inner_messages_are_empty_once_their_headers_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = mixed(*["Content-Type: message/rfc822\n\nSubject: s\n\nx"] * 3)
    monkeypatch.setattr(structure, "MAX_NESTED_HEADERS", 40)
    body = both(raw)[0]
    assert body.count(b'"s"') == 2
    assert body.count(NOTHING) == 1
