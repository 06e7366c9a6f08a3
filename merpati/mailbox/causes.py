"""What has brought about the messages of late: an account takes each cause once, however often it is delivered.

A cause is remembered for as long as an event may come again (`MailboxLimits.causes`), by a digest of its words, with
the folder and UID that its message got.  Immutable; the newest are in a small table that is copied, the others in a
large one that is shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MERGE = 256
"""Entries of the small table at which it is merged into the large one."""

Place = tuple[int, int, float]
"""Folder, UID, and the time of the commit."""


def cause_of(words: str) -> bytes:
    """The 16 bytes that stand for a cause."""
    return hashlib.blake2b(words.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Causes:
    """Causes taken, and where their messages went."""

    older: Mapping[bytes, Place] = field(default_factory=dict)
    recent: Mapping[bytes, Place] = field(default_factory=dict)

    def get(self, cause: bytes) -> Place | None:
        """Where the message of a cause was put, or None."""
        return self.recent.get(cause) or self.older.get(cause)

    def with_places(self, places: Mapping[bytes, Place], keep_after: float) -> Causes:
        """These causes added; those of commits before `keep_after` may be forgotten."""
        recent = {**self.recent, **places}
        if len(recent) < MERGE:
            return Causes(self.older, recent)
        merged = {cause: place for cause, place in self.older.items() if place[2] >= keep_after}
        merged.update(recent)
        return Causes(merged, {})

    def __iter__(self) -> Iterator[tuple[bytes, Place]]:
        yield from self.older.items()
        yield from self.recent.items()

    def __len__(self) -> int:
        return len(self.older) + len(self.recent)
