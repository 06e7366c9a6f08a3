"""Which large bodies a mailbox needs: those of every state that can be had in the retention window (rule V6).

Called by the vacuum of `blobs/`, for one account after the other.  Reads heads and columns, never a body, and never
writes.  It must not overlook anything: whatever cannot be read is an error, and no reason to go on without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from merpati.log.api import EMPTY, Damaged
from merpati.log.layout import counted_down
from merpati.log.reading import Reader
from merpati.log.snapshots import Snapshot, read_snapshot, tip_of
from merpati.log.travel import Travel
from merpati.log.vacuum import kept
from merpati.mailbox.bodies import LARGE
from merpati.mailbox.changes import Added, Change, Copied
from merpati.mailbox.loading import without_larges
from merpati.mailbox.state import MailState
from merpati.objects.api import NotFound, ObjectInfo


async def larges_needed(
    reader: Reader[MailState, Change], now: float, *, retention: float, grace: float
) -> AsyncIterator[str]:
    """The keys of large bodies, some more than once; `now` is by the store's clock.  Raises `Damaged`.

    A log that has ended needs none: nothing in it is to be had any more (D3).
    """
    listed = [info async for info in reader.store.list(reader.layout.snapshots)]
    opened = await reader.open()
    if (damage := opened.damage or reader.broken.damage) is not None:
        raise damage
    if opened.tip.state.closed:
        return
    for key in _in_rows(opened.tip.state):
        yield key
    stay, base = await _snapshots(reader, listed, now, retention, grace)
    for snapshot in stay:
        if not without_larges(snapshot.state):
            tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot)
            for key in _in_rows(tip.state):
                yield key
    async for change in _changes(reader, base, opened.tip.number):
        for key in _in_change(change):
            yield key


async def _snapshots(
    reader: Reader[MailState, Change], listed: list[ObjectInfo], now: float, retention: float, grace: float
) -> tuple[list[Snapshot], int]:
    """V1: those that stay, and the number that the window begins with: that of the newest from before it."""
    stay = kept(listed, now, max(retention, grace), grace)
    before = [info.key for info in listed if info.modified <= now - max(retention, grace)]
    found = []
    for key in sorted(stay):
        try:
            found.append(await read_snapshot(reader.store, reader.layout, counted_down(key)))
        except NotFound:  # a vacuum of a shorter window took it: what it named cannot be had any more
            continue
    return found, counted_down(before[0]) if before else EMPTY


async def _changes(reader: Reader[MailState, Change], base: int, last: int) -> AsyncIterator[Change]:
    """What the commits after `base` did, as far back as the pasts go; every one of them up to `last`."""
    number = 0
    if base < last:
        async for commit, _ in Travel(reader).commits(base + 1):
            if number and commit.number != number + 1:
                break
            number = commit.number
            for part in commit.parts:
                for change in part.changes:
                    yield change
    if base < last and number < last:
        key = reader.layout.commit(max(number, base) + 1)
        raise Damaged("a commit is missing", key=key, rule="P1")


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
