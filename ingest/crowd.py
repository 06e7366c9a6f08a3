"""Who is in: every open session of one service, how many of each client, and how much memory their messages take.

Sessions enter and leave; the service looks at the time for all of them (one pass a second is cheaper than a timer for
each command) and empties the room when it stops.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from ingest.limits import Limits
from merpati.net.addresses import client_network


class Guest(Protocol):
    """What the crowd knows of a session."""

    deadline: float

    @property
    def idle(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    def expire(self) -> None: ...
    def dismiss(self, farewell: str) -> None: ...
    def abandon(self) -> None: ...


class Crowd:
    """All sessions of one service."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._guests: set[Guest] = set()
        self._of_client: Counter[str] = Counter()
        self._connections = 0
        self.held = 0
        """Bytes of message bodies in memory."""
        self.closing = False
        """Whether the service is being stopped: sessions end as soon as nothing is under way."""

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def busy(self) -> int:
        """Sessions that have not ended."""
        return sum(guest.busy for guest in self._guests)

    def enter(self, guest: Guest, ip: str) -> str:
        """Count a connection in.  The reply it is to be sent away with, or nothing."""
        self._guests.add(guest)
        client = client_network(ip)
        self._of_client[client] += 1
        self._connections += 1
        if self.closing:
            return "421 4.3.2 shutting down"
        if self._connections > self._limits.max_connections:
            return "421 4.3.2 too many connections"
        if self._of_client[client] > self._limits.max_connections_per_client:
            return "421 4.7.0 too many connections from your address"
        return ""

    def hang_up(self, ip: str) -> None:
        """A connection is gone; its session may still be at work."""
        client = client_network(ip)
        self._connections -= 1
        self._of_client[client] -= 1
        if self._of_client[client] <= 0:
            del self._of_client[client]

    def leave(self, guest: Guest) -> None:
        """A session has ended altogether."""
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

    def abandon(self) -> None:
        """End all that are left, whatever they are at."""
        for guest in list(self._guests):
            guest.abandon()
