"""A decorator that keeps immutable objects on this node's disk, shared by its processes, under a byte limit.

An entry is one file, written aside and renamed, with its digest at its end: a torn or foreign file is a miss.  The
least recently used go first; any process may be the one that removes them.  It is only a cache: nothing here is
fsynced, any file may vanish at any moment, and an error of the disk is a miss, never a failure of the read.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

from merpati.objects.api import ObjectStore
from merpati.objects.wrapped import WrappedStore

T = TypeVar("T")

DIGEST = 16
"""Bytes of BLAKE2b over key and data at the end of each file."""
LARGEST_SHARE = 8
"""An object above an eighth of the limit is not kept."""
SWEEP_SHARE = 16
"""The folder is measured again when this process has written a sixteenth of the limit."""
KEEP_SHARE = 0.9
"""What remains of the limit after a sweep."""

_IMMUTABLE = re.compile(r"(?:accounts/[^/]+/(?:log|snap|chunk|pack|past)|blobs)/")


def immutable(key: str) -> bool:
    """Whether the bytes under this key never change while it is there (PROTOCOL.md section 1)."""
    return _IMMUTABLE.match(key) is not None


class CachedStore(WrappedStore):
    """A store whose immutable objects are read once."""

    def __init__(self, inner: ObjectStore, folder: Path, limit: int, keeps: Callable[[str], bool] = immutable) -> None:
        super().__init__(inner)
        self._disk = _Disk(folder, limit)
        self._keeps = keeps
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="cache")

    async def get(self, key: str) -> bytes:
        if not self._keeps(key):
            return await self._inner.get(key)
        found = await self._in_thread(lambda: self._disk.read(key))
        if found is None:
            found = await self._inner.get(key)
            await self._keep(key, found)
        return found

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        if not self._keeps(key):
            return await self._inner.get_range(key, start, end)
        name = f"{key}@{start}-{end}"
        found = await self._in_thread(lambda: self._disk.read(name))
        if found is None:
            found = await self._inner.get_range(key, start, end)
            await self._keep(name, found)
        return found

    async def delete(self, keys: Iterable[str]) -> None:
        names = tuple(keys)
        await self._in_thread(lambda: self._disk.forget(names))
        await self._inner.delete(names)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)
        await self._inner.close()

    async def _keep(self, name: str, data: bytes) -> None:
        await self._in_thread(lambda: self._disk.write(name, data))

    async def _in_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)


class _Disk:
    """The folder.  Methods block, and never raise for what the disk does."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._names = count()
        self._unmeasured = limit  # the first write measures what others left

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)  # for the sweep: recently used
        except OSError:
            return None
        body = data[:-DIGEST]
        return body if _digest(name, body) == data[-DIGEST:] else None

    def write(self, name: str, data: bytes) -> None:
        if len(data) > self._limit // LARGEST_SHARE:
            return
        path = self._path(name)
        aside = path.with_name(f"{path.name}.{os.getpid()}-{id(self):x}-{next(self._names)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(aside, "xb") as file:
                file.write(data)
                file.write(_digest(name, data))
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
        self._unmeasured += len(data)
        if self._unmeasured * SWEEP_SHARE > self._limit:
            self._unmeasured = 0
            self._sweep()

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._path(name).unlink(missing_ok=True)
            except OSError:
                pass

    def _path(self, name: str) -> Path:
        hashed = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return self._folder / hashed[:2] / hashed[2:]

    def _sweep(self) -> None:
        """Remove the least recently used until the folder is under its limit; one process at a time."""
        try:
            with open(self._folder / "sweep.lock", "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._shrink()
        except OSError:  # another process is at it
            pass

    def _shrink(self) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files if total > self._limit * (1 - 1 / SWEEP_SHARE) else ():
            if total <= self._limit * KEEP_SHARE:
                break
            Path(path).unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[float, int, str]]:
        found = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    stat = os.stat(path)
                except FileNotFoundError:
                    continue
                if name != "sweep.lock":
                    found.append((stat.st_mtime, stat.st_size, path))
        return found


def _digest(name: str, data: bytes) -> bytes:
    mix = hashlib.blake2b(name.encode(), digest_size=DIGEST)
    mix.update(data)
    return mix.digest()
