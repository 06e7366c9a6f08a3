"""A decorator that keeps immutable objects on this node's disk, shared by its processes, under a byte limit.

An entry is one file, written aside and renamed, with its digest at its end: a torn or foreign file is a miss.  The
least recently used go first, and what nobody has read for a week; any process may be the one that removes them.  It is
only a cache: nothing here is fsynced, any file may vanish at any moment, and an error of the disk is a miss, never a
failure of the read.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

from merpati.clock import Clock
from merpati.objects.api import ObjectStore
from merpati.objects.wrapped import WrappedStore

T = TypeVar("T")
Sound = Callable[[str, bytes], bool]
Observe = Callable[[bool], None]

DIGEST = 16
"""Bytes of BLAKE2b over key and data at the end of each file."""
BLOCK = 4096
"""What a file takes of the disk is a multiple of this."""
SHELF = 64 << 20
"""Bytes of a folder, about: each is measured alone, so that a large cache costs no more to keep than a small one."""
MOST_SHELVES = 4096
LARGEST_SHARE = 8
"""An object above an eighth of a folder's share is not kept."""
TALLY_SHARE = 512
"""A process says so whenever it has written so small a part of a folder's share: with many processes that adds up."""
SWEEP_AFTER = 32
"""Such words of all processes after which the folder is measured again."""
HOLD_AFTER = 80
"""Such words after which nothing more is kept until it has been: whoever measures may be slow, or stopped."""
HIGH, LOW = 0.75, 0.65
"""Above the one part of the limit a sweep begins to remove, down to the other; what is written meanwhile fits too."""
RESPITE = 200
"""Objects that are not kept after the disk has refused one."""
UNREAD = 7 * 86_400.0
"""Seconds after which an object goes that nobody has read again: its account may have been deleted."""
LOOK = 86_400.0
"""Seconds between two looks for those."""

_IMMUTABLE = re.compile(r"(?:accounts/[^/]+/(?:log|snap|chunk|pack|past)|blobs)/")
_LOCK = "sweep.lock"
"""Held by who measures; its length is what was said since."""
_LOOKED = "looked"
"""As old as the last look for what nobody reads."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def immutable(key: str) -> bool:
    """Whether the bytes under this key never change while it is there (PROTOCOL.md section K)."""
    return _IMMUTABLE.match(key) is not None


def _unknown(key: str, data: bytes) -> bool:
    return True


class CachedStore(WrappedStore):
    """A store whose immutable objects are read once."""

    def __init__(
        self,
        inner: ObjectStore,
        folder: Path,
        limit: int,
        clock: Clock,
        *,
        keeps: Callable[[str], bool] = immutable,
        sound: Sound = _unknown,
        observe: Observe | None = None,
    ) -> None:
        """`sound` tells of a key and its bytes whether they are what was written: else they are not kept.

        `observe` is told of each read of what can be kept, and is there: whether it was kept.
        """
        super().__init__(inner)
        self._disk = _Disk(folder, limit, clock)
        self._keeps = keeps
        self._sound = sound
        self._observe = observe or (lambda hit: None)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="cache")

    async def get(self, key: str) -> bytes:
        if not self._keeps(key):
            return await self._inner.get(key)
        found = await self._in_thread(lambda: self._disk.read(key))
        hit = found is not None
        if found is None:
            found = await self._inner.get(key)
            await self._keep(key, found, self._sound)
        self._observe(hit)
        return found

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        if not self._keeps(key):
            return await self._inner.get_range(key, start, end)
        name = f"{key}@{start}-{end}"
        found = await self._in_thread(lambda: self._disk.read_range(key, name, start, end))
        hit = found is not None
        if found is None:
            found = await self._inner.get_range(key, start, end)
            await self._keep(name, found)
        self._observe(hit)
        return found

    async def delete(self, keys: Iterable[str]) -> None:
        names = tuple(keys)
        await self._in_thread(lambda: self._disk.forget(names))
        await self._inner.delete(names)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)
        await self._inner.close()

    async def _keep(self, name: str, data: bytes, sound: Sound = _unknown) -> None:
        def write() -> None:
            if sound(name, data):
                self._disk.write(name, data)

        if self._disk.takes(data):
            await self._in_thread(write)

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)


class _Disk:
    """All folders.  Methods block, but for `takes`, and never raise for what the disk does."""

    def __init__(self, folder: Path, limit: int, clock: Clock) -> None:
        shelves = max(1, min(MOST_SHELVES, limit // SHELF))
        self._folder = folder
        self._shelves = [_Shelf(f"{folder}/{number:03x}", limit // shelves) for number in range(shelves)]
        self._respite = 0
        self._tidy = False
        self._guest = _is_guest(folder)
        self._clock = clock
        self._looked = 0.0

    def takes(self, data: bytes) -> bool:
        """Whether it is worth a try."""
        if self._guest:
            return False
        if self._respite:
            self._respite -= 1
            return False
        return self._shelves[0].takes(len(data))

    def read(self, name: str) -> bytes | None:
        digest = _hashed(name)
        now = self._clock.time()
        try:
            if not (self._guest or 0 <= now - self._looked < LOOK):
                self._looked = now
                self._retire(now)
            return self._shelf(digest).read(name, digest)
        except OSError:
            return None

    def _retire(self, now: float) -> None:
        """Once a day, by whichever process comes first."""
        for shelf in self._shelves:
            shelf.retire(now)

    def read_range(self, key: str, name: str, start: int, end: int) -> bytes | None:
        """The entry of the range, or that part of the entry of the whole object."""
        found = self.read(name)
        if found is not None:
            return found
        whole = self.read(key)
        return None if whole is None else whole[start:end]

    def write(self, name: str, data: bytes) -> None:
        digest = _hashed(name)
        try:
            if not self._tidy:
                self._tidy = True
                self._remove_foreign()
            self._shelf(digest).write(name, digest, data)
        except OSError:
            self._respite = RESPITE

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            digest = _hashed(name)
            try:
                self._shelf(digest).forget(digest)
            except OSError:
                pass

    def _remove_foreign(self) -> None:
        """What a cache of another limit has left is in nobody's measure."""
        ours = {os.path.basename(shelf.folder) for shelf in self._shelves}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in ours:
                shutil.rmtree(path, ignore_errors=True)

    def _shelf(self, digest: bytes) -> _Shelf:
        return self._shelves[int.from_bytes(digest[:4], "big") % len(self._shelves)]


