"""The bytes of one message on its way: in memory if it is small, else in a temporary file.

Used by both directions.  Blocking; called in threads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

PIECE = 1 << 18
"""Bytes that are read or written at once."""


class Content:
    """A message's bytes.  `add` until it is whole, then read it as often as needed."""

    __slots__ = ("_file", "_limit", "_small", "size")

    def __init__(self, data: bytes = b"", limit: int = PIECE) -> None:
        """Up to `limit` bytes are kept in memory."""
        self.size = 0
        self._limit = limit
        self._small = bytearray()
        self._file: IO[bytes] | None = None
        self.add(data)

    @property
    def small(self) -> bool:
        """Whether it is in memory."""
        return self._file is None

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self._file is None and self.size > self._limit:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._file.write(self._small)
            self._small = bytearray()
        if self._file is None:
            self._small += data
        else:
            self._file.write(data)

    def cut(self, size: int) -> None:
        """Leave off what stands behind the first `size` bytes."""
        self.size = min(self.size, size)
        if self._file is None:
            del self._small[size:]
        else:
            self._file.seek(self.size)
            self._file.truncate()

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start` on."""
        if self._file is None:
            if start < self.size:
                yield bytes(self._small[start:])
            return
        self._file.seek(start)
        while piece := self._file.read(PIECE):
            yield piece

    def head(self, size: int) -> bytes:
        """The first `size` bytes."""
        if self._file is None:
            return bytes(self._small[:size])
        self._file.seek(0)
        return self._file.read(size)

    def tail(self, size: int) -> bytes:
        """The last `size` bytes, fewer if there are no more."""
        return b"".join(self.pieces(max(0, self.size - size)))

    def whole(self) -> bytes:
        """All of it; for a small one."""
        return b"".join(self.pieces())

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
