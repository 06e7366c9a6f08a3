"""Attachments of many commits in one object: several to a frame of zstd, found by an index in the head.

Written by compaction, read by `attachments`: first the head, by its range, then the frame that is asked for (rule P3).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from merpati.log.api import Damaged
from merpati.log.compress import compressed, decompressed
from merpati.log.frame import PREAMBLE, TRAILER, Kind, check_preamble, head_of, sealed
from merpati.objects.api import ObjectStore

FRAME = 256 * 1024
"""Bytes of attachments after which a frame ends: what is read and unpacked for one of them."""
PACK = 8 << 20
"""Bytes of frames after which a pack ends."""
DIGEST = 16

Address = tuple[int, int]
"""Commit and offset."""


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    stored: int
    size: int
    digest: bytes
    """The first 16 bytes of the BLAKE2b-256 of the frame as it is stored."""
    bodies: tuple[tuple[int, int, int], ...]
    """Commit, offset in the commit, length; one after another they are the frame's contents."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[_Frame, ...])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attachment is: in the frame at [start, end) of the pack, its bytes [offset, offset + length)."""

    start: int
    end: int
    size: int
    digest: bytes
    offset: int
    length: int


class PackDraft:
    """A pack in the making."""

    def __init__(self) -> None:
        self._frames: list[tuple[_Frame, bytes]] = []
        self._open: list[tuple[int, int, bytes]] = []
        self._open_size = 0
        self.first = self.last = 0
        self.size = 0
        """Bytes of what is in it, as far as known."""

    def add(self, commit: int, offset: int, body: bytes) -> None:
        """One attachment more; commits come in their order."""
        self.first = self.first or commit
        self.last = commit
        self._open.append((commit, offset, body))
        self._open_size += len(body)
        if self._open_size >= FRAME:
            self._end_frame()

    def finished(self) -> tuple[bytes, int]:
        """The object, and the length of its head."""
        if self._open:
            self._end_frame()
        head = _encoder.encode([frame for frame, _ in self._frames])
        return sealed(Kind.PACK, head, [data for _, data in self._frames]), len(head)

    def _end_frame(self) -> None:
        data = compressed(b"".join([body for _, _, body in self._open]))
        bodies = tuple((commit, offset, len(body)) for commit, offset, body in self._open)
        self._frames.append((_Frame(len(data), self._open_size, digest_in_pack(data), bodies), data))
        self.size += len(data)
        self._open, self._open_size = [], 0


def digest_in_pack(frame: bytes) -> bytes:
    """What a frame must hash to."""
    return hashlib.blake2b(frame, digest_size=32).digest()[:DIGEST]


def index_of(end: bytes, preamble: bytes, key: str) -> Mapping[Address, Place]:
    """The index in a pack's last bytes, head and trailer.  Raises `Damaged`, `NewerFormat`."""
    check_preamble(Kind.PACK, preamble, key)
    head = head_of(Kind.PACK, preamble + end, key)
    if len(head) + TRAILER != len(end):
        raise Damaged("a pack has another head than its snapshot says", key=key, rule="P3")
    try:
        frames = _decoder.decode(head)
    except msgspec.DecodeError as error:
        raise Damaged("the index of a pack cannot be read", key=key, rule="P3", reason=str(error)) from error
    places, start = {}, PREAMBLE
    for frame in frames:
        at = 0
        for commit, offset, length in frame.bodies:
            places[commit, offset] = Place(start, start + frame.stored, frame.size, frame.digest, at, length)
            at += length
        start += frame.stored
    return places


async def read_index(store: ObjectStore, key: str, size: int) -> tuple[Mapping[Address, Place], int]:
    """The index of a pack of `size` bytes, and the length of its head, without a snapshot that tells of it.

    Raises `Damaged`, `NewerFormat`, `NotFound`.
    """
    preamble = await store.get_range(key, 0, PREAMBLE)
    trailer = await store.get_range(key, max(size - TRAILER, 0), size)
    head = int.from_bytes(trailer[:4], "big")
    if head > size - PREAMBLE - TRAILER:
        raise Damaged("the object is torn", key=key, rule="B2")
    return index_of(await store.get_range(key, size - TRAILER - head, size), preamble, key), head


async def bodies_in(store: ObjectStore, key: str, size: int) -> AsyncIterator[tuple[Address, bytes] | Damaged]:
    """What is in a pack, frame after frame, and what is wrong with it.  Raises as `read_index` does."""
    index, head = await read_index(store, key, size)
    frames: dict[int, list[tuple[Address, Place]]] = {}
    for address, place in index.items():
        frames.setdefault(place.start, []).append((address, place))
    end = PREAMBLE
    for bodies in frames.values():
        first = bodies[0][1]
        end = max(end, first.end)
        try:
            contents = unpacked_frame(await store.get_range(key, first.start, first.end), first, key)
        except Damaged as damage:
            yield damage
            continue
        for address, place in bodies:
            body = contents[place.offset : place.offset + place.length]
            if len(body) == place.length:
                yield address, body
            else:
                yield Damaged("a frame is shorter than what is in it", key=key, rule="P3")
    if end + head + TRAILER != size:
        yield Damaged("the frames of a pack are not what its head says", key=key, rule="P3")


def unpacked_frame(data: bytes, place: Place, key: str) -> bytes:
    """The contents of a frame.  Raises `Damaged`."""
    try:
        if digest_in_pack(data) != place.digest:
            raise ValueError("it is not what was written")
        return decompressed(data, place.size)
    except ValueError as error:
        raise Damaged("a frame of a pack cannot be read", key=key, rule="P3", reason=str(error)) from error
