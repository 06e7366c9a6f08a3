"""Header sections: where they end, what their fields are, what their text says."""

import pytest

from merpati.message.headers import MAX_FIELDS, MAX_HEADER, Headers, split_headers
from tests.message.cases import crlf

GOOD = [
    # raw, [(name, field as it stands)], body
    (b"From: a\r\nTo: b\r\n\r\nbody", [(b"from", b"From: a\r\n"), (b"to", b"To: b\r\n")], b"body"),
    (b"From: a\nTo: b\n\nbody", [(b"from", b"From: a\n"), (b"to", b"To: b\n")], b"body"),
    (b"A: 1\r\n 2\r\n\t3\r\n\r\n", [(b"a", b"A: 1\r\n 2\r\n\t3\r\n")], b""),
    (b"A: 1\r\n\nbody", [(b"a", b"A: 1\r\n")], b"body"),
    (b"A: 1\n\r\nbody", [(b"a", b"A: 1\n")], b"body"),
    (b"\r\nbody", [], b"body"),
    (b"\nbody", [], b"body"),
    (b"", [], b""),
    (b"A: 1", [(b"a", b"A: 1")], b""),
    (b"A: 1\r\n", [(b"a", b"A: 1\r\n")], b""),
    (b"A : 1\r\n\r\n", [(b"a", b"A : 1\r\n")], b""),  # obsolete, RFC 5322 section 4.5.3
    (b"A:1\r\n \r\n\r\nbody", [(b"a", b"A:1\r\n \r\n")], b"body"),  # a line of white space continues, ends nothing
]

BROKEN = [
    # what is no field has no name and ends nothing
    (b"no colon\r\nA: 1\r\n\r\nb", [(b"", b"no colon\r\n"), (b"a", b"A: 1\r\n")], b"b"),
    (b" leading\r\nA: 1\r\n\r\n", [(b"", b" leading\r\n"), (b"a", b"A: 1\r\n")], b""),
    (b"two words: 1\r\n\r\n", [(b"", b"two words: 1\r\n")], b""),
    (b"\xe9: 1\r\n\r\n", [(b"", b"\xe9: 1\r\n")], b""),
    (b": 1\r\n\r\n", [(b"", b": 1\r\n")], b""),
    (b"From a@b Mon\r\nA: 1\r\n\r\n", [(b"", b"From a@b Mon\r\n"), (b"a", b"A: 1\r\n")], b""),
    (b"A: 1\rB: 2\r\n\r\n", [(b"a", b"A: 1\rB: 2\r\n")], b""),  # a lone CR begins no line
    (b"A: \0\r\n\r\n", [(b"a", b"A: \0\r\n")], b""),
]


@pytest.mark.parametrize(("raw", "fields", "body"), GOOD + BROKEN)
def test_a_header_is_cut_into_fields_without_a_gap(raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    found, offset = split_headers(raw)
    assert [(name, raw[start:end]) for name, start, end in found] == fields
    assert raw[offset:] == body


def test_a_header_in_the_middle_of_a_message_stays_within_its_range() -> None:
    raw = b"xxxxA: 1\r\nB: 2\r\n\r\nC: 3\r\n\r\n"
    fields, body = split_headers(raw, 4, 14)
    assert (fields, body) == ([(b"a", 4, 10), (b"b", 10, 14)], 14)


def test_fields_beyond_the_limit_are_one_nameless_slice_and_the_body_is_still_found() -> None:
    raw = b"A: 1\r\n" * (MAX_FIELDS + 5) + b"\r\nbody"
    fields, body = split_headers(raw)
    assert len(fields) == MAX_FIELDS + 1
    assert fields[-1] == (b"", MAX_FIELDS * 6, (MAX_FIELDS + 5) * 6)
    assert raw[body:] == b"body"


def test_a_field_longer_than_the_limit_is_whole_as_a_slice_and_cut_as_text() -> None:
    raw = b"A: " + b"x" * (2 * MAX_HEADER) + b"\r\nB: behind\r\n\r\nbody"
    headers = Headers.parse(raw)
    assert headers.slices("a") == [raw[: 2 * MAX_HEADER + 5]]
    assert len(headers.get("a") or "") == MAX_HEADER - 3
    assert "b" not in headers  # beyond MAX_HEADER no names are read
    assert raw[split_headers(raw)[1] :] == b"body"


VALUES = [
    ("Subject: plain", "plain"),
    ("Subject:no space", "no space"),
    ("Subject: folded\n text\n\tand tab", "folded text\tand tab"),  # RFC 5322 section 2.2.3: only CRLF goes
    ("Subject:\n on the next line", "on the next line"),
    ("Subject:   ", ""),
    ("Subject: =?utf-8?q?caf=C3=A9?=", "café"),
    ("Subject: gr\xc3\xbc\xc3\x9fe", "grüße"),  # UTF-8 as it stands, RFC 6532
    ("Subject: caf\xe9", "caf\ufffd"),
    ("Subject: =?utf-8?b?YQ0KQmNjOiB4QHk=?=", "a Bcc: x@y"),  # an encoded line end makes no new line
    ("Subject: a\0b", "a b"),
]


@pytest.mark.parametrize(("field", "text"), VALUES)
def test_a_field_is_read_as_one_line_of_text(field: str, text: str) -> None:
    assert Headers.parse(crlf(f"{field}\n\nbody")).get("SUBJECT") == text


def test_headers_are_found_by_name_in_any_case_and_in_order() -> None:
    raw = crlf("Received: two\nSUBJECT: s\nreceived: one\njunk\n\nbody")
    headers = Headers.parse(raw)
    assert headers.get("Received") == "two"
    assert headers.get_all("RECEIVED") == ["two", "one"]
    assert headers.get_raw("subject") == b"s"
    assert headers.get_all_raw("received") == [b"two", b"one"]
    assert headers.slices("received") == [b"Received: two\r\n", b"received: one\r\n"]
    assert list(headers) == ["received", "subject", "received"]
    assert list(headers.items()) == [("received", "two"), ("subject", "s"), ("received", "one")]
    assert len(headers) == 3
    assert "Subject" in headers


def test_a_field_that_is_not_there_is_none() -> None:
    headers = Headers.parse(b"A: 1\r\n\r\n")
    assert headers.get("b") is None
    assert headers.get_raw("b") is None
    assert headers.get_all("b") == []
    assert "b" not in headers
    assert "é" not in headers
    assert 1 not in headers
