"""Virtual time: an event loop whose clock jumps to the next moment at which anything happens, and clocks that read it.

Nothing here waits, runs in another thread or asks the machine for the time, so a seed gives the same run each time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_700_000_000.0


class _Jumping(selectors.SelectSelector):
    """Waits for no file: where asyncio would wait, time jumps."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, and its own time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """What is handed to threads is done at once."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class VirtualClock:
    """The time of the loop: that of the store, and of who is right."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return START + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class CrookedClock:
    """The clock of a machine: somebody sets it, or it stands still while the machine is suspended."""

    def __init__(self, right: VirtualClock) -> None:
        self._right = right
        self.skew = 0.0
        """Seconds by which its wall clock is wrong."""
        self.stood = 0.0
        """Seconds for which its monotonic clock stood still."""

    def time(self) -> float:
        return self._right.time() + self.skew

    def monotonic(self) -> float:
        return self._right.monotonic() - self.stood

    async def sleep(self, seconds: float) -> None:
        await self._right.sleep(seconds)
