"""Header fields that we write: folded, encoded, and one field each, whoever chose the value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.message.addresses import Address
from merpati.message.compose import (
    Hop,
    address_field,
    date_field,
    display_name,
    header_field,
    message_id,
    protocol_name,
    received,
    return_path,
    safe_line,
)
from merpati.message.headers import Headers, split_headers
from merpati.message.wire import has_bare_line_end, has_long_line

HOSTILE = "x\r\nBcc: victim@example.org\r\n\r\nbody\n.\r\n\0\x85\u2028y"


def is_one_field(octets: bytes) -> bool:
    fields, body = split_headers(octets + b"\r\n")
    return (
        len(fields) == 1
        and fields[0][0] != b""
        and body == len(octets) + 2
        and b"\0" not in octets
        and not has_bare_line_end(octets)
        and not has_long_line(octets)
    )


FIELDS = [
    ("Subject", "hello", b"Subject: hello\r\n"),
    ("Subject", "", b"Subject:\r\n"),
    ("Subject", "a\r\nBcc: b", b"Subject: a Bcc: b\r\n"),
    ("Subject", "a\tb\0c\rd\ne", b"Subject: a b c d e\r\n"),
    ("Subject", "café", b"Subject: =?utf-8?b?Y2Fmw6k=?=\r\n"),
    ("X-Long", "word " * 20, b"X-Long:" + b" word" * 14 + b"\r\n" + b" word" * 6 + b"\r\n"),
    ("X", "a" * 2_000, b"X: " + b"a" * 900 + b"\r\n " + b"a" * 900 + b"\r\n " + b"a" * 200 + b"\r\n"),
]


@pytest.mark.parametrize(("name", "value", "field"), FIELDS, ids=lambda value: repr(value[:20]))
def test_a_field_is_written(name: str, value: str, field: bytes) -> None:
    assert header_field(name, value) == field


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\n", "a\0", "x" * 77])
def test_a_name_that_is_none_is_our_own_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="header field name"):
        header_field(name, "x")


@given(st.text(max_size=300), st.booleans())
def test_whatever_the_value_it_is_one_field(value: str, utf8: bool) -> None:
    field = header_field("X-Value", value, utf8=utf8)
    assert is_one_field(field)
    assert utf8 or field.isascii()


@given(st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=200))
def test_a_value_is_read_back_as_it_was_written(value: str) -> None:
    assert Headers.parse(header_field("X", value) + b"\r\n").get("x") == value or "=?" in value or len(value) > 190


def test_utf8_stays_where_the_message_may_hold_it() -> None:
    assert header_field("To", "ü@x", utf8=True) == "To: ü@x\r\n".encode()


def test_a_lone_surrogate_does_no_harm() -> None:
    assert safe_line("a\ud800b") == "a?b"


NAMES = [
    ("Alice Example", "Alice Example"),
    ('A "B" \\C', '"A \\"B\\" \\\\C"'),
    ("a@b, <c>", '"a@b, <c>"'),
    ("Jürgen", "=?utf-8?b?SsO8cmdlbg==?="),
    ("a\r\nb", "a b"),
]


@pytest.mark.parametrize(("name", "written"), NAMES)
def test_a_display_name_is_quoted_or_encoded(name: str, written: str) -> None:
    assert display_name(name) == written
    assert address_field("From", Address("a", "b.example"), name) == f"From: {written} <a@b.example>\r\n".encode()


def test_small_fields_are_written() -> None:
    assert address_field("To", Address("a b", "c.example")) == b'To: <"a b"@c.example>\r\n'
    assert date_field(0) == b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
    assert return_path(None) == b"Return-Path: <>\r\n"
    assert return_path(Address("a", "b.example")) == b"Return-Path: <a@b.example>\r\n"
    assert is_one_field(return_path(Address("a\r\nX: y", "b.example")))
    assert message_id("0123-ab", "mx.example") == "<0123-ab@mx.example>"
    assert message_id("a>\r\n<b", "x y\0") == "<ab@xy>"
    assert message_id("", "") == "<x@localhost>"


HOP = Hop(
    client_name="client.example", client_address="192.0.2.1", by="mx.example", protocol="ESMTP", id="018f-1", seconds=0
)


def test_a_received_field_tells_who_what_and_when() -> None:
    hop = Hop(
        client_name="client.example",
        client_address="2001:db8::1",
        reverse_name="client.example",
        by="mx.example",
        protocol="ESMTPSA",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        id="018f-1",
        recipient=Address("bob", "mx.example"),
        seconds=1_700_000_000,
    )
    assert received(hop) == (
        b"Received: from client.example (client.example [2001:db8::1])\r\n"
        b"\t(using TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tby mx.example with ESMTPSA id 018f-1\r\n"
        b"\tfor <bob@mx.example>;\r\n"
        b"\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    )
    assert received(HOP) == (
        b"Received: from client.example (unknown [192.0.2.1])\r\n"
        b"\tby mx.example with ESMTP id 018f-1;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
    )


CLIENT_NAMES = [
    ("[192.0.2.1]", b"from [192.0.2.1] ("),
    ("[IPv6:2001:db8::1]", b"from [IPv6:2001:db8::1] ("),
    ("", b"from unknown ("),
    ("a b", b"from a?b ("),
    ("a)(b", b"from a??b ("),
    ("x\r\nBcc: y", b"from x??Bcc:?y ("),
    ("[x\r\n]", b"from [x??] ("),
    ("é", b"from ? ("),
    ("a" * 10_000, b"from " + b"a" * 255 + b" ("),
]


@pytest.mark.parametrize(("name", "written"), CLIENT_NAMES, ids=lambda value: repr(value[:20]))
def test_what_a_client_calls_itself_breaks_nothing(name: str, written: bytes) -> None:
    field = received(Hop(client_name=name, client_address="192.0.2.1", by="b", protocol="SMTP", id="i", seconds=0))
    assert field.startswith(b"Received: " + written)
    assert is_one_field(field)


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_received_field_of_hostile_words_is_one_field(word: str, other: str) -> None:
    hop = Hop(
        client_name=word + HOSTILE + other,
        client_address=other + HOSTILE,
        reverse_name=word,
        by=HOSTILE,
        protocol=other,
        tls=word,
        id=HOSTILE,
        recipient=Address(word, other),
        seconds=0,
    )
    assert is_one_field(received(hop))


def test_a_recipient_that_is_not_ascii_is_not_named() -> None:
    hop = Hop(
        client_name="c",
        client_address="192.0.2.1",
        by="b",
        protocol="UTF8SMTP",
        id="i",
        recipient=Address("ü", "b.example"),
        seconds=0,
    )
    assert b"for" not in received(hop)


PROTOCOLS = [
    # RFC 3848, RFC 6531 section 4.3
    ({"esmtp": False}, "SMTP"),
    ({}, "ESMTP"),
    ({"tls": True}, "ESMTPS"),
    ({"auth": True}, "ESMTPA"),
    ({"tls": True, "auth": True}, "ESMTPSA"),
    ({"lmtp": True}, "LMTP"),
    ({"lmtp": True, "tls": True, "auth": True}, "LMTPSA"),
    ({"utf8": True, "tls": True}, "UTF8SMTPS"),
    ({"utf8": True, "lmtp": True}, "UTF8LMTP"),
]


@pytest.mark.parametrize(("how", "name"), PROTOCOLS)
def test_a_protocol_has_its_registered_name(how: dict[str, bool], name: str) -> None:
    assert protocol_name(**how) == name
