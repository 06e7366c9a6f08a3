"""Whatever the bytes are: no exception, ranges inside the message, answers inside IMAP's grammar, the same twice."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from merpati.message.address_list import parse_address_list
from merpati.message.addresses import Address, BadAddress, address_of, parse_path, read_path
from merpati.message.body import body_parts, readable_text
from merpati.message.dates import read_date
from merpati.message.encoded_words import decode_words
from merpati.message.headers import Headers, split_headers
from merpati.message.mime import Part, scan
from merpati.message.parameters import parameter, read_disposition, read_media_type
from merpati.message.sections import Kind, Section, find_part, resolve
from merpati.message.summary import summarise
from merpati.message.transfer import decode_base64, decode_quoted_printable
from tests.message.cases import all_samples
from tests.message.imap_grammar import check_body, check_envelope, read

WORDS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\0", b"\xff", b"\xc3\xa9", b":", b";", b",",
    b"(", b")",
    b"<", b">", b"@", b'"', b"\\", b"[", b"]",
    b"=", b"*", b"%", b"?", b"--", b"--b", b"--b--", b"--c", b"--c--", b"b", b"c",
    b"From: ", b"To: ", b"Subject: ", b"Date: ", b"References: ", b"\r\nContent-Type: multipart/mixed; boundary=b\r\n",
    b"\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n", b"\r\nContent-Type: message/rfc822\r\n\r\n",
    b"Content-Type: text/plain; charset=",
    b"\r\nContent-Disposition: attachment; filename*0*=utf-8''x; filename*1=y",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"aGVsbG8=", b"=C3=A9",
    b"zlib", b"=?utf-8?q?x?=", b"=?utf-7?b?",
    b"a@b.example", b"1 Jan 2024 10:00 +0000", b"\r\n--b\r\n", b"\r\n--c\r\n\r\n",
]  # fmt: skip
mail_like = st.lists(st.sampled_from(WORDS), max_size=60).map(b"".join)
anything = st.one_of(st.binary(max_size=400), mail_like)


def every(root: Part) -> list[Part]:
    found, waiting = [], [root]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting.extend(part.children)
    return found


@given(anything)
@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b")
@example(b"Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n--b")
def test_parts_lie_inside_the_message_and_each_other(raw: bytes) -> None:
    root = scan(raw)
    assert (root.start, root.end) == (0, len(raw))
    for part in every(root):
        assert part.start <= part.body <= part.end
        at = part.body
        for child in part.children:
            assert at <= child.start
            assert child.end <= part.end
            at = child.end
        assert bool(part.children) == part.content.is_composite
        assert len(part.children) == 1 or not part.content.is_message
        if part.content.media == b"text" or part.content.is_message:
            assert part.lines == raw.count(b"\n", part.body, part.end)
    assert scan(raw) == root


@given(anything)
def test_fields_follow_each_other_without_a_gap(raw: bytes) -> None:
    fields, body = split_headers(raw)
    at = 0
    for name, start, end in fields:
        assert (start, name) == (at, name.lower())
        assert end > start
        at = end
    assert raw[at:body] in (b"", b"\r\n", b"\n")
    headers = Headers(raw, fields)
    for name in headers:
        for text in headers.get_all(name):
            assert "\n" not in text
            assert "\r" not in text
            assert "\0" not in text


@given(anything)
@settings(max_examples=300)
def test_a_summary_keeps_to_imaps_grammar(raw: bytes) -> None:
    summary = summarise(raw)
    assert summary.size == len(raw)
    check_envelope(read(summary.envelope))
    parts = check_body(read(summary.body), extended=False)
    assert check_body(read(summary.structure), extended=True) == parts
    assert len(every(scan(raw))) == parts
    assert summarise(raw) == summary


@pytest.mark.parametrize(("name", "raw"), all_samples().items())
def test_a_sample_keeps_to_imaps_grammar(name: str, raw: bytes) -> None:
    summary = summarise(raw)
    check_envelope(read(summary.envelope))
    assert check_body(read(summary.structure), extended=True) == len(every(scan(raw)))


@given(
    anything, st.lists(st.integers(0, 3), max_size=4).map(tuple), st.sampled_from(Kind), st.lists(anything, max_size=2)
)
def test_a_section_is_a_piece_of_the_message(
    raw: bytes, part: tuple[int, ...], kind: Kind, fields: list[bytes]
) -> None:
    root = scan(raw)
    section = resolve(raw, root, Section(part, kind, tuple(fields)))
    if kind is Kind.HEADER_FIELDS and section is not None:
        assert bytes(section).endswith(b"\r\n")
    elif kind is not Kind.HEADER_FIELDS_NOT and section is not None:
        assert bytes(section) in raw
    whole = bytes(resolve(raw, root, Section()) or b"")
    header = bytes(resolve(raw, root, Section((), Kind.HEADER)) or b"")
    text = bytes(resolve(raw, root, Section((), Kind.TEXT)) or b"")
    assert whole == raw == header + text


@given(anything, st.integers(-1, 50))
def test_a_processor_can_look_at_everything(raw: bytes, limit: int) -> None:
    root = scan(raw)
    for part in body_parts(raw, root):
        assert len(part.decoded(limit)) <= max(limit, 0)
        assert part.size >= 0
        assert isinstance(part.text(100), str)
        assert "\n" not in part.filename + part.content_id + part.disposition
        assert part.charset
        assert list(part.headers.items()) == list(part.headers.items())
        assert find_part(root, tuple(map(int, part.number.split("."))) if part.number else ()) is not None
    assert isinstance(readable_text(raw, root, 200), str)


@given(anything)
@settings(max_examples=300)
def test_values_are_read_without_an_exception(value: bytes) -> None:
    for entry in parse_address_list(value):
        address = address_of(entry)
        assert address is None or "@" in str(address)
    decode_words(value)
    read_date(value)
    for read_parameters in (read_media_type(value), read_disposition(value)):
        for name, _ in read_parameters[-1] if read_parameters else ():
            parameter(read_parameters[-1] if read_parameters else (), name)
    assert len(decode_base64(value, 10)) <= 10
    assert len(decode_quoted_printable(value, 10)) <= 10


@given(anything, st.booleans())
@settings(max_examples=300)
def test_a_path_is_an_address_or_refused(raw: bytes, smtputf8: bool) -> None:
    for octets in (raw, b"<" + raw + b">", b"<" + raw + b"@b.example>", b"<a@" + raw + b">"):
        try:
            address, end = read_path(octets, smtputf8=smtputf8)
        except BadAddress:
            continue
        assert octets[end - 1 : end] == b">"
        assert smtputf8 or octets[:end].isascii()
        if address is not None:
            text = str(address)
            assert not set(text) & set("\r\n\0\x7f")
            assert parse_path(f"<{text}>".encode(), smtputf8=True) == address


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
def test_a_local_part_is_quoted_so_that_it_is_read_back(local: str) -> None:
    address = Address(local, "b.example")
    assert parse_path(f"<{address}>".encode()) == address
    entries = parse_address_list(str(address).encode())
    assert [(entry.local, entry.domain) for entry in entries] == [(local.encode(), b"b.example")]
