"""What stands between the thread that polls Kafka and the event loop that takes: fetched records, and progress.

Called by `pump` (put, assign, revoke) from its threads and by `subscription` (take, finish) from the event loop; one
lock guards it all and is only ever held for a moment.  Never talks to Kafka.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence

from merpati.bus.api import Consumed
from merpati.bus.progress import Progress

Lane = tuple[str, int]
"""A topic and one of its partitions."""


class Inbox:
    """At most about `most_bytes` of records wait; `notify` is called from the polling thread when there is news."""

    def __init__(self, most_bytes: int, notify: Callable[[], None]) -> None:
        self.room = threading.Event()
        """Set while there is room for more records; waited for by the polling thread."""
        self.room.set()
        self._most_bytes = most_bytes
        self._notify = notify
        self._lock = threading.Lock()
        self._waiting: deque[Consumed] = deque()
        self._bytes = 0
        self._held: dict[Lane, Progress | None] = {}

    # From the polling thread.

    def assign(self, lanes: Collection[Lane]) -> None:
        """These are ours from now on."""
        with self._lock:
            for lane in lanes:
                self._held.setdefault(lane, None)
        self._notify()

    def withhold(self, lanes: Collection[Lane]) -> None:
        """Hand out nothing more of these: they are about to be another's."""
        with self._lock:
            kept = deque(record for record in self._waiting if (record.topic, record.partition) not in lanes)
            self._waiting = kept
            self._bytes = sum(len(record.value) for record in kept)
            self._say_room()

    def revoke(self, lanes: Collection[Lane]) -> None:
        """These are another's."""
        self.withhold(lanes)
        with self._lock:
            for lane in lanes:
                self._held.pop(lane, None)
        self._notify()

    def clear(self) -> None:
        """Nothing is ours any more."""
        self.revoke(self.lanes)

    def put(self, records: Sequence[Consumed]) -> None:
        """Records that were fetched; of partitions that are not ours none is kept."""
        with self._lock:
            for record in records:
                if (record.topic, record.partition) in self._held:
                    self._waiting.append(record)
                    self._bytes += len(record.value)
            self._say_room()
        self._notify()

    def settled(self, lanes: Collection[Lane]) -> bool:
        """Whether all that was taken from these partitions is finished and committed."""
        with self._lock:
            made = [self._held.get(lane) for lane in lanes]
            return all(one is None or (not one.unfinished and one.position == one.committed) for one in made)

    # From the event loop.

    @property
    def lanes(self) -> frozenset[Lane]:
        with self._lock:
            return frozenset(self._held)

    @property
    def empty(self) -> bool:
        return not self._waiting

    def take(self, limit: int) -> list[Consumed]:
        """Hand out up to `limit` records."""
        taken: list[Consumed] = []
        with self._lock:
            while self._waiting and len(taken) < limit:
                record = self._waiting.popleft()
                self._bytes -= len(record.value)
                lane = (record.topic, record.partition)
                progress = self._held[lane]
                if progress is None:
                    progress = self._held[lane] = Progress(record.offset)
                progress.take(record.offset)
                taken.append(record)
            self._say_room()
        return taken

    def finish(self, records: Sequence[Consumed]) -> None:
        """These are done with."""
        with self._lock:
            for record in records:
                progress = self._held.get((record.topic, record.partition))
                if progress is not None:
                    progress.finish(record.offset)

    def uncommitted(self) -> dict[Lane, int]:
        """Positions that have moved and are not durable yet."""
        with self._lock:
            return {lane: made.position for lane, made in self._held.items() if made is not None and made.advance()}

    def committed(self, positions: dict[Lane, int]) -> None:
        """These are durable."""
        with self._lock:
            for lane, position in positions.items():
                progress = self._held.get(lane)
                if progress is not None and progress.committed < position <= progress.position:
                    progress.committed = position

    def _say_room(self) -> None:
        """Full at the limit, and room again when half of it is gone."""
        if self._bytes >= self._most_bytes:
            self.room.clear()
        elif self._bytes <= self._most_bytes // 2:
            self.room.set()
