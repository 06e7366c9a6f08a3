"""The processes of the simulated world: each dies at some request, is stopped for hours, and is started again.

What a process does passes its gate: requests of the store, waiting, publishing.  A stopped process is held there, a
dead one never comes back from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from merpati.ids import AccountId, Dice, SeededDice
from merpati.log.keeping import Rhythm
from merpati.mailbox.account import MailAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.cache import CachedStore
from merpati.objects.retry import RetryingStore
from merpati.objects.wrapped import WrappedStore
from tests.objects.faulty import Belated, Faults, FaultyStore
from tests.world.missing import Missing, bend, bent_store
from tests.world.virtual import CrookedClock, VirtualClock
from tests.world.wire import Push, Wire

T = TypeVar("T")
ACCOUNT = AccountId("w" * 26)
SHORTEST, LONGEST = 60.0, 30_000.0
"""Seconds for which a process may be stopped: up to several grace periods."""
CACHE = 64 << 20
JUMP = 3600.0
"""Seconds by which a clock may be wrong."""
RHYTHM = Rhythm(7, 20)


class Died(Exception):
    """The process is no more."""


@dataclass(frozen=True, slots=True)
class Fate:
    """When a process ends, and how often it is stopped."""

    last: int
    """The request that is its last …"""
    late: bool
    """… and whether that one is still applied."""
    stops: float = 0.0
    """How often it is stopped for a while."""
    jumps: bool = False
    """Whether its machine's clock is set meanwhile."""
    sleep: float = 0.0
    """If it is not to die then: for how many seconds it is stopped instead."""


class Process:
    """What all requests of one process pass."""

    def __init__(self, clock: VirtualClock, crooked: CrookedClock, dice: Dice, fate: Fate) -> None:
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is stopped instead of dying."""
        self.buried = False
        """The world is over: nothing hangs any more."""
        self.requests = 0
        self._hung: list[asyncio.Future[None]] = []
        """What the dead wait for; held here, so that they are not collected before the world is over."""
        self._clock = clock
        self._crooked = crooked
        self._dice = dice
        self._fate = fate
        self._stopped_until = 0.0

    @property
    def stopped_for(self) -> float:
        """How many seconds more."""
        return self._stopped_until - self._clock.monotonic()

    async def gate(self) -> None:
        """Who passes is alive."""
        while self.stopped_for > 0:
            await self._clock.sleep(self.stopped_for)
        if self.dead.done():
            if self.buried:
                raise asyncio.CancelledError
            self._hung.append(asyncio.get_running_loop().create_future())
            await self._hung[-1]

    async def request(self, made: Awaitable[T]) -> T:
        """One request of the store."""
        self.requests += 1
        last = self.requests >= self._fate.last and not (self._fate.sleep and self.slept.done())
        try:
            await self._moment(last=last and not self._fate.late)
        except BaseException:
            made.close()  # type: ignore[attr-defined]
            raise
        try:
            return await made
        finally:
            await self._moment(last=last)

    async def _moment(self, *, last: bool) -> None:
        fate = self._fate
        if last and fate.sleep:
            if not self.slept.done():
                self.slept.set_result(None)
                self._stop(fate.sleep)
        elif last and not self.dead.done():
            self.dead.set_result(None)
        if fate.stops and self._dice.uniform(0, 1) < fate.stops:
            self._stop(SHORTEST * (LONGEST / SHORTEST) ** self._dice.uniform(0.0, 1.0))
        await self.gate()

    def _stop(self, seconds: float) -> None:
        """SIGSTOP, and somebody sets the clock; or the whole machine sleeps, and its monotonic clock with it."""
        self._stopped_until = self._clock.monotonic() + seconds
        if self._fate.jumps:
            self._crooked.skew = self._dice.uniform(-JUMP, JUMP)
        elif self._dice.uniform(0, 1) < 0.5:
            self._crooked.stood += seconds


class ProcessClock:
    """The machine's clock as the process sees it: who wakes passes the gate."""

    def __init__(self, crooked: CrookedClock, process: Process) -> None:
        self._crooked = crooked
        self._process = process
        self.time = crooked.time
        self.monotonic = crooked.monotonic

    async def sleep(self, seconds: float) -> None:
        await self._crooked.sleep(seconds)
        await self._process.gate()


