"""Following the hops of both servers while they happen, and waiting for one of them.

Tails `mail.events` of each server from the demo's own process: the same contract that any consumer of theirs has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from merpati.bus.api import Bus
from merpati.cli.demo.stage import Server
from merpati.errors import Unavailable
from merpati.events import TOPICS, Happened, Unreadable, What, decode
from merpati.ids import MessageId

PATIENCE = 60.0
"""Seconds for a hop that is waited for."""


class Hops:
    """What has happened so far on both servers, and what is yet to."""

    def __init__(self, tell: Callable[[Server, Happened], None]) -> None:
        self._tell = tell
        self._seen: list[tuple[Server, Happened]] = []
        self._news = asyncio.Condition()

    async def follow(self, server: Server, bus: Bus, entered: asyncio.Event) -> None:
        """Tail one server until cancelled; `entered` is set when nothing can be missed any more."""
        async with bus.tail([TOPICS[Happened].name]) as tail:
            entered.set()
            while True:
                for record in await tail.take(100, 1.0):
                    try:
                        event = decode(record)
                    except Unreadable:
                        continue
                    if isinstance(event, Happened):
                        await self._add(server, event)

    async def _add(self, server: Server, event: Happened) -> None:
        self._tell(server, event)
        async with self._news:
            self._seen.append((server, event))
            self._news.notify_all()

    async def until(self, server: Server, what: What, recipient: str, count: int = 1) -> Happened:
        """Wait until `what` has happened `count` times to `recipient` at `server`.  Raises `Unavailable`."""

        def found() -> list[Happened]:
            return [e for s, e in self._seen if s is server and e.what is what and recipient in e.recipients]

        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: len(found()) >= count)
        except TimeoutError:
            raise Unavailable(f"{recipient} was not {what} at {server.domain} within {PATIENCE:.0f} s") from None
        return found()[count - 1]

    def messages(self, server: Server) -> list[MessageId]:
        """The messages seen at a server, in the order they were first heard of."""
        return list(dict.fromkeys(event.message for s, event in self._seen if s is server))
