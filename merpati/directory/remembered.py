"""One directory log as it is remembered: its newest known state, how old that is, and one reading at a time.

Used by `log_directory` and `editing`; never decides what a state means.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from merpati.clock import Clock
from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.errors import MerpatiError, Unavailable
from merpati.ids import AccountId
from merpati.log.api import Log

Opener = Callable[[AccountId], "Log[DirectoryState, DirectoryChange]"]
"""Opens the commit log of this id; cheap, and reads nothing yet."""

READING = 10.0
"""Seconds one reading may take."""
AGAIN = 1.0
"""Seconds between readings that fail."""


class Remembered:
    """A log and what is known of it."""

    def __init__(self, log_id: AccountId, log: Log[DirectoryState, DirectoryChange], clock: Clock) -> None:
        self.id = log_id
        self.log = log
        self.used = 0.0
        """When it was last asked for (monotonic)."""
        self.state: DirectoryState | None = None
        self._clock = clock
        self._read_at = -math.inf
        self._failed_at = -math.inf
        self._failure = "never read"
        self._reading: asyncio.Task[None] | None = None

    @property
    def age(self) -> float:
        """Seconds for which the state has not been compared with the log; infinite if it was never read."""
        return self._clock.monotonic() - self._read_at

    @property
    def failing(self) -> bool:
        """Whether the last attempt at reading failed."""
        return self._failed_at > self._read_at

    async def refresh(self) -> None:
        """Read the log, or join the reading under way.  Raises `Unavailable`."""
        if self.failing and self._clock.monotonic() - self._failed_at < AGAIN and self._reading is None:
            raise Unavailable("directory unavailable", log=self.id, failure=self._failure)
        await asyncio.shield(self._begin())

    def refresh_soon(self) -> None:
        """Read the log in the background, unless that is going on or has just failed."""
        if self._reading is None and not (self.failing and self._clock.monotonic() - self._failed_at < AGAIN):
            self._begin()

    def take(self, state: DirectoryState) -> None:
        """A state that this process has just committed or was sent."""
        self.state = state
        self._read_at = self._clock.monotonic()

    def feed(self, commit: bytes) -> None:
        """Another process has committed; `commit` is the commit object, or empty if it was large."""
        if commit and self.log.feed(commit) and self.log.tip is not None:
            self.take(self.log.tip.state)
        else:
            self.refresh_soon()

    def expire(self) -> None:
        """Something was missed: read at the next chance."""
        self._read_at = -math.inf if self.state is None else min(self._read_at, self._clock.monotonic() - AGAIN)
        self.refresh_soon()

    async def close(self) -> None:
        """End the reading under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name=f"directory/{self.id}")
            self._reading.add_done_callback(self._ended)
        return self._reading

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # a background reading that failed has told `failing`

    async def _read(self) -> None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(READING):
                tip = await self.log.read()
        except (MerpatiError, TimeoutError) as error:
            self._failed_at = self._clock.monotonic()
            self._failure = str(error) or "too slow"
            raise Unavailable("directory unavailable", log=self.id, failure=self._failure) from error
        self.state = tip.state
        self._read_at = began
