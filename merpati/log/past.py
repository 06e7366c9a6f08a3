"""The heads of many commits in one object: what remains of commits when the log is truncated (rules P1 to P4).

Written by compaction, before the floor is raised; read by time travel, by `rebuild`, and by a writer that must know
whose commit a number was after it is gone.  The bodies of these commits are in packs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

import msgspec

from merpati.ids import digest_of
from merpati.log.api import Damaged
from merpati.log.commits import time_in
from merpati.log.compress import compressed, decompressed
from merpati.log.frame import PREAMBLE, TRAILER, Kind, head_of, sealed
from merpati.log.layout import Layout
from merpati.log.snapshots import PastEntry
from merpati.objects.api import NotFound, ObjectStore


class _Head(msgspec.Struct, array_like=True, frozen=True):
    first: int
    last: int
    lengths: tuple[int, ...]
    """Bytes of each commit's head; one after another they are the payload, compressed."""
    digest: str
    """Of the payload as it is stored."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def encoded_past(first: int, heads: Sequence[bytes]) -> bytes:
    """The object that holds the heads of commits `first`, `first` + 1, …; one of no bytes is of a lost commit (P7)."""
    payload = compressed(b"".join(heads))
    head = _Head(first, first + len(heads) - 1, tuple(len(each) for each in heads), digest_of(payload))
    return sealed(Kind.PAST, _encoder.encode(head), [payload])


def decoded_past(data: bytes, key: str) -> dict[int, bytes]:
    """The heads by number.  Raises `Damaged` (P2), `NewerFormat`."""
    raw = head_of(Kind.PAST, data, key)
    try:
        head = _decoder.decode(raw)
        payload = data[PREAMBLE : len(data) - len(raw) - TRAILER]
        if digest_of(payload) != head.digest:
            raise ValueError("the payload is not what was written")
        joined = decompressed(payload, sum(head.lengths))
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged("the heads of old commits cannot be read", key=key, rule="P2", reason=str(error)) from error
    heads, start = {}, 0
    for number, length in enumerate(head.lengths, head.first):
        heads[number] = joined[start : start + length]
        start += length
    return heads


async def read_past(store: ObjectStore, layout: Layout, entry: PastEntry) -> dict[int, bytes]:
    """The heads in one such object, by number.  Raises `Damaged`, `NewerFormat`."""
    key = layout.past(entry.name)
    try:
        data = await store.get(key)
    except NotFound:
        raise Damaged("the heads of old commits are missing", key=key, rule="P2") from None
    heads = await asyncio.to_thread(decoded_past, data, key)
    if (min(heads, default=0), max(heads, default=0)) != (entry.first, entry.last):
        raise Damaged("the heads of other commits than a snapshot says", key=key, rule="P2")
    return heads


async def found_pasts(
    store: ObjectStore, layout: Layout, known: Collection[str] = ()
) -> AsyncIterator[PastEntry | Damaged]:
    """The pasts that are there, but for those `known` by name: found by listing, and read (rule R5)."""
    async for info in store.list(layout.pasts):
        name = info.key.removeprefix(layout.pasts)
        if name in known:
            continue
        try:
            heads = await asyncio.to_thread(decoded_past, await store.get(info.key), info.key)
            since = next((time_in(head) for head in heads.values() if head), 0.0)
        except NotFound:  # removed since it was listed
            continue
        except Damaged as damage:
            yield damage
        else:
            yield PastEntry(name, min(heads, default=0), max(heads, default=0), info.size, since)


def entry_with(pasts: Iterable[PastEntry], number: int) -> PastEntry | None:
    """Which of the objects holds commit `number`, if one does."""
    return next((entry for entry in pasts if entry.first <= number <= entry.last), None)
