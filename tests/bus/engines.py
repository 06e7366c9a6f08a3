"""The engines as the contract sees them: a log that several buses, and doomed processes, can be opened on."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from merpati.bus.api import Bus, Consumed, Record, Subscription
from merpati.bus.memory import MemoryBus
from merpati.bus.open import open_bus
from merpati.clock import SystemClock
from merpati.events.topics import TopicSpec
from merpati.ids import SystemDice

PROGRAMS = Path(__file__).with_name("programs.py")


def record(topic: str, n: int, key: str = "", size: int = 0) -> Record:
    """Record number `n`; the number is its value's beginning."""
    return Record(topic, (key or f"key{n}").encode(), f"{n}".encode().ljust(size, b" "), (("n", str(n).encode()),))


def number(consumed: Consumed) -> int:
    return int(consumed.value)


def numbers(records: list[Consumed]) -> list[int]:
    return [number(one) for one in records]


class Engine:
    """One log.  `open` gives another bus on it, `member` another process that can be killed."""

    name: str
    patience = 5.0
    """Seconds within which what was published must have come."""
    death = 12.0
    """Seconds within which a dead member's partitions must have gone to another."""

    def __init__(self) -> None:
        self._buses: list[Bus] = []
        self._names = itertools.count()
        self._run = uuid.uuid4().hex[:8]

    def unique(self, what: str) -> str:
        return f"{what}-{self._run}-{next(self._names)}"

    async def open(self) -> Bus:
        bus = self._new()
        self._buses.append(bus)
        await bus.start()
        return bus

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()

    async def topic(self, bus: Bus, partitions: int = 4, keeps: float = 86_400.0, max_record: int = 1 << 20) -> str:
        name = self.unique("topic")
        await bus.ensure_topics([TopicSpec(name, partitions, keeps, max_record)])
        return name

    def _new(self) -> Bus:
        raise NotImplementedError

    def member(self, bus: Bus, group: str, topic: str) -> Doomed:
        raise NotImplementedError


class Doomed:
    """A member of a group that takes all it can get and finishes nothing, until it is killed."""

    async def __aenter__(self) -> Doomed:
        raise NotImplementedError

    async def took(self, count: int) -> list[int]:
        """Wait until it holds so many records."""
        raise NotImplementedError

    async def kill(self) -> None:
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


class MemoryEngine(Engine):
    name = "memory"
    patience = 0.5

    def __init__(self) -> None:
        super().__init__()
        self._bus = MemoryBus(SystemClock(), SystemDice())

    def _new(self) -> Bus:
        return self._bus

    def member(self, bus: Bus, group: str, topic: str) -> Doomed:
        assert isinstance(bus, MemoryBus)
        return _DoomedTask(bus, group, topic)


class _DoomedTask(Doomed):
    def __init__(self, bus: MemoryBus, group: str, topic: str) -> None:
        self._bus = bus
        self._names = (group, topic)
        self._taken: list[int] = []

    async def __aenter__(self) -> Doomed:
        self._context = self._bus.subscribe(self._names[0], [self._names[1]])
        self._member = await self._context.__aenter__()
        return self

    async def took(self, count: int) -> list[int]:
        while len(self._taken) < count:
            self._taken += numbers(await self._member.take(count, 5.0))
        return self._taken

    async def kill(self) -> None:
        self._bus.kill(self._member)


class Program:
    """One of `programs`, running; it can be killed, stopped and read line by line."""

    def __init__(self, engine: UrlEngine, name: str, *arguments: object) -> None:
        head = [name, engine.url, str(engine.data), json.dumps(dict(engine.options))]
        self._command = [sys.executable, str(PROGRAMS), *head, *map(str, arguments)]

    async def __aenter__(self) -> Program:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, limit=1 << 22
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        return self.process.pid

    async def line(self, seconds: float = 60.0) -> Any:
        """What it says next; None at its end."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), seconds)
        return json.loads(line) if line.endswith(b"\n") else None

    async def rest(self) -> list[Any]:
        """What it says until it ends."""
        lines = []
        while (line := await self.line()) is not None:
            lines.append(line)
        return lines

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


class _DoomedProcess(Doomed):
    def __init__(self, engine: UrlEngine, group: str, topic: str) -> None:
        self._program = Program(engine, "hold", group, topic)
        self._taken: list[int] = []

    async def __aenter__(self) -> Doomed:
        await self._program.__aenter__()
        assert await self._program.line() == "joined"
        return self

    async def took(self, count: int) -> list[int]:
        while len(self._taken) < count:
            self._taken += await self._program.line()
        return self._taken

    async def kill(self) -> None:
        await self._program.kill()


class UrlEngine(Engine):
    """An engine that is reached through its URL, from any process."""

    def __init__(self, name: str, url: str, data: Path, options: Mapping[str, str]) -> None:
        super().__init__()
        self.name = name
        self.url = url
        self.data = data
        self.options = options

    def _new(self) -> Bus:
        return open_bus(self.url, data=self.data, kafka_options=self.options, clock=SystemClock(), dice=SystemDice())

    def member(self, bus: Bus, group: str, topic: str) -> Doomed:
        return _DoomedProcess(self, group, topic)


def sqlite_engine(data: Path) -> UrlEngine:
    return UrlEngine("sqlite", "sqlite:", data, {})


def kafka_engine(url: str, data: Path) -> UrlEngine:
    engine = UrlEngine("kafka", url, data, {"session.timeout.ms": "3000"})
    engine.patience = 20.0
    engine.death = 30.0
    return engine


@asynccontextmanager
async def closing(engine: Engine) -> AsyncIterator[Engine]:
    try:
        yield engine
    finally:
        await engine.close()


async def churn(engine: UrlEngine, topic: str, group: str, rounds: int, pause: float) -> set[int]:
    """Publish 100 records a round to members killed in turn; the numbers worked on, once all are finished."""
    bus = await engine.open()
    worked_on: set[int] = set()
    members: list[Program] = []
    listening: list[asyncio.Task[None]] = []

    async def listen(program: Program) -> None:
        while (said := await program.line(300)) is not None:
            if isinstance(said, list):
                worked_on.update(said)

    async def join() -> None:
        members.append(await Program(engine, "work", group, topic).__aenter__())
        listening.append(asyncio.create_task(listen(members[-1])))

    for _ in range(3):
        await join()
    for start in range(0, rounds * 100, 100):
        await bus.publish([record(topic, n, f"key{n % 31}") for n in range(start, start + 100)])
        await asyncio.sleep(pause)
        await members.pop(0).kill()
        await join()
    until = asyncio.get_running_loop().time() + engine.death + 10
    while sum((await bus.lag(group, [topic])).values()) and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.1)
    for member in members:
        await member.kill()
    await asyncio.gather(*listening)
    assert sum((await bus.lag(group, [topic])).values()) == 0
    return worked_on


async def drain(source: Subscription, count: int, patience: float, limit: int = 100) -> list[Consumed]:
    """Take until there are `count` records, or nothing came for `patience` seconds."""
    taken: list[Consumed] = []
    until = asyncio.get_running_loop().time() + patience
    while len(taken) < count and (left := until - asyncio.get_running_loop().time()) > 0:
        batch = await source.take(limit, left)
        if batch:
            until = asyncio.get_running_loop().time() + patience
        taken += batch
    return taken
