"""An object store in a folder of a local disk: durable, create-if-absent across processes, no server.

An object is written to a temporary file, fsynced, and linked to its name: link fails if the name is taken, which is
what `create` needs; then the folder is fsynced, for a name is only durable with its folder.  System calls run in
threads.  Never used on a network file system whose link or fsync does less than POSIX says.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from merpati.clock import Clock
from merpati.errors import Unavailable, Unknown
from merpati.objects.api import Exists, Full, NotFound, ObjectInfo
from merpati.objects.keys import checked, checked_prefix

THREADS = 16
"""File operations at once: fsyncs of many threads share one write of the disk's journal."""
STALE = 3600.0
"""Seconds after which a temporary file that nobody writes to was left behind by a crash."""
LIST_BATCH = 1000
MAKE_TRIES = 8

T = TypeVar("T")


class FilesStore:
    """Objects as files under `root`."""

    def __init__(self, root: Path, clock: Clock, threads: int = THREADS) -> None:
        self._root = root
        self._clock = clock
        self._temporary = root / ".tmp"
        self._names = count()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="objects")
        try:
            make_folder(self._temporary)
            self._remove_stale()
        except OSError as error:
            raise _mapped(error, str(root)) from error

    async def get(self, key: str) -> bytes:
        return await self._do(key, lambda path: Path(path).read_bytes())

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._do(key, lambda path: _read_range(path, start, end))

    async def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        file = await self._do(key, lambda path: os.open(path, os.O_RDONLY))
        try:
            while data := await self._do(key, lambda _: os.read(file, chunk)):
                yield data
        finally:
            os.close(file)

    async def head(self, key: str) -> ObjectInfo:
        stat = await self._do(key, os.stat)
        return ObjectInfo(key, stat.st_size, stat.st_mtime)

    async def create(self, key: str, data: bytes) -> None:
        await self._do(key, lambda path: self._create(path, data))

    async def put(self, key: str, data: bytes) -> None:
        await self._do(key, lambda path: self._replace(self._written((data,)), path))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        name, file = await self._do(key, lambda _: self._open_temporary())
        try:
            try:
                async for chunk in chunks:
                    await self._do(key, lambda _, data=chunk: _write_all(file, data))  # type: ignore[misc]
                await self._do(key, lambda _: os.fsync(file))
            finally:
                os.close(file)
            await self._do(key, lambda path: self._replace(name, path))
        finally:
            _unlink(name)

    async def delete(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        await self._run("", lambda: _delete(paths, str(self._root)))

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        found = _walk(str(self._root), checked_prefix(prefix), after)
        left = 1 << 62 if limit is None else limit
        while batch := await self._run(prefix, partial(_some, found, min(LIST_BATCH, left))):
            for info in batch:
                yield info
            left -= len(batch)

    async def check(self) -> str:
        await self._run("", lambda: self._try_writing())
        return f"files in {self._root}"

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked(key)}"

    async def _do(self, key: str, action: Callable[[str], T]) -> T:
        path = self._path(key)
        return await self._run(key, lambda: action(path))

    async def _run(self, key: str, action: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, action)
        except OSError as error:
            raise _mapped(error, key) from error

    def _open_temporary(self) -> tuple[str, int]:
        name = f"{self._temporary}/{os.getpid()}-{id(self):x}-{next(self._names)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return name, os.open(name, flags, 0o600)

    def _written(self, pieces: Iterable[bytes]) -> str:
        """A temporary file with these bytes, fsynced."""
        name, file = self._open_temporary()
        try:
            for piece in pieces:
                _write_all(file, piece)
            os.fsync(file)
        except BaseException:
            _unlink(name)
            raise
        finally:
            os.close(file)
        return name

    def _create(self, path: str, data: bytes) -> None:
        name = self._written((data,))
        try:
            _in_folder_of(path, lambda: os.link(name, path))
        finally:
            _unlink(name)
        _sync_visible(os.path.dirname(path))

    def _replace(self, name: str, path: str) -> None:
        try:
            _in_folder_of(path, lambda: os.replace(name, path))
        except BaseException:
            _unlink(name)
            raise
        _sync_visible(os.path.dirname(path))

    def _try_writing(self) -> None:
        _unlink(self._written((b"merpati",)))

    def _remove_stale(self) -> None:
        with os.scandir(self._temporary) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process is writing here, and was done with it
                    if entry.stat().st_mtime < self._clock.time() - STALE:
                        _unlink(entry.path)


def make_folder(path: Path | str) -> None:
    """A folder that is still there after a power cut, and those above it."""
    parent = os.path.dirname(path)
    if os.path.isdir(path):
        return
    make_folder(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    sync_folder(parent)


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sync_visible(folder: str) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        # the name is there already, but perhaps not after a power cut
        raise Unknown("written, but not known to be durable", folder=folder, reason=str(error)) from error


def _in_folder_of(path: str, action: Callable[[], None]) -> None:
    for _ in range(MAKE_TRIES):
        try:
            return action()
        except FileNotFoundError:  # the folder is new, or was empty and has just been removed
            make_folder(os.path.dirname(path))
    return action()


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _read_range(path: str, start: int, end: int) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, max(0, end - start), start)
    finally:
        os.close(file)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _delete(paths: list[str], root: str) -> None:
    for path in paths:
        _unlink(path)
    for folder in {os.path.dirname(path) for path in paths}:
        _sync_or_remove(folder, root)


def _sync_or_remove(folder: str, root: str) -> None:
    """An empty folder goes, and those above it that are empty then: a deleted account leaves nothing."""
    while folder != root:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:  # not empty
            break
        folder = os.path.dirname(folder)
    sync_folder(folder)


def _some(found: Iterator[ObjectInfo], most: int) -> list[ObjectInfo]:
    return [info for _, info in zip(range(most), found, strict=False)]


def _walk(root: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
    """Depth first; a folder sorts as its name with a slash, so keys come in the order of their bytes."""
    inside, _, _ = prefix.rpartition("/")
    pending = [(inside and inside + "/", True)]
    while pending:
        key, is_folder = pending.pop()
        if not is_folder:
            yield from _info(root, key)
            continue
        names = [(f"{key}{name}", is_one) for name, is_one in _entries(f"{root}/{key}")]
        wanted = [(name, is_one) for name, is_one in names if _may_hold(name, is_one, prefix, after)]
        pending.extend(sorted(wanted, reverse=True))


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield (entry.name + "/", True) if entry.is_dir() else (entry.name, False)
    except (FileNotFoundError, NotADirectoryError):
        return


def _may_hold(name: str, is_folder: bool, prefix: str, after: str) -> bool:
    """Whether the key, or some key in the folder, starts with `prefix` and is greater than `after`."""
    if is_folder:
        return (name.startswith(prefix) or prefix.startswith(name)) and (name > after or after.startswith(name))
    return name.startswith(prefix) and name > after


def _info(root: str, key: str) -> Iterator[ObjectInfo]:
    try:
        stat = os.stat(f"{root}/{key}")
    except FileNotFoundError:  # deleted since its folder was read
        return
    yield ObjectInfo(key, stat.st_size, stat.st_mtime)


def _mapped(error: OSError, key: str) -> Exception:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound("no such object", key=key)
    if isinstance(error, FileExistsError):
        return Exists("object exists", key=key)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Full("the mail store is full", key=key, reason=str(error), lasting=True)
    # EIO, EROFS, EMFILE, EACCES …: nothing was made visible
    return Unavailable("the mail store cannot be used", key=key, reason=str(error))
