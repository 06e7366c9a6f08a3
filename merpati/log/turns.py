"""Courtesy between the writers of one log: who has had a turn lets the others have theirs.  Called by `CommitLog`.

Whoever wins a race knows the newest state at once, while the others must read first: left to themselves one writer
wins again and again, and some never.  So a writer that has met others lately waits after its commit for about as long
as all of them need for theirs.  One that is alone does not wait, but for a moment now and then in a long run of commits
without a gap, in which somebody whom it cannot see gets in.  Nothing depends on it but how long commits take.
"""

from __future__ import annotations

FIRST = 0.005
"""Seconds that a turn takes, for who has not had one."""
LEAST = 0.0005
"""A shorter wait is none."""
WEIGHT = 0.2
"""How much the last turn counts in the average."""
LONGEST = 2.0
"""Seconds of a wait, at most."""
WIDEST = 8
"""After so many lost races the waits do not become longer: who has lost often is not to be the last."""
RUN = 32
"""Commits of one writer, one right after the other, between which it gives way once."""
MEMORY = 5.0
"""Seconds for which others that were met are believed to be there."""
MOST = 100
"""Others that are told apart."""


class Turns:
    """What one writer knows of the others."""

    def __init__(self) -> None:
        self._turn: float | None = None
        self._began = 0.0
        self._free = 0.0
        self._ended = 0.0
        self._run = 0
        self._others: dict[str, float] = {}
        """When each other writer committed last, the latest at the end."""

    def met(self, writer: str, at: float) -> None:
        """A commit of another writer, made at `at`: by the clocks of writers, which is why no clock here is asked."""
        self._others.pop(writer, None)
        self._others[writer] = at
        while len(self._others) > MOST or self._others[next(iter(self._others))] < at - MEMORY:
            del self._others[next(iter(self._others))]

    def begin(self, now: float) -> None:
        """What is read and claimed from here on is a turn, if it succeeds."""
        self._began = now

    def won(self, now: float, at: float, lot: bytes) -> None:
        """A commit was made, with the time `at` in it; `lot` are random bytes, of which the wait is made."""
        took, gap = now - self._began, self._began - self._ended
        self._turn = took if self._turn is None else self._turn + WEIGHT * (took - self._turn)
        others = sum(1 for each in self._others.values() if each > at - MEMORY)
        self._run = self._run + 1 if not others and gap < self._turn else 0
        self._ended = now
        if others:
            self._free = now + self._up_to(2 * others, lot)
        elif self._run >= RUN:
            self._run = 0
            self._free = now + 2 * self._turn

    def before(self, now: float) -> float:
        """Seconds to let pass before the next decisions are taken."""
        wait = self._free - now
        return wait if wait >= LEAST else 0.0

    def after_loss(self, losses: int, lot: bytes) -> float:
        """Seconds to let pass after so many lost races in a row; the first is tried again at once."""
        return self._up_to(2 * min(losses - 1, WIDEST), lot)

    def _up_to(self, turns: int, lot: bytes) -> float:
        turn = FIRST if self._turn is None else self._turn
        return min(LONGEST, turns * turn) * int.from_bytes(lot[:4], "big") / (1 << 32)
