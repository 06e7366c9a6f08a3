"""The MIME tree: which parts there are, and exactly which octets are theirs."""

from collections.abc import Iterator

import pytest

from merpati.message import mime
from merpati.message.mime import MAX_BOUNDARY, MAX_DEPTH, Part, scan
from tests.message.cases import all_samples, crlf, message, mixed

Tree = tuple[str, object]


def tree(raw: bytes) -> Tree:
    """Content type, and the children or the body."""

    def of(part: Part) -> Tree:
        return part.content_type, [of(each) for each in part.children] if part.children else raw[part.body : part.end]

    return of(scan(raw))


def every(part: Part) -> Iterator[Part]:
    yield part
    for each in part.children:
        yield from every(each)


TEXT = "text/plain"
MIXED = "multipart/mixed"

TREES = [
    (b"", (TEXT, b"")),
    (b"\r\n", (TEXT, b"")),
    (b"Subject: x\r\n\r\nbody\r\n", (TEXT, b"body\r\n")),
    (message("Content-Type: image/png", "x"), ("image/png", b"x")),
    (message("Content-Type: nonsense", "x"), (TEXT, b"x")),  # RFC 2045 section 5.2
    (message("Content-Type: text/html\nContent-Type: image/png", "x"), ("text/html", b"x")),
    # RFC 2046 section 5.1.1: the line end before a delimiter belongs to it
    (mixed("\none", "Content-Type: text/html\n\ntwo\n"), (MIXED, [(TEXT, b"one"), ("text/html", b"two\r\n")])),
    (b"A: b\nContent-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b--\nepi\n", (MIXED, [(TEXT, b"one")])),
    (mixed("\none", end=""), (MIXED, [(TEXT, b"one\r\n")])),  # never closed
    (mixed("\none", end="--b--"), (MIXED, [(TEXT, b"one")])),
    (mixed("\none", end="--b--\nepilogue\n--b\n\nno part\n"), (MIXED, [(TEXT, b"one")])),
    (mixed("", "\n", "Content-Type: text/html"), (MIXED, [(TEXT, b""), (TEXT, b""), ("text/html", b"")])),
    (
        crlf('Content-Type: multipart/mixed; boundary="\'()+_,-./:=?"\n\n--\'()+_,-./:=?\n\none'),
        (MIXED, [(TEXT, b"one")]),
    ),
    # white space behind a boundary, and behind a delimiter
    (crlf('Content-Type: multipart/mixed; boundary="b "\n\n--b  \n\none\n--b-- \n'), (MIXED, [(TEXT, b"one")])),
    # a delimiter needs the beginning of a line
    (mixed("\n --b\n x--b\none"), (MIXED, [(TEXT, b" --b\r\n x--b\r\none")])),
    # RFC 2046 section 5.1.1: only the beginning of the line is compared
    (mixed("\none\n--bcd\n\ntwo"), (MIXED, [(TEXT, b"one"), (TEXT, b"two")])),
    # a digest's parts are messages (section 5.1.5)
    (
        crlf(
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nA: 1\n\none\n"
            "--b\nContent-Type: text/plain\n\ntwo\n--b--\n"
        ),
        ("multipart/digest", [("message/rfc822", [(TEXT, b"one")]), (TEXT, b"two")]),
    ),
    (message("Content-Type: message/rfc822", "A: 1\n\nin\n"), ("message/rfc822", [(TEXT, b"in\r\n")])),
    (message("Content-Type: message/rfc822", ""), ("message/rfc822", [(TEXT, b"")])),
    (message("Content-Type: message/global", "A: 1\n\nin\n"), ("message/global", b"A: 1\r\n\r\nin\r\n")),
    # without a boundary there is no multipart, without a delimiter one part holds it all
    (message("Content-Type: multipart/mixed", "x"), (TEXT, b"x")),
    (message('Content-Type: multipart/mixed; boundary=""', "--\n\nx\n"), (TEXT, b"--\r\n\r\nx\r\n")),
    (message("Content-Type: multipart/mixed; boundary=b", "x"), (MIXED, [(TEXT, b"x")])),
    (mixed(), (MIXED, [(TEXT, b"--b--\r\n")])),
    (
        message(f"Content-Type: multipart/mixed; boundary={'b' * (MAX_BOUNDARY + 1)}", "x"),
        ("application/octet-stream", b"x"),
    ),
]  # fmt: skip