class GatedStore(WrappedStore):
    """Requests of one process."""

    def __init__(self, inner: ObjectStore, process: Process) -> None:
        super().__init__(inner)
        self._process = process

    async def get(self, key: str) -> bytes:
        return await self._process.request(super().get(key))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._process.request(super().get_range(key, start, end))

    async def head(self, key: str) -> ObjectInfo:
        return await self._process.request(super().head(key))

    async def create(self, key: str, data: bytes) -> None:
        await self._process.request(super().create(key, data))

    async def put(self, key: str, data: bytes) -> None:
        await self._process.request(super().put(key, data))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await self._process.request(super().put_stream(key, chunks))

    async def delete(self, keys: Iterable[str]) -> None:
        await self._process.request(super().delete(list(keys)))

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        for info in await self._process.request(self._listed(prefix, after, limit)):
            yield info

    async def _listed(self, prefix: str, after: str, limit: int | None) -> tuple[ObjectInfo, ...]:
        return tuple([info async for info in self._inner.list(prefix, after=after, limit=limit)])


class BentMailboxes(AllMailboxes):
    """The product's, but for what an ablation goes without; says which commits it believes to be its own."""

    def __init__(
        self,
        missing: Missing,
        believed: Callable[[int, bytes], None],
        store: ObjectStore,
        *,
        horizon: float,
        **rest: Any,
    ) -> None:
        super().__init__(bent_store(store, missing), safeguards=missing.safeguards, **rest)
        if horizon:
            self._preparing.young = horizon / 2
        self._missing = missing
        self._believed = believed

    def _made(self, account: AccountId) -> MailAccount:
        made = super()._made(account)
        bend(made, self._missing)
        return made

    def _committed(self, account: AccountId, number: int, at: float, data: bytes) -> None:
        self._believed(number, data)
        super()._committed(account, number, at, data)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the nodes of a world share."""

    truth: ObjectStore
    clock: VirtualClock
    wire: Wire
    belated: Belated
    believed: Callable[[int, bytes], None]
    faults: Faults
    missing: Missing
    stops: float = 0.0
    lives: tuple[float, float] = (1e9, 1e9)
    horizon: float = 0.0
    """H of the large bodies, if it is another than the product's."""
    jumps: float = 0.0
    """How often a process finds its machine's clock set to another time when it starts."""


class Node:
    """A machine with one process and those that come after it."""

    def __init__(self, around: Surroundings, seed: int, cache: Path | None = None) -> None:
        self.deaths = 0
        """How often it was started again."""
        self._around = around
        self._dice = SeededDice(seed)
        self._cache = cache
        self._crooked = CrookedClock(around.clock)
        self._processes: list[tuple[Process, AllMailboxes]] = []
        around.wire.ears.append(self.hear)
        self.start()

    def start(self, fate: Fate | None = None) -> None:
        """A new process, with nothing in memory."""
        around, dice = self._around, self._dice
        fate = fate or Fate(int(dice.uniform(*around.lives)), dice.uniform(0, 1) < 0.5, around.stops, around.jumps > 0)
        if around.jumps and dice.uniform(0, 1) < around.jumps:
            self._crooked.skew = dice.uniform(-JUMP, JUMP)
        seeds = [int.from_bytes(dice.bytes(4), "big") for _ in range(4)]
        self.process = Process(around.clock, self._crooked, SeededDice(seeds[0]), fate)
        self.clock = clock = ProcessClock(self._crooked, self.process)
        store: ObjectStore = FaultyStore(
            around.truth, around.clock, SeededDice(seeds[1]), around.faults, around.belated
        )
        store = RetryingStore(GatedStore(store, self.process), clock, SeededDice(seeds[2]))
        if self._cache is not None:
            store = CachedStore(store, self._cache, CACHE, around.clock)
        self.boxes = BentMailboxes(
            around.missing,
            around.believed,
            store,
            clock=clock,
            dice=SeededDice(seeds[3]),
            publish=self._publish,
            rhythm=RHYTHM,
            horizon=around.horizon,
        )
        self._processes.append((self.process, self.boxes))

    @property
    def account(self) -> MailAccount:
        return self.boxes.account(ACCOUNT)

    def hear(self, push: Push) -> float:
        """A push arrives; a stopped process hears of it later."""
        if self.process.stopped_for > 0:
            return self.process.stopped_for
        if not self.process.dead.done():
            self.boxes.feed(*push)
        return 0.0

    async def _publish(self, pushes: Any) -> None:
        await self.process.gate()
        await self._around.wire.publish(self.hear, pushes)

    async def do(self, work: Callable[[MailAccount], Awaitable[T]]) -> T:
        """Let the process do something.  Raises `Died` if it dies meanwhile; then there is a new one."""
        process = self.process
        task = asyncio.ensure_future(work(self.account))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        waited: list[asyncio.Future[Any]] = [task, process.dead]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and not process.dead.done():
            return task.result()
        if self.process is process:
            self.deaths += 1
            self.start()
        raise Died

    def end(self) -> None:
        """The process dies, and none comes after it."""
        if not self.process.dead.done():
            self.process.dead.set_result(None)

    def bury(self) -> None:
        """Let what hangs come to its end."""
        for process, _ in self._processes:
            process.buried = True
