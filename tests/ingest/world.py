"""A service on loopback with everything behind it in memory and faults to switch on, and a client to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import argon2

from ingest.doors import DOORS
from ingest.edge import AcceptAll
from ingest.limits import Limits
from ingest.service import IngestService
from merpati.auth.authenticator import Authenticator
from merpati.auth.credentials import DirectoryCredentials
from merpati.auth.passwords import Passwords
from merpati.auth.throttle import Throttle, ThrottleLimits
from merpati.bus.api import Record
from merpati.bus.memory import MemoryBus
from merpati.clock import SystemClock
from merpati.errors import Permanent, Unavailable
from merpati.events import Event, Happened, Received, decode, topic_specs
from merpati.ids import SeededDice
from merpati.objects.memory import MemoryStore
from merpati.plugins.edge import EdgePipeline
from merpati.telemetry import Metrics
from tests.ingest.directory import MemoryDirectory
from tests.servers.certificate import self_signed

PATIENCE = 10.0
"""Seconds a test waits for what should come at once."""


MESSAGE = b"From: who@else.test\r\nSubject: x\r\n\r\nhello\r\n"
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 4 * 15_000


class LeapingClock(SystemClock):
    """The machine's clock, and leaps on top of it that wake whoever sleeps."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._leapt: asyncio.Event | None = None

    def time(self) -> float:
        return super().time() + self._ahead

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        due = self.monotonic() + seconds
        while (left := due - self.monotonic()) > 0:
            self._leapt = self._leapt or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leapt.wait(), left)
        await asyncio.sleep(0)

    def leap(self, seconds: float) -> None:
        self._ahead += seconds
        leapt, self._leapt = self._leapt, None
        if leapt is not None:
            leapt.set()


class FaultyBus(MemoryBus):
    """A bus in memory whose `publish` can go wrong.  `fault`: refuse, hang, lose (the answer), swallow (the answer),
    forbid, bug, slow (as long as it is that)."""

    fault = ""
    publishes = 0

    async def asked(self, times: int = 1) -> None:
        """Return when `publish` has been called so often."""
        async with asyncio.timeout(PATIENCE):
            while self.publishes < times:
                await asyncio.sleep(0.005)

    async def publish(self, records: Sequence[Record]) -> None:
        self.publishes += 1
        await asyncio.sleep(0)
        if self.fault == "refuse":
            raise Unavailable("bus is down", secret="broker 10.0.0.7")
        if self.fault == "forbid":
            raise Permanent("record too large")
        if self.fault == "bug":
            raise RuntimeError("kafka down at 10.0.0.7")
        if self.fault == "slow":
            async with asyncio.timeout(PATIENCE):
                while self.fault:
                    await asyncio.sleep(0.005)
        if self.fault == "hang":
            await asyncio.Event().wait()
        await super().publish(records)
        if self.fault == "lose":
            raise Unavailable("no answer")
        if self.fault == "swallow":
            await asyncio.Event().wait()


class FaultyStore(MemoryStore):
    """An object store whose writes can fail (`down`) or hang."""

    down = False
    hangs = False

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise Unavailable("store is down")
        await super().put_stream(key, chunks)


@dataclass
class World:
    """What a test looks at."""

    service: IngestService
    bus: FaultyBus
    store: FaultyStore
    directory: MemoryDirectory
    clock: LeapingClock
    metrics: Metrics
    client_tls: ssl.SSLContext
    _talks: list[Talk] = field(default_factory=list)

    async def events(self, topic: str) -> list[tuple[Event, bytes]]:
        return [(decode(record), record.value) async for record in self.bus.scan(topic)]

    async def received(self) -> list[tuple[Received, bytes]]:
        """Every message on the log, with its bytes, wherever they are."""
        found = []
        for event, value in await self.events("mail.received"):
            assert isinstance(event, Received)
            found.append((event, await self.store.get(event.body.key) if event.body.key else value))
        return sorted(found, key=lambda pair: pair[0].at)

    async def happened(self) -> list[Happened]:
        return [event for event, _ in await self.events("mail.events") if isinstance(event, Happened)]

    async def talk(self, door: str = "mx", *, greet: bool = True, tls: bool | None = None) -> Talk:
        """A client at a door that has read the greeting (unless not `greet`)."""
        implicit = door == "submissions" if tls is None else tls
        talk = await Talk.to(self.service.ports[door], self.client_tls if implicit else None, self.client_tls)
        self._talks.append(talk)
        if greet:
            assert (await talk.reply()).startswith("220 "), "no greeting"
        return talk

    def close(self) -> None:
        for talk in self._talks:
            talk.close()