class _Shelf:
    """One folder under its share of the limit.  Raises OSError for what the disk does."""

    def __init__(self, folder: str, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._names = count()
        self._untold = limit  # the first write measures what others left
        self._holding = False

    def takes(self, size: int) -> bool:
        return size <= self._limit // LARGEST_SHARE

    def read(self, name: str, digest: bytes) -> bytes | None:
        path = f"{self.folder}/{digest.hex()}"
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
            try:
                os.utime(file.fileno())  # for the sweep: recently used
            except OSError:  # a disk that cannot be written to can still be read
                pass
        body = data[:-DIGEST]
        return body if _digest(name, body) == data[-DIGEST:] else None

    def write(self, name: str, digest: bytes, data: bytes) -> None:
        if self._holding and self._told() >= HOLD_AFTER:
            self._sweep()
            if self._told() >= HOLD_AFTER:
                return
        aside = f"{self.folder}/{os.getpid()}-{id(self):x}-{next(self._names)}"
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        try:
            with open(aside, "xb", buffering=0) as file:
                for piece in (data, _digest(name, data)):
                    if file.write(piece) != len(piece):
                        raise OSError(errno.ENOSPC, "the disk is full")
            os.replace(aside, f"{self.folder}/{digest.hex()}")
        except OSError as error:
            _remove(aside)
            if error.errno in FULL:
                self._sweep(full=True)
            raise
        self._tell(_taken(len(data) + DIGEST))

    def retire(self, now: float) -> None:
        """Remove what nobody has read for long, unless another process has looked today."""
        looked = f"{self.folder}/{_LOOKED}"
        try:
            if 0 <= now - os.stat(looked).st_mtime < LOOK:
                return
        except FileNotFoundError:
            if not os.path.isdir(self.folder):
                return
        with open(looked, "ab", buffering=0) as mark:
            os.utime(mark.fileno(), (now, now))
        for used, _, path in self._files():
            if used < now - UNREAD:
                _remove(path)

    def forget(self, digest: bytes) -> None:
        _remove(f"{self.folder}/{digest.hex()}")

    def _tell(self, size: int) -> None:
        """Add to what all processes have written; whoever fills the measure measures."""
        self._untold += size
        words, self._untold = divmod(self._untold, max(1, self._limit // TALLY_SHARE))
        if not words:
            return
        with open(f"{self.folder}/{_LOCK}", "ab", buffering=0) as tally:
            tally.write(b"." * min(words, HOLD_AFTER))
            told = os.fstat(tally.fileno()).st_size
        self._holding = told >= HOLD_AFTER
        if told >= SWEEP_AFTER:
            self._sweep()

    def _told(self) -> int:
        """The words since the folder was measured."""
        try:
            return os.stat(f"{self.folder}/{_LOCK}").st_size
        except FileNotFoundError:
            return 0

    def _sweep(self, *, full: bool = False) -> None:
        """Remove the least recently used until the folder is well under its limit, or a `full` disk has room again."""
        with open(f"{self.folder}/{_LOCK}", "ab", buffering=0) as tally:
            try:
                fcntl.flock(tally, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process is at it
                return
            os.truncate(tally.fileno(), 0)
            files = sorted(self._files())
            total = sum(size for _, size, _ in files)
            limit = min(self._limit, total) if full else self._limit
            for _, size, path in files if total > limit * HIGH else ():
                _remove(path)
                total -= size
                if total <= limit * LOW:
                    return

    def _files(self) -> list[tuple[float, int, str]]:
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if entry.name not in (_LOCK, _LOOKED):
                    found.append((stat.st_mtime, _taken(stat.st_size), entry.path))
        return found


def _is_guest(folder: Path) -> bool:
    """Whether this is root in another user's folder: the server could not use what a command left there."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.geteuid() == 0 and there.stat().st_uid != 0


def _taken(size: int) -> int:
    """Bytes of the disk that a file of this size takes."""
    return -(-size // BLOCK) * BLOCK


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _hashed(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=20).digest()


def _digest(name: str, data: bytes) -> bytes:
    mix = hashlib.blake2b(name.encode(), digest_size=DIGEST)
    mix.update(data)
    return mix.digest()
