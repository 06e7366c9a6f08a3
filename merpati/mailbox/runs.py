"""Runs of summaries in a snapshot: some hundred to a chunk, read when the first of them is asked for.

A summary is found in its run by the address of its message, so that a copy in another folder is found in it too.
`Shelf` remembers what was read, for all mailboxes of a process, under a byte limit.
"""

from __future__ import annotations

import struct
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from merpati.ids import Digest
from merpati.log.api import Chunks
from merpati.mailbox.packing import from_bytes, to_bytes

SHELF = 32 << 20
"""Bytes of summaries that a process remembers of those it read."""
_COUNT = struct.Struct("<I")

Key = tuple[int, int]
"""The address of a message: commit and offset."""


class Shelf:
    """Runs that were read of late."""

    def __init__(self, limit: int = SHELF) -> None:
        self._limit = limit
        self._size = 0
        self._runs: OrderedDict[Digest, tuple[Mapping[Key, bytes], int]] = OrderedDict()

    def get(self, name: Digest) -> Mapping[Key, bytes] | None:
        """A run, if it is remembered."""
        found = self._runs.get(name)
        if found is None:
            return None
        self._runs.move_to_end(name)
        return found[0]

    def put(self, name: Digest, summaries: Mapping[Key, bytes], size: int) -> None:
        """Remember a run of `size` bytes."""
        if name in self._runs or size > self._limit:
            return
        self._runs[name] = (summaries, size)
        self._size += size
        while self._size > self._limit:
            _, (_, gone) = self._runs.popitem(last=False)
            self._size -= gone


class SummaryRun:
    """One run; stands in a folder's column for each summary that is in it."""

    __slots__ = ("_chunks", "_shelf", "name", "rows")

    def __init__(self, name: Digest, rows: int, chunks: Chunks, shelf: Shelf) -> None:
        self.name = name
        self.rows = rows
        self._chunks = chunks
        self._shelf = shelf

    async def read(self) -> Mapping[Key, bytes]:
        """The summaries by address.  Raises `Damaged`, `Unavailable`."""
        found = self._shelf.get(self.name)
        if found is None:
            data = await self._chunks.get(self.name)
            found = parsed(data)
            self._shelf.put(self.name, found, len(data) + 200 * len(found))
        return found


Summary = bytes | SummaryRun
"""What a folder's column has of a message: the summary, or the run that it is in.  Empty: to be made anew."""


def joined(keys: Sequence[Key], summaries: Sequence[bytes]) -> bytes:
    """A run as a chunk: count, commits, offsets, lengths, and the summaries one after another."""
    return b"".join(
        (
            _COUNT.pack(len(keys)),
            to_bytes(array("Q", [commit for commit, _ in keys])),
            to_bytes(array("I", [offset for _, offset in keys])),
            to_bytes(array("I", [len(summary) for summary in summaries])),
            *summaries,
        )
    )


def parsed(data: bytes) -> dict[Key, bytes]:
    """The summaries of a run by address.  ValueError if it is torn."""
    if len(data) < _COUNT.size:
        raise ValueError("no run of summaries")
    count, at = _COUNT.unpack_from(data)[0], _COUNT.size
    commits, at = from_bytes("Q", data, at, count), at + 8 * count
    offsets, at = from_bytes("I", data, at, count), at + 4 * count
    lengths, at = from_bytes("I", data, at, count), at + 4 * count
    found = {}
    for commit, offset, length in zip(commits, offsets, lengths, strict=True):
        found[commit, offset] = data[at : at + length]
        at += length
    return found
