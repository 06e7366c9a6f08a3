"""The PROXY protocol, versions 1 and 2, as HAProxy's `proxy-protocol.txt` defines it: bytes in, the real client out.

Driven by the acceptor, before TLS, and only for peers in a trusted network: anyone else's header would be a lie.  It
takes exactly the header's bytes, so what follows (a ClientHello) is left for whoever reads next.  No socket here.
"""

from __future__ import annotations

import ipaddress
import struct

import msgspec

from merpati.errors import Permanent
from merpati.net.addresses import Endpoint, plain_ip

V1_PREFIX = b"PROXY "
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2_FIXED = 16
"""Bytes of a version 2 header before its addresses."""
MAX_V1 = 107
"""proxy-protocol.txt section 2.1: the longest line of version 1, CRLF included."""
MAX_V2 = 4096
"""Bytes of a version 2 header we read, its TLVs included (16 bits would allow 65,551)."""


class ProxyError(Permanent):
    """A trusted proxy sent something that is no PROXY header; the connection is closed without a word."""


class ProxyHeader(msgspec.Struct, frozen=True):
    """Who the proxy speaks for; both None when it speaks for itself (a health check) or does not know."""

    source: Endpoint | None
    destination: Endpoint | None


class ProxyParser:
    """Feed it until `header` is there."""

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        self._seen = b""

    def feed(self, data: bytes) -> int:
        """Take bytes of the header; how many were taken is returned, fewer than all only once `header` is there.

        Raises `ProxyError`.
        """
        seen = self._seen + data
        if seen.startswith(V1_PREFIX):
            end = _end_of_v1(seen)
        elif seen.startswith(V2_SIGNATURE):
            end = _end_of_v2(seen)
        elif V1_PREFIX.startswith(seen) or V2_SIGNATURE.startswith(seen):
            end = None
        else:
            raise ProxyError("not a PROXY header")
        if end is None:
            self._seen = seen
            return len(data)
        taken = end - len(self._seen)
        whole, self._seen = seen[:end], b""
        self.header = _read_v1(whole) if whole.startswith(V1_PREFIX) else _read_v2(whole)
        return taken


def _end_of_v1(seen: bytes) -> int | None:
    end = seen.find(b"\n", 0, MAX_V1)
    if end >= 0:
        if seen[end - 1 : end] != b"\r":
            raise ProxyError("PROXY line ends without CR")
        return end + 1
    if len(seen) >= MAX_V1:
        raise ProxyError("PROXY line too long")
    return None


def _end_of_v2(seen: bytes) -> int | None:
    if len(seen) < V2_FIXED:
        return None
    end = V2_FIXED + int.from_bytes(seen[14:16], "big")
    if end > MAX_V2:
        raise ProxyError("PROXY header too long")
    return end if len(seen) >= end else None


def _read_v1(line: bytes) -> ProxyHeader:
    try:
        words = line[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyError("PROXY line is not ASCII") from None
    if words[1] == "UNKNOWN":
        # proxy-protocol.txt section 2.1: the rest of the line is to be ignored
        return ProxyHeader(None, None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("malformed PROXY line")
    version = 4 if words[1] == "TCP4" else 6
    source, destination = (_endpoint(words[i], words[i + 2], version) for i in (2, 3))
    return ProxyHeader(source, destination)


def _endpoint(ip: str, port: str, version: int) -> Endpoint:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise ProxyError("malformed address in a PROXY line") from None
    if address.version != version or "%" in ip:
        raise ProxyError("address of another family in a PROXY line")
    # proxy-protocol.txt section 2.1: decimal, in 0..65535, no leading zero
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or str(int(port)) != port or int(port) > 65_535:
        raise ProxyError("malformed port in a PROXY line")
    return Endpoint(plain_ip(ip), int(port))


def _read_v2(header: bytes) -> ProxyHeader:
    version_command, family = header[12], header[13]
    if version_command >> 4 != 2 or version_command & 15 > 1:
        raise ProxyError("unknown PROXY version or command")
    if version_command & 15 == 0:
        # section 2.2: LOCAL, the proxy's own connection; the addresses are to be ignored
        return ProxyHeader(None, None)
    body = header[V2_FIXED:]
    if family == 0x11:  # TCP over IPv4
        return _addresses_of(body, "!4s4sHH")
    if family == 0x21:  # TCP over IPv6
        return _addresses_of(body, "!16s16sHH")
    if family >> 4 > 3 or family & 15 > 2:
        raise ProxyError("unknown PROXY address family")
    # unspecified, datagrams, Unix sockets: nothing that names a client of ours
    return ProxyHeader(None, None)


def _addresses_of(body: bytes, layout: str) -> ProxyHeader:
    if len(body) < struct.calcsize(layout):
        raise ProxyError("PROXY header too short for its addresses")
    source, destination, source_port, destination_port = struct.unpack_from(layout, body)
    ends = ((source, source_port), (destination, destination_port))
    there, here = (Endpoint(plain_ip(str(ipaddress.ip_address(ip))), port) for ip, port in ends)
    return ProxyHeader(there, here)