class Talk:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
        self.reader = reader
        self.writer = writer
        self._tls = tls

    @classmethod
    async def to(cls, port: int, implicit: ssl.SSLContext | None, tls: ssl.SSLContext) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=implicit, limit=1 << 20), tls)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def reply(self) -> str:
        """The next reply, its lines joined by LF; empty once the connection has ended."""
        lines = []
        while True:
            try:
                line = (await asyncio.wait_for(self.reader.readline(), PATIENCE)).decode()
            except ConnectionError:
                line = ""
            if not line:
                assert not lines, f"cut off in {lines}"
                return ""
            assert line.endswith("\r\n"), f"{line!r} has no CRLF"
            assert re.fullmatch(r"[2-5]\d\d[ -][\x20-\x7e]*", line[:-2]), f"{line!r} is no reply"
            lines.append(line[:-2])
            if line[3] == " ":
                return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        await self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def run(self, script: str) -> None:
        r"""A conversation, a line each: `C: line`, `C> bytes with \r\n escapes`, `S: start of reply`, `S.` the end."""
        for number, line in enumerate(script.strip("\n").splitlines(), 1):
            mark, text = line.strip()[:2], line.strip()[2:].removeprefix(" ")
            if mark == "C:":
                await self.send(text.encode() + b"\r\n")
            elif mark == "C>":
                await self.send(text.encode().decode("unicode_escape").encode("latin-1"))
            elif mark == "S:":
                got = await self.reply()
                assert re.match(text, got), f"line {number}: wanted {text!r}, got {got!r}"
            elif mark == "S.":
                assert await self.reply() == "", f"line {number}: still open"
            elif mark == "TL":  # TLS
                await self.start_tls()

    async def start_tls(self) -> None:
        await asyncio.wait_for(self.writer.start_tls(self._tls), PATIENCE)

    async def hand_in(self, content: bytes, *recipients: str, sender: str = "who@else.test") -> str:
        """One message as it stands (the final dot is added); the last reply."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250"), "MAIL"
        for recipient in recipients or ("ann@here.test",):
            assert (await self.say(f"RCPT TO:<{recipient}>")).startswith("250"), recipient
        assert (await self.say("DATA")).startswith("354"), "DATA"
        await self.send(content + b".\r\n")
        return await self.reply()

    def close(self) -> None:
        self.writer.close()


async def ready(here: World, door: str = "mx") -> Talk:
    talk = await here.talk(door)
    await talk.say("LHLO client.test" if door == "lmtp" else "EHLO client.test")
    return talk


def logins(directory: MemoryDirectory, clock: LeapingClock, dice: SeededDice) -> Authenticator:
    """A real authenticator with hashes that cost nothing; ann's password is `secret`."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    directory.set_password("ann@here.test", cheap.hash("secret"))
    passwords = Passwords(clock, dice, hasher=cheap)
    return Authenticator(DirectoryCredentials(directory), passwords, None, Throttle(ThrottleLimits(free=100)), clock)


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of the server, and of a client that trusts it."""
    pair = self_signed(folder, ["localhost"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    client = ssl.create_default_context(cafile=str(pair.certificate))
    client.check_hostname = False
    return server, client


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    *,
    limits: Limits = Limits(greet_wait=0.0),
    directory: MemoryDirectory | None = None,
    edge: EdgePipeline = AcceptAll(),
    ports: dict[str, int] | None = None,
    **components: object,
) -> AsyncIterator[World]:
    """A service with all four doors."""
    clock, dice = LeapingClock(), SeededDice(7)
    bus, store = FaultyBus(clock, dice), FaultyStore(clock)
    await bus.start()
    await bus.ensure_topics(topic_specs(3, []))
    directory = directory or MemoryDirectory("ann@here.test", "bob@here.test", "cat@there.test")
    components.setdefault("authenticator", logins(directory, clock, dice))
    context, client = contexts(folder)
    service = IngestService(
        bus=bus,
        store=store,
        directory=directory,
        clock=clock,
        dice=dice,
        metrics=(metrics := Metrics()),
        hostname="mx.here.test",
        listeners={name: f"127.0.0.1:{(ports or {}).get(name, 0)}" for name in DOORS},
        tls_context=lambda: context,
        edge=edge,
        limits=limits,
        spool_folder=str(folder),
        **components,  # type: ignore[arg-type]
    )
    await service.start()
    try:
        yield (made := World(service, bus, store, directory, clock, metrics, client))
    finally:
        made.close()
        bus.fault = ""
        await service.stop(5)
        await bus.close()
