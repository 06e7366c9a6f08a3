"""Slowing down those who guess: how long an attempt has to wait for the failures before it.

Called by the authenticator with the time; it waits for nobody and knows no password.  What is remembered is per process
and bounded.  An attempt is measured by its client's network and by its user:

- a network's waits queue up, so that many connections at once guess no faster than one; too long a queue is refused;
- a user's waits do not, and stay short: strangers elsewhere must not lock anybody out;
- a network from which this user has logged in lately is measured by itself, apart from both.

The same wrong password again (a phone that was not told of the new one) hardly counts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from merpati.net.addresses import client_network

SAME_AGAIN = 0.1
"""What a wrong password counts that was tried before."""
RECENT = 4
"""Wrong passwords a bucket knows again."""


class ThrottleLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When waiting begins and where it ends."""

    free: int = 3
    """Failures that cost nothing."""
    first: float = 1.0
    """Seconds the next attempt waits after them; doubled for each failure more."""
    network: float = 15.0
    """Seconds between attempts at most, per network."""
    user: float = 4.0
    """Seconds at most that the failures of strangers cost a user."""
    queue: float = 20.0
    """Seconds an attempt waits at most; one that would wait longer is refused."""
    half_life: float = 600.0
    """Seconds after which failures count half."""
    remembered: int = 20_000
    """Networks, users and pairs in memory, of each so many."""


class Admission(msgspec.Struct, frozen=True):
    """Wait `wait` seconds, decide, then tell `settle`."""

    wait: float
    network: str
    user: str
    fingerprint: bytes


@dataclass(slots=True)
class _Bucket:
    failures: float = 0.0
    at: float = 0.0
    next_at: float = 0.0
    recent: list[bytes] = field(default_factory=list)


V = TypeVar("V")


class _Table(Generic[V]):
    """The youngest entries."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[object, V] = OrderedDict()

    def get(self, key: object) -> V | None:
        return self._entries.get(key)

    def put(self, key: object, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def drop(self, key: object) -> None:
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class Throttle:
    """Failures of the last minutes."""

    def __init__(self, limits: ThrottleLimits = ThrottleLimits()) -> None:
        self._limits = limits
        self._networks: _Table[_Bucket] = _Table(limits.remembered)
        self._users: _Table[_Bucket] = _Table(limits.remembered)
        self._pairs: _Table[_Bucket] = _Table(limits.remembered)
        """Networks from which a user has logged in, and what failed there since."""

    def admit(self, now: float, ip: str, user: str, fingerprint: bytes) -> Admission | None:
        """How long an attempt has to wait; None if it is refused without a look at it."""
        network = client_network(ip)
        pair = self._pairs.get((network, user))
        queued = pair if pair is not None else self._networks.get(network)
        wait = 0.0
        if queued is not None:
            wait = max(0.0, queued.next_at - now)
            if wait > self._limits.queue:
                return None
            # the place in the queue is taken now: attempts that come at once wait one after the other
            queued.next_at = max(now, queued.next_at) + self._delay(queued, now, self._limits.network)
        if pair is None and (bucket := self._users.get(user)) is not None:
            wait = max(wait, self._delay(bucket, now, self._limits.user))
        return Admission(wait, network, user, fingerprint)

    def settle(self, now: float, admission: Admission, *, right: bool) -> None:
        """Tell how an attempt ended; one that could not be decided is not told."""
        key = (admission.network, admission.user)
        if right:
            self._pairs.put(key, _Bucket(at=now))
            return
        if (pair := self._pairs.get(key)) is not None:
            self._fail(pair, now, admission.fingerprint)
            return
        for table, name in ((self._networks, admission.network), (self._users, admission.user)):
            bucket = table.get(name) or _Bucket(at=now)
            self._fail(bucket, now, admission.fingerprint)
            table.put(name, bucket)

    def _fail(self, bucket: _Bucket, now: float, fingerprint: bytes) -> None:
        bucket.failures = self._count(bucket, now) + (SAME_AGAIN if fingerprint in bucket.recent else 1.0)
        bucket.at = now
        bucket.recent = [*(each for each in bucket.recent if each != fingerprint), fingerprint][-RECENT:]
        bucket.next_at = max(bucket.next_at, now + self._delay(bucket, now, self._limits.network))

    def _count(self, bucket: _Bucket, now: float) -> float:
        return bucket.failures * 0.5 ** (max(0.0, now - bucket.at) / self._limits.half_life)

    def _delay(self, bucket: _Bucket, now: float, most: float) -> float:
        beyond = round(self._count(bucket, now)) - self._limits.free
        return min(most, self._limits.first * 2.0 ** min(beyond, 30)) if beyond >= 0 else 0.0
