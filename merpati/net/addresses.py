"""Addresses: listeners as the settings write them, networks, and what counts as one client.

Called by the acceptor, the throttle and whoever reads an "address:port".  Pure: no socket, no look-up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import msgspec

from merpati.errors import Misconfigured

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_CLIENT_PREFIX = 64
"""Bits of an IPv6 address that name one client: a customer is handed at least a /64 (RFC 6177 section 2)."""


class Endpoint(msgspec.Struct, frozen=True):
    """A host (address or name, without brackets; empty is every address of the machine) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        # RFC 3986 section 3.2.2: brackets keep the colons of an IPv6 address apart from the port's
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listener(text: str) -> Endpoint | None:
    """A listener such as `127.0.0.1:25`, `[::1]:25`, `localhost:0`, `:25` or `*:25` (everywhere); "" is None, off.

    Port 0 lets the system choose.  Raises `Misconfigured`.
    """
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        raise Misconfigured(f'"{text}" is not "address:port"', enhanced="5.3.5")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host or _address(host) is None:
            raise Misconfigured(f'"{text}" has no IPv6 address in its brackets')
    elif ":" in host:
        raise Misconfigured(f'"{text}": an IPv6 address stands in brackets, "[{host}]:{port}"')
    elif any(letter.isspace() or letter in "[]" for letter in host):
        raise Misconfigured(f'"{text}" is not "address:port"')
    return Endpoint("" if host == "*" else host, int(port))


def parse_server(text: str, port: int) -> Endpoint:
    """A server to talk to: `192.0.2.1`, `192.0.2.1:5353`, `::1`, `[::1]:5353`; `port` if it names none.

    The host must be an address.  Raises `Misconfigured`.
    """
    if _address(text.strip("[]")) is not None:
        return Endpoint(text.strip("[]"), port)
    found = parse_listener(text)
    if found is None or _address(found.host) is None or found.port == 0:
        raise Misconfigured(f'"{text}" is not the "address:port" of a server')
    return found


def plain_ip(text: str) -> str:
    """An address as it is written down: without a zone, and an IPv4 client of an IPv6 socket as IPv4.

    Anything that is no address comes back unchanged.
    """
    address = _address(text)
    if address is None:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped  # RFC 4291 section 2.5.5.2
        return str(mapped) if mapped is not None else str(ipaddress.IPv6Address(int(address)))
    return str(address)


def client_network(ip: str) -> str:
    """What counts as one client: the address itself, or the /64 an IPv6 address is in."""
    address = _address(plain_ip(ip))
    if isinstance(address, ipaddress.IPv6Address):
        kept = int(address) >> (128 - IPV6_CLIENT_PREFIX) << (128 - IPV6_CLIENT_PREFIX)
        return f"{ipaddress.IPv6Address(kept)}/{IPV6_CLIENT_PREFIX}"
    return str(address) if address is not None else ip


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks such as `10.0.0.0/8`, `::1`.  Raises `Misconfigured`, also for host bits that are set by mistake."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise Misconfigured(f'"{text}" is not a network: {error}') from None
    return tuple(networks)


def is_within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Whether the address `ip` is in one of `networks`; what is no address is in none."""
    if not networks:
        return False
    address = _address(plain_ip(ip))
    return address is not None and any(address.version == each.version and address in each for each in networks)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