NESTED = [
    (
        mixed("Content-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\nepilogue", "\ntwo"),
        (MIXED, [(MIXED, [(TEXT, b"one")]), (TEXT, b"two")]),
    ),
    # an inner multipart that is never closed ends with the outer part
    (
        mixed("Content-Type: multipart/mixed; boundary=c\n\n--c\n\none", "\n--c\n\ntwo"),
        (MIXED, [(MIXED, [(TEXT, b"one")]), (TEXT, b"--c\r\n\r\ntwo")]),
    ),
    # one boundary begins with the other: the longest wins
    (
        mixed("Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\none\n--bb\n\ntwo\n--bb--", "\nthree"),
        (MIXED, [(MIXED, [(TEXT, b"one"), (TEXT, b"two")]), (TEXT, b"three")]),
    ),
    (
        crlf(
            "Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; boundary=b\n\n"
            "--b\n\none\n--b--\n--bb\n\ntwo\n--bb--\n"
        ),
        (MIXED, [(MIXED, [(TEXT, b"one")]), (TEXT, b"two")]),
    ),
    # the boundary of one is the end mark of the other
    (
        mixed("Content-Type: multipart/mixed; boundary=b--\n\n--b--\n\none\n--b----", "\ntwo"),
        (MIXED, [(MIXED, [(TEXT, b"one")]), (TEXT, b"two")]),
    ),
    # the same boundary twice: the innermost wins, and closing it gives it back
    (
        mixed("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--", "\ntwo"),
        (MIXED, [(MIXED, [(TEXT, b"one")]), (TEXT, b"two")]),
    ),
    # a message with a multipart inside, cut off by the outer delimiter in its header
    (
        mixed("Content-Type: message/rfc822\n\nA: 1\nContent-Type: multipart/mixed; boundary=c", "\ntwo"),
        (MIXED, [("message/rfc822", [(MIXED, [(TEXT, b"")])]), (TEXT, b"two")]),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), TREES + NESTED)
def test_a_message_is_taken_apart(raw: bytes, expected: Tree) -> None:
    assert tree(raw) == expected


@pytest.mark.parametrize(("name", "raw"), all_samples().items())
def test_parts_lie_inside_each_other_in_order(name: str, raw: bytes) -> None:
    root = scan(raw)
    assert (root.start, root.end) == (0, len(raw))
    for part in every(root):
        assert part.start <= part.body <= part.end
        at = part.body
        for child in part.children:
            assert at <= child.start
            assert child.end <= part.end
            at = child.end


def test_lines_are_counted_for_text_and_messages() -> None:
    raw = mixed("\none\ntwo\n", "Content-Type: message/rfc822\n\nA: 1\n\nin\nside", "Content-Type: image/png\n\nx\ny\n")
    assert [part.lines for part in scan(raw).children] == [2, 3, 0]
    for part in every(scan(raw)):
        if part.content.is_message or part.content.media == b"text":
            assert part.lines == raw.count(b"\n", part.body, part.end)


def test_the_content_fields_of_a_part_are_read() -> None:
    pdf = scan(all_samples()["attachments"]).children[1]
    content = pdf.content
    assert pdf.content_type == "application/pdf"
    assert pdf.filename == "Rechnung ü 2023.pdf"
    assert (content.encoding, content.disposition) == (b"base64", b"attachment")
    assert (content.description, content.md5) == (b"The invoice", b"Q2hlY2sgSW50ZWdyaXR5IQ==")
    assert (content.language, content.location) == ((b"de", b"en-GB"), b"http://office.example/invoice")
    assert scan(all_samples()["attachments"]).children[0].children[1].content.id == b"<logo@x>"


ENCODINGS = [
    ("Content-Transfer-Encoding: BASE64", b"base64"),
    ("Content-Transfer-Encoding: 8bit (c)", b"8bit"),
    ("Content-Transfer-Encoding: 8 bit", b"7bit"),
    ("Content-Transfer-Encoding:", b"7bit"),
    ("Content-Transfer-Encoding: 8 bit\nContent-Transfer-Encoding: base64", b"base64"),
    ("Content-Transfer-Encoding: base64;", b"base64"),
    ("X: y", b"7bit"),
]


@pytest.mark.parametrize(("field", "encoding"), ENCODINGS)
def test_the_first_valid_transfer_encoding_counts(field: str, encoding: bytes) -> None:
    assert scan(message(field)).content.encoding == encoding


def test_what_is_nested_too_deep_is_one_opaque_part() -> None:
    inner = "Content-Type: text/plain\n\nend"
    for level in range(MAX_DEPTH + 20, 0, -1):
        inner = f"Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n{inner}\n--b{level}x--"
    part = scan(crlf(inner))
    depth = 1
    while part.children:
        part = part.children[0]
        depth += 1
    assert depth == MAX_DEPTH
    assert part.content_type == "application/octet-stream"


def test_the_last_part_that_is_counted_reaches_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime, "MAX_PARTS", 4)
    raw = mixed("\n1", "\n2", "Content-Type: multipart/mixed; boundary=c\n\n--c\n\n3", "\n4")
    parts = scan(raw).children
    assert [part.content_type for part in parts] == ["text/plain", "text/plain", "application/octet-stream"]
    assert raw[parts[2].body : parts[2].end].endswith(b"\r\n4\r\n--b--\r\n")


def test_many_header_fields_in_many_parts_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime, "MAX_ALL_FIELDS", 5)
    raw = mixed("A: 1\nB: 2\nContent-Type: text/html\n\n1", "C: 3\nContent-Type: text/html\n\n2")
    assert [part.content_type for part in scan(raw).children] == ["text/html", "text/plain"]
