"""Which large bodies a mailbox needs: those of every state that can be had in the retention window (rule V6).

Called by the vacuum of `blobs/`, for one account after the other.  Reads heads and columns, never a body, and never
writes.  It must not overlook anything: whatever cannot be read is an error, and no reason to go on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeVar

from merpati.log.api import EMPTY, Commit, Damaged
from merpati.log.commits import decoded_head
from merpati.log.frame import TRAILER, Kind, head_of
from merpati.log.layout import counted_down
from merpati.log.past import read_past
from merpati.log.reach import furthest
from merpati.log.reading import Reader
from merpati.log.snapshots import PastEntry, Snapshot, read_snapshot, tip_of
from merpati.log.vacuum import kept
from merpati.mailbox.bodies import LARGE
from merpati.mailbox.changes import Added, Change, Copied
from merpati.mailbox.loading import without_larges
from merpati.mailbox.state import MailState
from merpati.objects.api import NotFound, ObjectStore

C = TypeVar("C")

AT_ONCE = 16
"""Commits read at once."""
TAIL = 32 * 1024
"""Bytes at the end of a commit in which its head mostly is; a smaller commit is fetched whole."""
TRIES = 3
"""Times that an account is asked: what is read may be moved under the reader."""


async def larges_needed(
    reader: Reader[MailState, Change], now: float, *, retention: float, grace: float
) -> AsyncIterator[str]:
    """The keys of large bodies, some more than once; `now` is by the store's clock.  Raises `Damaged`.

    A log that has ended needs none: nothing in it is to be had any more (D3).
    """
    for tries in range(1, TRIES + 1):
        try:
            async for key in _needed(reader, now, max(retention, grace), grace):
                yield key
            return
        except Damaged:
            if tries == TRIES:
                raise
            # perhaps a compaction or a vacuum has just moved what was to be read


async def _needed(reader: Reader[MailState, Change], now: float, retention: float, grace: float) -> AsyncIterator[str]:
    listed = [info async for info in reader.store.list(reader.layout.snapshots)]
    opened = await reader.open()
    if (damage := opened.damage or reader.broken.damage) is not None:
        raise damage
    if opened.tip.state.closed:
        return
    for key in _in_rows(opened.tip.state):
        yield key
    snapshots = await _snapshots(reader, sorted(kept(listed, now, retention, grace)))
    for snapshot in snapshots:
        if not without_larges(snapshot.state):
            tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot)
            for key in _in_rows(tip.state):
                yield key
    # V1: the window begins with the newest snapshot from before it
    before = [counted_down(info.key) for info in listed if info.modified <= now - retention]
    pasts = (await furthest(reader, snapshots[0])).pasts if snapshots else ()
    async for commit in commits_after(reader, max(before, default=EMPTY), opened.tip.number, pasts):
        for part in commit.parts:
            for change in part.changes:
                for key in _in_change(change):
                    yield key


async def _snapshots(reader: Reader[MailState, Change], keys: Sequence[str]) -> list[Snapshot]:
    """The newest first."""
    found = []
    for key in keys:
        try:
            found.append(await read_snapshot(reader.store, reader.layout, counted_down(key)))
        except NotFound:  # a vacuum of a shorter window took it: what it named cannot be had any more
            continue
    return found


async def commits_after(
    reader: Reader[Any, C], base: int, last: int, pasts: Sequence[PastEntry]
) -> AsyncIterator[Commit[C]]:
    """The commits from `base` + 1 to `last`, without their attachments; from the first that `pasts` have, if later.

    Raises `Damaged` if one of them is missing or cannot be read.
    """
    number = base
    for entry in sorted(pasts, key=lambda entry: entry.first):
        if entry.last <= number:
            continue
        if number > base and entry.first > number + 1:
            raise Damaged("heads of commits are missing", key=reader.layout.past(entry.name), rule="P1")
        key, heads = reader.layout.past(entry.name), await read_past(reader.store, reader.layout, entry)
        for each in range(max(entry.first, base + 1), entry.last + 1):
            yield decoded_head(reader.fold, heads[each], key)
        number = entry.last
    listed = reader.store.list(reader.layout.commits, after=reader.layout.commit(number))
    sizes = {info.key: info.size async for info in listed}
    for start in range(number + 1, last + 1, AT_ONCE):
        keys = [reader.layout.commit(each) for each in range(start, min(start + AT_ONCE, last + 1))]
        found = await asyncio.gather(*(_head(reader.store, key, sizes.get(key, 0)) for key in keys))
        for key, head in zip(keys, found, strict=True):
            yield decoded_head(reader.fold, head, key)


async def _head(store: ObjectStore, key: str, size: int) -> bytes:
    """A commit's head: it stands at the end (B1), so the mail before it is not fetched."""
    try:
        if size > TAIL:
            end = await store.get_range(key, size - TAIL, size)
            length = int.from_bytes(end[-TRAILER : -TRAILER + 4], "big") + TRAILER
            if length <= len(end):
                # its digest covers the preamble: of another version this is damage, and nothing goes
                return head_of(Kind.COMMIT, Kind.COMMIT.preamble + end[-length:], key)
        return head_of(Kind.COMMIT, await store.get(key), key)
    except NotFound:
        raise Damaged("a commit is missing", key=key, rule="P1") from None


def _in_rows(state: MailState) -> Iterator[str]:
    """Of the messages that are there; those that were expunged leave their place behind, which counts for nothing."""
    if not len(state.larges):
        return
    for folder in state.folders.values():
        columns = folder.columns
        for row, offset in enumerate(columns.offsets[: columns.length]):
            if offset >= LARGE:
                place = state.larges.get(columns.commits[row], offset)
                if place is None:
                    raise Damaged("a large body has no place", key=f"commit {columns.commits[row]}", rule="V6")
                yield place.body.key


def _in_change(change: Change) -> Iterator[str]:
    match change:
        case Added():
            yield from (row.large.key for row in change.rows if row.large is not None)
        case Copied():
            yield from (kept.large[2].key for kept in change.rows if kept.large is not None)
