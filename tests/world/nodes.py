"""The processes of the simulated world: each has its own store with faults, dies at some call, and is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from merpati.clock import ManualClock
from merpati.ids import AccountId, SeededDice
from merpati.log.commit_log import Safeguards
from merpati.mailbox.account import MailAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.memory import MemoryStore
from merpati.objects.retry import RetryingStore
from merpati.objects.wrapped import WrappedStore
from tests.objects.faulty import Faults, FaultyStore

T = TypeVar("T")
ACCOUNT = AccountId("w" * 26)
SHORTEST, LONGEST = 60.0, 30_000.0
"""Seconds for which a process may be stopped in the middle of a request: up to several grace periods."""


class Inline(ThreadPoolExecutor):
    """Threads that are none: what is handed to them is done at once, so that a seed always gives the same."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


class Died(Exception):
    """The process is no more."""


class FateStore(WrappedStore):
    """Requests of one process: one of them is its last, some take hours."""

    def __init__(self, inner: FaultyStore, clock: ManualClock, dice: SeededDice, last: int, pauses: float) -> None:
        super().__init__(inner)
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buried = False
        """The world is over: nothing hangs any more."""
        self._clock = clock
        self._dice = dice
        self._left = last
        self._pauses = pauses

    async def get(self, key: str) -> bytes:
        return await self._call(super().get(key))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._call(super().get_range(key, start, end))

    async def create(self, key: str, data: bytes) -> None:
        await self._call(super().create(key, data))

    async def put(self, key: str, data: bytes) -> None:
        await self._call(super().put(key, data))

    async def delete(self, keys: Iterable[str]) -> None:
        await self._call(super().delete(list(keys)))

    async def _call(self, request: Awaitable[T]) -> T:
        self._left -= 1
        late = self._dice.uniform(0, 1) < 0.5
        if self._left <= 0 and not late:
            await self._die(request)
        if self._dice.uniform(0, 1) < self._pauses:
            await self._pause()
        try:
            return await request
        finally:
            if self._left <= 0:
                await self._die(None)
            if self._dice.uniform(0, 1) < self._pauses:
                await self._pause()

    async def _pause(self) -> None:
        await self._clock.sleep(SHORTEST * (LONGEST / SHORTEST) ** self._dice.uniform(0.0, 1.0))

    async def _die(self, request: Awaitable[Any] | None) -> None:
        if request is not None:
            request.close()  # type: ignore[attr-defined]
        if not self.dead.done():
            self.dead.set_result(None)
        if self.buried:
            raise asyncio.CancelledError
        await asyncio.get_running_loop().create_future()


class Node:
    """A process and those that come after it."""

    def __init__(
        self,
        truth: MemoryStore,
        clock: ManualClock,
        seed: int,
        faults: Faults,
        guards: Safeguards,
        pauses: float,
        lives: tuple[float, float],
    ) -> None:
        self._truth = truth
        self._clock = clock
        self._dice = SeededDice(seed)
        self._faults = faults
        self._guards = guards
        self._pauses = pauses
        self._lives = lives
        self._graves: list[tuple[FateStore, AllMailboxes, asyncio.Task[Any]]] = []
        self.start()

    @property
    def deaths(self) -> int:
        """How often it was started again."""
        return len({id(store) for store, _, _ in self._graves})

    def bury(self) -> None:
        """Let what hangs come to its end."""
        for store in (self.store, *(store for store, _, _ in self._graves)):
            store.buried = True

    def start(self) -> None:
        """A new process, with nothing in memory."""
        dice, clock = self._dice, self._clock
        seeds = [int.from_bytes(dice.bytes(4), "big") for _ in range(4)]
        faulty = FaultyStore(self._truth, clock, SeededDice(seeds[0]), self._faults)
        last = int(dice.uniform(*self._lives))
        self.store = FateStore(faulty, clock, SeededDice(seeds[1]), last, self._pauses)
        retrying = RetryingStore(self.store, clock, SeededDice(seeds[2]))
        self.boxes = AllMailboxes(retrying, clock=clock, dice=SeededDice(seeds[3]), safeguards=self._guards)

    @property
    def account(self) -> MailAccount:
        return self.boxes.account(ACCOUNT)

    async def do(self, work: Callable[[MailAccount], Awaitable[T]]) -> T:
        """Let the process do something.  Raises `Died` if it dies meanwhile; then there is a new one."""
        store, boxes = self.store, self.boxes
        task = asyncio.ensure_future(work(self.account))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        waited: list[asyncio.Future[Any]] = [task, store.dead]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        self._graves.append((store, boxes, task))
        if self.store is store:
            self.start()
        raise Died
