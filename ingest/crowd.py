"""Who is in: every open session of one service, and how much memory their messages take.

Sessions enter and leave; the service looks at the time for all of them (one pass a second is cheaper than a timer for
each command) and sends the idle away when it stops.  How many may come in is the acceptor's business.
"""

from __future__ import annotations

from typing import Protocol


class Guest(Protocol):
    """What the crowd knows of a session."""

    deadline: float
    talking: bool

    @property
    def idle(self) -> bool: ...
    def expire(self) -> None: ...
    def dismiss(self, farewell: str) -> None: ...


class Crowd:
    """All sessions of one service."""

    def __init__(self) -> None:
        self._guests: set[Guest] = set()
        self.held = 0
        """Bytes of message bodies in memory."""
        self.closing = False
        """Whether the service is being stopped: sessions end as soon as nothing is under way."""

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def busy(self) -> bool:
        """Whether any conversation goes on."""
        return any(guest.talking for guest in self._guests)

    def enter(self, guest: Guest) -> None:
        """A session begins."""
        self._guests.add(guest)

    def leave(self, guest: Guest) -> None:
        """A session has ended, and its connection too."""
        self._guests.discard(guest)

    def expire(self, now: float) -> None:
        """Cut off whoever has taken too long; `now` is monotonic."""
        for guest in [each for each in self._guests if each.deadline <= now]:
            guest.expire()

    def close(self) -> None:
        """Send the idle away; the others end by themselves when what they are at is done."""
        self.closing = True
        for guest in list(self._guests):
            if guest.idle:
                guest.dismiss("421 4.3.2 shutting down")
