"""What was read of late and may soon be wanted again, by all logs of a process, under one byte limit.

Called by `attachments` for pieces of packs and for their indexes.  Names are whole keys, so nothing of one log is ever
found under the name of another's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

V = TypeVar("V")

LATELY = 64 << 20
"""Bytes that a process remembers of the packs it read."""


class Lately:
    """Things by name; the least recently wanted go first."""

    def __init__(self, limit: int = LATELY) -> None:
        self._limit = limit
        self._known: OrderedDict[Hashable, tuple[asyncio.Future[Any], int]] = OrderedDict()
        self.size = 0
        """Bytes of all that is remembered."""

    async def get(self, name: Hashable, read: Callable[[], Coroutine[Any, Any, V]], size: Callable[[V], int]) -> V:
        """What was read of late, or is being read for somebody else; a failure is not remembered.

        `size` says how many bytes it takes.
        """
        if name not in self._known:
            reading = asyncio.ensure_future(read())
            self._known[name] = reading, 0
            reading.add_done_callback(lambda done: self._done(name, done, size))
        self._known.move_to_end(name)
        found: asyncio.Future[V] = self._known[name][0]
        return await asyncio.shield(found)

    def _done(self, name: Hashable, reading: asyncio.Future[V], size: Callable[[V], int]) -> None:
        failed = reading.cancelled() or reading.exception() is not None
        if name not in self._known or self._known[name][0] is not reading:
            return  # others were wanted more meanwhile
        if failed:
            del self._known[name]
            return
        taken = size(reading.result())
        self._known[name] = reading, taken
        self.size += taken
        while self.size > self._limit:
            _, (_, gone) = self._known.popitem(last=False)
            self.size -= gone
