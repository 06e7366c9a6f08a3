"""A small DNS server on loopback that answers from a table, and misbehaves for the names it is told to."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from merpati.net.addresses import Endpoint

Zones = Mapping[str, Mapping[str, Sequence[str]]]


class DnsServer:
    """`zones` as `StaticResolver` has them; `faults` is name → what goes wrong: see `_spoiled`."""

    def __init__(self, zones: Zones, faults: Mapping[str, str] | None = None, ttl: int = 60) -> None:
        self.zones = zones
        self.faults = faults or {}
        self.ttl = ttl
        self.authenticated = False
        self.asked: list[tuple[str, str, str]] = []
        """(transport, name, kind) of each question, in order."""
        self.endpoint = Endpoint("127.0.0.1", 0)

    def answer(self, wire: bytes, transport: str) -> list[bytes]:
        """The datagrams that follow a question."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((transport, name, dns.rdatatype.to_text(question.rdtype)))
        response = dns.message.make_response(query, recursion_available=True)
        if self.authenticated:
            response.flags |= dns.flags.AD
        self._fill(response, name, dns.rdatatype.to_text(question.rdtype))
        return self._spoiled(response, self.faults.get(name, ""), transport)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(20):
            kinds = self.zones.get(name)
            if kinds is None:
                if not any(other.endswith("." + name) for other in self.zones):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                break
            if "*" in kinds:
                response.set_rcode(dns.rcode.SERVFAIL)
                return
            if "CNAME" in kinds and kind != "CNAME":
                target = kinds["CNAME"][0]
                response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", target + "."))
                name = target
                continue
            for value in kinds.get(kind, ()):
                response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", kind, _presented(kind, value)))
            if kinds.get(kind):
                return
            break
        soa = f"ns.invalid. host.invalid. 1 3600 600 86400 {self.ttl}"
        response.authority.append(dns.rrset.from_text(".", self.ttl, "IN", "SOA", soa))

    def _spoiled(self, response: dns.message.Message, fault: str, transport: str) -> list[bytes]:
        whole = response.to_wire(max_size=65_535)
        match fault:
            case "timeout":
                return []
            case "refused":
                response.set_rcode(dns.rcode.REFUSED)
                return [response.to_wire()]
            case "garbage":
                return [b"\xff" * 40]
            case "empty":
                return [b""]
            case "truncated" if transport == "udp":
                response.answer.clear()
                response.flags |= dns.flags.TC
                return [response.to_wire()]
            case "truncated and no tcp":
                response.answer.clear()
                response.flags |= dns.flags.TC
                return [response.to_wire()] if transport == "udp" else []
            case "forged first":
                forged = dns.message.from_wire(whole)
                forged.answer = [dns.rrset.from_text(response.question[0].name, 60, "IN", "A", "203.0.113.66")]
                forged.id = (response.id + 1) & 0xFFFF
                other = dns.message.from_wire(whole)
                other.question = [dns.rrset.from_text("other.example.", 0, "IN", "A")]
                other.answer = list(forged.answer)
                return [forged.to_wire(), other.to_wire(), whole]
            case "extra answers":
                for section in (response.answer, response.additional):
                    section.append(dns.rrset.from_text("bank.example.", 60, "IN", "A", "203.0.113.66"))
                return [response.to_wire()]
            case _:
                return [whole]


def _presented(kind: str, value: str) -> str:
    if kind == "TXT":
        raw = value.encode()
        pieces = [raw[i : i + 200] for i in range(0, max(len(raw), 1), 200)]
        return " ".join('"' + "".join(f"\\{byte:03d}" for byte in piece) + '"' for piece in pieces)
    return value + "." if kind in ("MX", "CNAME", "NS", "PTR") and not value.endswith(".") else value


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for datagram in self._server.answer(data, "udp"):
            self._transport.sendto(datagram, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def dns_serving(zones: Zones, faults: Mapping[str, str] | None = None, ttl: int = 60) -> AsyncIterator[DnsServer]:
    """The server at work, on UDP and TCP of one port."""
    server = DnsServer(zones, faults, ttl)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                for answer in server.answer(await reader.readexactly(size), "tcp"):
                    writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    stream = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = stream.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", port))
    server.endpoint = Endpoint("127.0.0.1", port)
    try:
        yield server
    finally:
        udp.close()
        stream.close()
