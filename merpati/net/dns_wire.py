"""Asking DNS servers: over UDP, over TCP when an answer is cut short, within a time, and not twice while it is known.

Made by the components; callers see only `Resolver`.  The one door of dnspython, whose exceptions end here.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.resolver
import msgspec

from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent
from merpati.ids import Dice
from merpati.net.addresses import Endpoint
from merpati.net.dns import Answer, Kind, MxHost, Record, Resolver, TlsaRecord, ascii_name, no_answer

MAX_RECORDS = 200
"""Records of one answer that are kept."""
UDP_PAYLOAD = 1232
"""Bytes of a UDP answer: what crosses every link unbroken (DNS flag day 2020)."""


class DnsLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may take and how long it is believed."""

    attempt: float = 2.0
    """Seconds one server has."""
    lifetime: float = 10.0
    """Seconds all tries have together."""
    at_once: int = 256
    """Questions under way."""
    entries: int = 10_000
    """Answers remembered."""
    entry_size: int = 4096
    """Bytes of an answer that is remembered, about."""
    longest: float = 86_400.0
    """Seconds an answer is believed at most, whatever its TTL."""
    longest_negative: float = 300.0
    """The same for "there is none" (RFC 2308 section 5 allows hours; a domain just set up should not wait)."""
    failure: float = 5.0
    """Seconds a failure is remembered (RFC 9520 section 3.2: at least 1, at most 300)."""


class NetworkResolver(Resolver):
    """Asks `servers`; none are the system's."""

    def __init__(self, servers: Sequence[Endpoint], clock: Clock, dice: Dice, limits: DnsLimits = DnsLimits()) -> None:
        super().__init__(dice)
        self._limits = limits
        self._stub = _stub(servers, limits)
        self._memory = _Memory(clock, limits)
        self._running: dict[tuple[str, Kind], asyncio.Task[Answer | MerpatiError]] = {}
        self._room = asyncio.Semaphore(limits.at_once)

    async def lookup(self, name: str, kind: Kind) -> Answer:
        key = (ascii_name(name), kind)
        outcome = self._memory.get(key)
        if outcome is None:
            task = self._running.get(key)
            if task is None:
                # RFC 9520 section 3.3: the same question is under way once, however many wait for it
                task = asyncio.create_task(self._ask(key))
                self._running[key] = task
                task.add_done_callback(lambda _: self._running.pop(key, None))
            outcome = await asyncio.shield(task)
        if isinstance(outcome, MerpatiError):
            raise no_answer(name, kind, str(outcome.facts.get("reason", "")))
        return outcome

    async def close(self) -> None:
        """Ask nothing more; whoever still waits is cancelled."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: tuple[str, Kind]) -> Answer | MerpatiError:
        # a failure is an answer here: nobody may be left to take an exception
        name, kind = key
        outcome: Answer | MerpatiError
        try:
            async with self._room, asyncio.timeout(self._limits.lifetime + 1):
                outcome = await self._question(name, kind)
        except dns.exception.Timeout:
            outcome = no_answer(name, kind, "timeout")
        except dns.resolver.NoNameservers as error:
            outcome = no_answer(name, kind, _reason(error))
        except (dns.exception.DNSException, OSError) as error:
            outcome = no_answer(name, kind, type(error).__name__)
        self._memory.put(key, outcome)
        return outcome

    async def _question(self, name: str, kind: Kind) -> Answer:
        asked = dns.name.from_text(name + ".")
        try:
            # `search=False`: a name is whole; the search list of this machine is none of its business
            found = await self._stub.resolve(asked, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as none:
            response = none.response(asked)
            return Answer((), False, _is_authenticated(response), self._lifetime(response, negative=True))
        records = tuple(_read(kind, each) for each in list(found.rrset or ())[:MAX_RECORDS])
        lifetime = self._lifetime(found.response, negative=not records)
        return Answer(records, True, _is_authenticated(found.response), lifetime)

    def _lifetime(self, response: dns.message.Message, *, negative: bool) -> float:
        longest = self._limits.longest_negative if negative else self._limits.longest
        # the least TTL of the aliases and the records, or of the SOA (RFC 2308 section 5); huge if there is neither
        return min(float(response.resolve_chaining().minimum_ttl), longest)  # type: ignore[attr-defined]


class _Memory:
    """Answers, each until its time is up, the least used forgotten first."""

    def __init__(self, clock: Clock, limits: DnsLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._entries: OrderedDict[tuple[str, Kind], tuple[float, Answer | MerpatiError]] = OrderedDict()

    def get(self, key: tuple[str, Kind]) -> Answer | MerpatiError | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: tuple[str, Kind], outcome: Answer | MerpatiError) -> None:
        seconds = self._limits.failure
        if isinstance(outcome, Answer):
            seconds = outcome.ttl
            if sum(_size(record) for record in outcome.records) > self._limits.entry_size:
                return
        if seconds <= 0:
            return
        self._entries[key] = (self._clock.monotonic() + seconds, outcome)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limits.entries:
            self._entries.popitem(last=False)


def _size(record: Record) -> int:
    if isinstance(record, str | bytes):
        return len(record) + 50
    return len(record.host if isinstance(record, MxHost) else record.data) + 100


def _stub(servers: Sequence[Endpoint], limits: DnsLimits) -> dns.asyncresolver.Resolver:
    try:
        stub = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        # resolv.conf(5): without one the server is the one on this machine
        stub = dns.asyncresolver.Resolver(configure=False)
        servers = [Endpoint("127.0.0.1", 53)]
    if servers:
        stub.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in servers]
    stub.timeout = limits.attempt
    stub.lifetime = limits.lifetime
    stub.cache = None
    stub.use_edns(0, 0, UDP_PAYLOAD)
    # RFC 6840 section 5.7: AD in a question asks for AD in the answer
    stub.flags = dns.flags.RD | dns.flags.AD
    return stub


def _is_authenticated(response: dns.message.Message) -> bool:
    return bool(response.flags & dns.flags.AD)


def _reason(error: dns.resolver.NoNameservers) -> str:
    errors: Any = error.kwargs.get("errors") or []
    return ", ".join(str(each[3])[:100] for each in errors[:4]) or "no server answers"


def _name(name: dns.name.Name) -> str:
    """A name out of an answer; the root is empty, what is no name becomes one that never resolves."""
    if name == dns.name.root:
        return ""
    try:
        return ascii_name(name.to_text(omit_final_dot=True))
    except Permanent:
        return INVALID


INVALID = "invalid.invalid"
"""RFC 6761 section 6.4: stands for a name in an answer that is none; it never has an address."""

_READERS: dict[Kind, Callable[[Any], Record]] = {
    "A": lambda rdata: str(rdata.address),
    "AAAA": lambda rdata: str(rdata.address),
    "CNAME": lambda rdata: _name(rdata.target),
    "NS": lambda rdata: _name(rdata.target),
    "PTR": lambda rdata: _name(rdata.target),
    "MX": lambda rdata: MxHost(rdata.preference, _name(rdata.exchange)),
    "TXT": lambda rdata: b"".join(rdata.strings),
    "TLSA": lambda rdata: TlsaRecord(rdata.usage, rdata.selector, rdata.mtype, rdata.cert),
}


def _read(kind: Kind, rdata: Any) -> Record:
    return _READERS[kind](rdata)
