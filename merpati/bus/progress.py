"""How far one member of a group is in one partition: what it took, what it finished, where its position stands.

Called by the subscriptions of every engine.  Pure: it never reads a log, a clock or a lock.
"""

from __future__ import annotations

from collections import deque


class Progress:
    """The position moves over the unbroken run of finished records at the front and never past an unfinished one.

    Offsets come in rising order, not always without gaps: retention and foreign writers leave holes.
    """

    __slots__ = ("_finished", "_taken", "committed", "next_offset", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        """The offset that a member after this one should begin at."""
        self.committed = position
        """The offset that it would begin at: the engine's durable copy of `position`."""
        self.next_offset = position
        """The offset to take next."""
        self._taken: deque[int] = deque()
        self._finished: set[int] = set()

    @property
    def unfinished(self) -> int:
        """How many records were taken and still hold the position, or wait behind one that does."""
        return len(self._taken)

    def take(self, offset: int) -> None:
        """The record at `offset`, which is `next_offset` or higher, has been handed out."""
        self._taken.append(offset)
        self.next_offset = offset + 1

    def finish(self, offset: int) -> None:
        """The record at `offset` is finished.  One that was not taken here, or was finished before, changes nothing."""
        if self._taken and self._taken[0] <= offset < self.next_offset:
            self._finished.add(offset)

    def advance(self) -> bool:
        """Move the position as far as it may go; whether there is something to commit."""
        while self._taken and self._taken[0] in self._finished:
            offset = self._taken.popleft()
            self._finished.discard(offset)
            self.position = offset + 1
        return self.position > self.committed
