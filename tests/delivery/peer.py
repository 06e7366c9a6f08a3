"""A mail server in memory: what the worker's tests relay to.  It does what it is told, host by host."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from delivery.remote.schedule import Answer, End
from delivery.remote.sessions import Message
from delivery.remote.targets import Target
from merpati.errors import Temporary
from merpati.events import Outbound


@dataclass
class World:
    """All servers there are.  `ends` says how a recipient is answered; `down` which hosts do not answer."""

    down: set[str] = field(default_factory=set)
    ends: dict[str, End] = field(default_factory=dict)
    hang: dict[str, asyncio.Event] = field(default_factory=dict)
    """Hosts whose answer to a message waits for an event."""
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(host, recipient, bytes) of every message that was taken."""
    open: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    connects: int = 0

    async def connect(self, target: Target) -> Peer:
        self.connects += 1
        if target.host in self.down:
            raise Temporary("connection refused", enhanced="4.4.1", host=target.host)
        self.open[target.host] = self.open.get(target.host, 0) + 1
        self.most[target.host] = max(self.most.get(target.host, 0), self.open[target.host])
        return Peer(self, target.host)


@dataclass
class Peer:
    world: World
    host: str
    usable: bool = True

    async def send(self, event: Outbound, message: Message) -> list[Answer]:
        raw = message if isinstance(message, bytes) else b"".join([piece async for piece in message])
        if (gate := self.world.hang.get(self.host)) is not None:
            await gate.wait()
        await asyncio.sleep(0)
        return [self._answer(recipient, raw) for recipient in event.recipients]

    def _answer(self, recipient, raw: bytes) -> Answer:  # type: ignore[no-untyped-def]
        end = self.world.ends.get(recipient.address, End.RELAYED)
        if end is End.RELAYED:
            self.world.got.append((self.host, recipient.address, raw))
        words = {End.RELAYED: "250 ok", End.REFUSED: "550 no", End.LATER: "451 later"}[end]
        status = {End.RELAYED: "2.0.0", End.REFUSED: "5.1.1", End.LATER: "4.3.0"}[end]
        return Answer(recipient, end, self.host, words, status)

    async def close(self) -> None:
        self.world.open[self.host] -= 1
