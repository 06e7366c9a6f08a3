"""BODY[…]: RFC 3501's numbering of parts, and octets that are the message's own."""

import pytest

from merpati.message.mime import scan
from merpati.message.sections import Kind, Section, find_part, resolve
from tests.message.cases import all_samples, crlf, message, sample


def fetch(raw: bytes, *part: int, kind: Kind = Kind.ALL, fields: tuple[bytes, ...] = ()) -> bytes | None:
    octets = resolve(raw, scan(raw), Section(part, kind, fields))
    return None if octets is None else bytes(octets)


# The message of RFC 3501 section 6.4.5, whose parts are named there.
RFC_3501 = crlf("""Subject: whole
Content-Type: multipart/mixed; boundary=A

--A

1
--A
Content-Type: application/octet-stream

2
--A
Content-Type: message/rfc822
X: 3.MIME

Subject: 3.HEADER
Content-Type: multipart/mixed; boundary=B

--B

3.1
--B
Content-Type: application/octet-stream

3.2
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

4.1
--C
Content-Type: message/rfc822
X: 4.2.MIME

Subject: 4.2.HEADER
Content-Type: multipart/mixed; boundary=D

--D

4.2.1
--D
Content-Type: multipart/alternative; boundary=E

--E

4.2.2.1
--E
Content-Type: text/richtext

4.2.2.2
--E--
--D--
--C--
--A--
""")

LEAVES = ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"]


@pytest.mark.parametrize("number", LEAVES)
def test_a_part_is_found_by_its_number(number: str) -> None:
    part = tuple(map(int, number.split(".")))
    assert fetch(RFC_3501, *part) == number.encode()


def test_the_header_and_text_of_a_message_inside_are_found_behind_its_number() -> None:
    assert fetch(RFC_3501, 3, kind=Kind.HEADER) == crlf(
        "Subject: 3.HEADER\nContent-Type: multipart/mixed; boundary=B\n\n"
    )
    assert fetch(RFC_3501, 3, kind=Kind.MIME) == crlf("Content-Type: message/rfc822\nX: 3.MIME\n\n")
    text = fetch(RFC_3501, 3, kind=Kind.TEXT)
    assert text is not None
    assert text.startswith(b"--B\r\n")
    assert text.endswith(b"--B--")
    assert fetch(RFC_3501, 3) == (fetch(RFC_3501, 3, kind=Kind.HEADER) or b"") + text
    assert fetch(RFC_3501, 4, 2, kind=Kind.HEADER_FIELDS, fields=(b"SUBJECT",)) == b"Subject: 4.2.HEADER\r\n\r\n"
    assert fetch(RFC_3501, 4, 2, 2, kind=Kind.MIME) == b"Content-Type: multipart/alternative; boundary=E\r\n\r\n"


ABSENT = [
    ((0,), Kind.ALL),
    ((5,), Kind.ALL),
    ((1, 1), Kind.ALL),
    ((3, 3), Kind.ALL),
    ((4, 2, 3), Kind.ALL),
    ((1,) * 2_000, Kind.ALL),  # I3
    ((4_294_967_295,), Kind.ALL),
    ((1,), Kind.HEADER),  # no message/rfc822
    ((1,), Kind.TEXT),
    ((4,), Kind.HEADER_FIELDS),
    ((5,), Kind.MIME),
    ((), Kind.MIME),
]


@pytest.mark.parametrize(("part", "kind"), ABSENT, ids=lambda value: str(value)[:20])
def test_what_a_message_does_not_have_is_none(part: tuple[int, ...], kind: Kind) -> None:
    assert fetch(RFC_3501, *part, kind=kind) is None


def test_a_message_that_is_no_multipart_has_one_part() -> None:
    raw = message("Subject: s", "text\n")
    assert fetch(raw, 1) == b"text\r\n"
    assert fetch(raw, 1, kind=Kind.MIME) == b"Subject: s\r\n\r\n"
    assert fetch(raw, 2) is None
    assert fetch(raw, 1, 1) is None


def test_a_message_that_is_a_message_has_it_as_part_one() -> None:
    raw = message("Content-Type: message/rfc822\nSubject: out", "Subject: in\n\ntext\n")
    assert fetch(raw, 1) == b"Subject: in\r\n\r\ntext\r\n"
    assert fetch(raw, 1, kind=Kind.HEADER) == b"Subject: in\r\n\r\n"
    assert fetch(raw, 1, kind=Kind.TEXT) == b"text\r\n"
    assert fetch(raw, 1, 1) == b"text\r\n"
    assert fetch(raw, kind=Kind.HEADER_FIELDS, fields=(b"subject",)) == b"Subject: out\r\n\r\n"


FIELDS = [
    ((b"subject",), b"SUBJECT: a\r\n b\r\nSubject: c\r\n\r\n", b"To: x\r\njunk\r\nContent-Type: text/plain\r\n\r\n"),
    ((b"TO", b"Content-Type"), b"To: x\r\nContent-Type: text/plain\r\n\r\n",
     b"SUBJECT: a\r\n b\r\njunk\r\nSubject: c\r\n\r\n"),
    ((b"none",), b"\r\n", b"SUBJECT: a\r\n b\r\nTo: x\r\njunk\r\nSubject: c\r\nContent-Type: text/plain\r\n\r\n"),
    ((b"",), b"\r\n", b"SUBJECT: a\r\n b\r\nTo: x\r\njunk\r\nSubject: c\r\nContent-Type: text/plain\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "chosen", "rest"), FIELDS)
def test_header_fields_are_chosen_by_name_as_they_stand(fields: tuple[bytes, ...], chosen: bytes, rest: bytes) -> None:
    raw = message("SUBJECT: a\n b\nTo: x\njunk\nSubject: c\nContent-Type: text/plain")
    assert fetch(raw, kind=Kind.HEADER_FIELDS, fields=fields) == chosen
    assert fetch(raw, kind=Kind.HEADER_FIELDS_NOT, fields=fields) == rest


def test_chosen_fields_end_with_an_empty_line_even_if_the_header_has_none() -> None:
    assert fetch(b"A: 1", kind=Kind.HEADER_FIELDS, fields=(b"a",)) == b"A: 1\r\n\r\n"
    assert fetch(b"A: 1\r\n", kind=Kind.HEADER_FIELDS_NOT, fields=(b"b",)) == b"A: 1\r\n\r\n"


@pytest.mark.parametrize(("name", "raw"), all_samples().items())
def test_header_and_text_are_the_whole_message_octet_for_octet(name: str, raw: bytes) -> None:
    # C6
    assert fetch(raw) == raw
    assert (fetch(raw, kind=Kind.HEADER) or b"") + (fetch(raw, kind=Kind.TEXT) or b"") == raw


def test_a_whole_message_is_given_out_without_a_copy() -> None:
    raw = sample("plain")
    assert resolve(raw, scan(raw), Section()) is raw
    assert isinstance(resolve(raw, scan(raw), Section((1,))), memoryview)


def test_a_part_is_found_for_those_who_want_its_offsets() -> None:
    root = scan(RFC_3501)
    assert find_part(root, ()) is root
    found = find_part(root, (4, 1))
    assert found is not None
    assert found.content_type == "image/gif"
