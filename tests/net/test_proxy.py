"""The PROXY protocol: tables of headers, and the same result however the bytes are cut."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.net.addresses import Endpoint
from merpati.net.proxy import MAX_V1, MAX_V2, V2_SIGNATURE, ProxyError, ProxyHeader, ProxyParser


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return V2_SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


IPV4 = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("198.51.100.1").packed
IPV6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed
PORTS = struct.pack("!HH", 50_000, 25)
FOUR = ProxyHeader(Endpoint("192.0.2.7", 50_000), Endpoint("198.51.100.1", 25))
SIX = ProxyHeader(Endpoint("2001:db8::7", 50_000), Endpoint("2001:db8::1", 25))
NOBODY = ProxyHeader(None, None)

GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 25\r\n", FOUR),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 25\r\n", SIX),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", NOBODY),
    (v2(0x21, 0x11, IPV4 + PORTS), FOUR),
    (v2(0x21, 0x21, IPV6 + PORTS), SIX),
    (v2(0x21, 0x11, IPV4 + PORTS + b"\x04\x00\x03abc"), FOUR),  # a TLV behind the addresses
    (v2(0x20, 0x11, IPV4 + PORTS), NOBODY),  # LOCAL: a health check
    (v2(0x20, 0x00, b""), NOBODY),
    (v2(0x21, 0x00, b"whatever"), NOBODY),
    (v2(0x21, 0x31, b"\0" * 216), NOBODY),  # a Unix socket
]

BAD = [
    b"EHLO client\r\n",
    b"\x16\x03\x01\x02\x00",  # a ClientHello without a header before it
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 25\n",
    b"PROXY\tTCP4 192.0.2.7 198.51.100.1 50000 25\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 25 9\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 50000 25\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 050 25\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 +50 25\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 25\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 50000 25\r\n",
    b"PROXY TCP6 fe80::1%lo fe80::2 50000 25\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 50000 25\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 50000 25\r\n",
    b"PROXY UNKNOWN \xff\r\n",
    b"PROXY TCP4 " + b"1" * MAX_V1,  # no end
    v2(0x31, 0x11, IPV4 + PORTS),  # version 3
    v2(0x22, 0x11, IPV4 + PORTS),  # unknown command
    v2(0x21, 0x11, IPV4),  # too short for its ports
    v2(0x21, 0x21, IPV4 + PORTS),
    v2(0x21, 0x51, IPV4 + PORTS),
    v2(0x21, 0x11, b"", MAX_V2),  # announces more than we read
]


@pytest.mark.parametrize(("data", "header"), GOOD)
def test_a_header_is_read_and_nothing_behind_it(data: bytes, header: ProxyHeader) -> None:
    parser = ProxyParser()
    assert parser.feed(data + b"\x16\x03\x01") == len(data)
    assert parser.header == header


@pytest.mark.parametrize(("data", "header"), GOOD)
def test_the_cut_of_the_bytes_does_not_matter(data: bytes, header: ProxyHeader) -> None:
    parser = ProxyParser()
    for i in range(len(data)):
        assert parser.header is None
        assert parser.feed(data[i : i + 1]) == 1
    assert parser.header == header


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyError):
        ProxyParser().feed(data)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: V2_SIGNATURE + tail)))
def test_any_bytes_end_in_a_header_an_error_or_the_wish_for_more(data: bytes) -> None:
    parser = ProxyParser()
    try:
        taken = parser.feed(data)
    except ProxyError:
        return
    assert taken == len(data) or parser.header is not None
    assert taken <= MAX_V2
