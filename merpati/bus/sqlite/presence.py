"""How the processes that share a log know of each other's life: a locked file each, which the kernel unlocks at death.

Called by the bus: `enter` at start, `beat` now and then, `dead` to learn which others are gone.  A process killed with
-9 is seen at once; one that is stopped or stuck is taken for dead when it has not beaten for a while.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from merpati.clock import Clock

STALE_SECONDS = 8.0
"""A process that has not beaten for so long gives way to the others."""
BEAT_SECONDS = 2.0


class Presence:
    """This process among those that share the folder."""

    def __init__(self, folder: Path, name: str, clock: Clock) -> None:
        self.name = name
        self._folder = folder
        self._clock = clock
        self._file = -1
        self._seen: dict[str, tuple[int, float]] = {}

    def enter(self) -> None:
        """Be there, from now until `leave` or death."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(self._folder / self.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Be gone, as death would have it."""
        if self._file >= 0:
            (self._folder / self.name).unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def beat(self) -> None:
        """Say that the event loop of this process still turns."""
        os.utime(self._file)

    def dead(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that are gone, or have been silent for `STALE_SECONDS` by our own clock."""
        return {name for name in names if name != self.name and not self._alive(name)}

    def _alive(self, name: str) -> bool:
        path = self._folder / name
        try:
            other = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._beats(name, os.fstat(other).st_mtime_ns)
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(other)

    def _beats(self, name: str, beat: int) -> bool:
        # Compared with itself and timed by our own monotonic clock: a clock that is set does not look like death.
        now = self._clock.monotonic()
        last, since = self._seen.get(name, (None, now))
        if last != beat:
            self._seen[name] = (beat, now)
            return True
        return now - since < STALE_SECONDS
