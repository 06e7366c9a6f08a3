"""A message body on its way in: small ones stay in memory, large ones go on to a file that has no name.

Fed by the session with whole lines, read by the intake.  Memory is bounded by `INLINE_LIMIT` and one read of the
network, whatever the size of the message.  The file has no name, so a process that dies leaves none behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from merpati.errors import Unavailable
from merpati.events.topics import INLINE_LIMIT
from merpati.ids import Digest, digest_of

CHUNK = 1 << 20
"""Bytes read back from the file at once."""


class Spool:
    """One body.  `add` is cheap and never waits; when `full`, somebody who may wait calls `spill`."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._written = 0
        self._hash = hashlib.blake2b(digest_size=32)
        self.held = 0
        """Bytes in memory."""
        self.size = 0

    def add(self, lines: bytes) -> None:
        """The next bytes of the body."""
        self._held.append(lines)
        self.held += len(lines)
        self.size += len(lines)

    @property
    def full(self) -> bool:
        """Whether memory holds more than may ride in an event."""
        return self.held > INLINE_LIMIT

    @property
    def inline(self) -> bool:
        """Whether all of it is in memory."""
        return self._file is None

    async def spill(self) -> None:
        """Move what memory holds to the file.  Raises `Unavailable` when there is no room."""
        held, self._held, self.held = self._held, [], 0
        try:
            await asyncio.to_thread(self._write, held)
        except OSError as error:
            self.close()
            raise Unavailable("insufficient system storage", enhanced="4.3.1", code=452, error=str(error)) from error

    def _write(self, held: list[bytes]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="merpati-", buffering=0)  # noqa: SIM115
        data = memoryview(b"".join(held))
        self._hash.update(data)
        while data:
            written = os.pwrite(self._file.fileno(), data, self._written)
            self._written += written
            data = data[written:]

    def whole(self) -> tuple[bytes, Digest]:
        """The body and its digest; only while it is `inline`."""
        body = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        return body, digest_of(body)

    async def finish(self) -> Digest:
        """Bring the rest into the file and give the digest.  Raises `Unavailable`."""
        await self.spill()
        return Digest(self._hash.hexdigest())

    async def head(self, size: int) -> bytes:
        """The first `size` bytes, or fewer if there are no more."""
        file = self._file
        if file is None:
            return b"".join(self._held)[:size]
        return await asyncio.to_thread(_read, file, 0, size)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it, from the file."""
        at = 0
        while self._file is not None and at < self.size:
            chunk = await asyncio.to_thread(_read, self._file, at, CHUNK)
            if not chunk:
                raise Unavailable("try again later", reason="spool file is short", size=self.size, at=at)
            at += len(chunk)
            yield chunk

    def close(self) -> None:
        """Let go of memory and file."""
        self._held, self.held = [], 0
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    return os.pread(file.fileno(), size, at)
