"""What a processor sees of a message: text, attachments, numbers of parts, and never more octets than asked for."""

import pytest

from merpati.message.body import BodyPart, attachments, body_parts, html_to_text, readable_text
from merpati.message.mime import scan
from merpati.message.sections import find_part
from tests.message.cases import all_samples, message, mixed, sample


def parts(raw: bytes) -> list[BodyPart]:
    return body_parts(raw, scan(raw))


def text(raw: bytes, limit: int = 1 << 20) -> str:
    return readable_text(raw, scan(raw), limit)


def test_every_part_is_listed_with_its_imap_number() -> None:
    assert [(part.number, part.content_type) for part in parts(sample("forwarded"))] == [
        ("", "multipart/mixed"),
        ("1", "text/plain"),
        ("2", "message/rfc822"),
        ("2", "multipart/alternative"),
        ("2.1", "text/plain"),
        ("2.2", "text/html"),
        ("3", "multipart/digest"),
        ("3.1", "message/rfc822"),
        ("3.1.1", "text/plain"),
        ("3.2", "text/plain"),
    ]


@pytest.mark.parametrize(("name", "raw"), all_samples().items())
def test_a_parts_number_is_the_one_fetch_finds_it_by(name: str, raw: bytes) -> None:
    root = scan(raw)
    for part in body_parts(raw, root):
        found = find_part(root, tuple(map(int, part.number.split("."))) if part.number else ())
        assert found is not None
        if part.content_type != found.content_type:  # a multipart inside a message has that message's number
            assert found.content.is_message
            found = found.children[0]
        assert (part.content_type, part.size) == (found.content_type, found.octets)


def test_attachments_have_names_types_and_octets() -> None:
    raw = sample("attachments")
    assert [(part.filename, part.content_type, len(part.decoded())) for part in attachments(raw, scan(raw))] == [
        ("logo.png", "image/png", 8),
        ("Rechnung ü 2023.pdf", "application/pdf", 1024),
        ("My Setup.exe", "application/x-msdownload", 12),
    ]


def test_a_forwarded_message_is_an_attachment_and_so_are_the_files_in_it() -> None:
    inner = "Content-Type: application/zip; name=in.zip\n\nx"
    raw = mixed("\nhello", f"Content-Type: message/rfc822\n\n{inner}")
    assert [part.content_type for part in attachments(raw, scan(raw))] == ["message/rfc822", "application/zip"]


def test_a_part_tells_what_its_header_says() -> None:
    logo = next(part for part in parts(sample("attachments")) if part.filename == "logo.png")
    assert (logo.disposition, logo.content_id, logo.number) == ("inline", "logo@x", "1.2")
    assert logo.headers.get("content-transfer-encoding") == "base64"
    plain = parts(message("X: y", "body"))[0]
    assert (plain.disposition, plain.content_id, plain.filename, plain.charset) == ("", "", "", "us-ascii")


def test_a_file_name_with_line_ends_is_one_line() -> None:
    raw = message("Content-Type: a/b; name*=utf-8''x%0D%0ASubject:%20y%00")
    assert parts(raw)[0].filename == "x Subject: y "


TEXTS = [
    (sample("plain"), "Hello Bob,\n\ndoes Thursday suit you? The café at the corner, as always.\n"
                      ".A line that begins with a dot.\n\n-- \nAlice\n"),
    (sample("alternative"), "Grüße aus Köln, eine sehr lange Zeile, die im Quelltext umbrochen wird."),
    (sample("utf8"), "π\n"),
    (sample("signed"), "signed text\n"),
    (message("Content-Type: text/html", "<p>one<br>two &amp; <b>three</b></p>"), "one\ntwo & three"),
    (message("Content-Type: text/plain; charset=bogus", "caf\xe9"), "caf\ufffd"),
    (message("Content-Type: text/plain; charset=utf-16", "x\0y\0"), "xy"),
    (message("Content-Type: text/plain; name=notes.txt", "x"), ""),  # an attachment
    (message("Content-Type: image/png", "x"), ""),
    (mixed("\none", "\ntwo", "Content-Type: text/html\n\nthree"), "one\ntwo"),
    (b"", ""),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), TEXTS)
def test_the_text_is_what_a_person_would_read(raw: bytes, expected: str) -> None:
    assert text(raw) == expected


ENCODED = [
    ("base64", "aGVsbG8=", b"hello"),
    ("BASE64", "aGVsbG8", b"hello"),
    ("quoted-printable", "h=65llo=\n", b"hello"),
    ("7bit", "hello", b"hello"),
    ("x-uuencode", "hello", b"hello"),
    ("binary", "hello", b"hello"),
]


@pytest.mark.parametrize(("encoding", "body", "octets"), ENCODED)
def test_the_transfer_encoding_is_taken_off_up_to_the_limit(encoding: str, body: str, octets: bytes) -> None:
    part = parts(message(f"Content-Transfer-Encoding: {encoding}", body))[0]
    assert part.decoded() == octets
    for limit in range(6):
        assert part.decoded(limit) == octets[:limit]
    assert part.decoded(-1) == b""


def test_a_limit_holds_for_the_text_of_many_parts() -> None:
    assert text(mixed(*["\n" + "x" * 10] * 50), limit=25) == "x" * 10 + "\n" + "x" * 10 + "\n" + "x" * 5


MARKUP = [
    ("<style>a{}</style>x<script>y</script>z", "x z"),
    ("<!-- c -->x", "x"),
    ("<head><title>t</title></head>x", "x"),
    ("a<br/>b</p>c", "a\nb\nc"),
    ("1 < 2 &lt; 3", "1 < 2 < 3"),
    ("<a href='x'>l</a", "l"),
    ("<script>never closed", ""),
    ("<!-- never closed", ""),
    ("a&nbsp;b", "a b"),
    ("", ""),
]


@pytest.mark.parametrize(("markup", "words"), MARKUP)
def test_html_gives_its_words(markup: str, words: str) -> None:
    assert html_to_text(markup) == words
