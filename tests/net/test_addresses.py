"""Addresses as the settings write them, and what counts as one client."""

import pytest

from merpati.errors import Misconfigured
from merpati.net.addresses import (
    Endpoint,
    client_network,
    is_within,
    parse_listener,
    parse_networks,
    parse_server,
    plain_ip,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("", None),
        ("127.0.0.1:25", Endpoint("127.0.0.1", 25)),
        ("127.0.0.1:0", Endpoint("127.0.0.1", 0)),
        ("[::1]:65535", Endpoint("::1", 65535)),
        ("localhost:143", Endpoint("localhost", 143)),
        (":143", Endpoint("", 143)),
        ("*:143", Endpoint("", 143)),
    ],
)
def test_a_listener_is_read(text: str, endpoint: Endpoint | None) -> None:
    assert parse_listener(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",  # no port
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٢٥",  # digits, but not ASCII
        "127.0.0.1:000025",
        "::1:25",  # no brackets
        "[127.0.0.1]:25",
        "[::1:25",
        "a b:25",
        "host\n:25",
    ],
)
def test_what_is_no_listener_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_listener(text)
    assert "\n" not in caught.value.public


@pytest.mark.parametrize("text", ["127.0.0.1:25", "[2001:db8::1]:25", "localhost:0"])
def test_an_endpoint_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_listener(text)) == text


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1", Endpoint("192.0.2.1", 53)),
        ("192.0.2.1:5353", Endpoint("192.0.2.1", 5353)),
        ("2001:db8::1", Endpoint("2001:db8::1", 53)),
        ("[2001:db8::1]", Endpoint("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", Endpoint("2001:db8::1", 5353)),
    ],
)
def test_a_server_needs_no_port(text: str, endpoint: Endpoint) -> None:
    assert parse_server(text, 53) == endpoint


@pytest.mark.parametrize("text", ["", "dns.example:53", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.300"])
def test_a_server_is_an_address(text: str) -> None:
    with pytest.raises(Misconfigured):
        parse_server(text, 53)


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_client_is_an_address_or_its_64(ip: str, network: str) -> None:
    assert client_network(ip) == network


@pytest.mark.parametrize(
    ("ip", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_networks_hold_their_addresses(ip: str, inside: bool) -> None:
    assert is_within(ip, parse_networks(["10.0.0.0/8", "2001:db8::/32"])) is inside


def test_a_network_with_host_bits_is_a_mistake() -> None:
    with pytest.raises(Misconfigured, match="host bits"):
        parse_networks(["10.0.0.1/8"])


def test_no_network_holds_nothing() -> None:
    assert not is_within("127.0.0.1", ())


def test_an_address_is_written_without_its_zone() -> None:
    assert plain_ip("fe80::1%eth0") == "fe80::1"
