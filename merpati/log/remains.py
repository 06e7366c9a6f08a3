"""What is left of a log: its snapshots, pasts and packs as they are named, or else as a listing finds them.

Called by `mending`; reads, and never writes.  Pasts and packs count if they can be read, whoever named them: their
contents are held against digests wherever they are used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from merpati.log.api import EMPTY, Damaged
from merpati.log.commits import decoded_head
from merpati.log.layout import counted_down, last_number, numbered
from merpati.log.packs import read_index
from merpati.log.past import found_pasts, read_past
from merpati.log.reading import Reader
from merpati.log.snapshots import PackEntry, PastEntry, Snapshot
from merpati.objects.api import NotFound


@dataclass(frozen=True, slots=True)
class Remains:
    """What can be read, and what cannot."""

    snapshots: tuple[Snapshot, ...]
    """The newest first."""
    pasts: tuple[PastEntry, ...]
    packs: tuple[PackEntry, ...]
    last: int
    """The greatest number that anything tells of."""
    wrong: tuple[Damaged, ...]

    @property
    def covered(self) -> int:
        """The number up to which the pasts reach."""
        return max((entry.last for entry in self.pasts), default=EMPTY)

    @property
    def forgotten(self) -> set[int]:
        """Commits that a past was said to have, and no other has."""
        named = {
            number for each in self.snapshots for entry in each.pasts for number in range(entry.first, entry.last + 1)
        }
        there = {number for entry in self.pasts for number in range(entry.first, entry.last + 1)}
        return {number for number in named - there if number <= self.covered}


async def remains_of(reader: Reader[Any, Any]) -> Remains:
    """Read everything but the commits and the chunks.  Raises `Unavailable`, `NewerFormat`."""
    snapshots: list[Snapshot] = []
    wrong: list[Damaged] = []
    async for snapshot in reader.snapshots():
        if isinstance(snapshot, Damaged):
            wrong.append(snapshot)
        else:
            snapshots.append(snapshot)
    pasts = [entry async for entry in _pasts(reader, snapshots, wrong)]
    # what the newest snapshot does not name may be out of reach on purpose; if it is not whole, whoever has named it
    named = {entry.name: entry for entry in snapshots[0].packs} if snapshots and not wrong else None
    packs = await _packs(reader, snapshots, named, wrong)
    last = max([await reader.floor() - 1, *(entry.last for entry in pasts), EMPTY])
    async for info in reader.store.list(reader.layout.snapshots):
        last = max(last, counted_down(info.key) if numbered(info.key) else EMPTY)
    async for info in reader.store.list(reader.layout.commits):
        last = max(last, last_number(info.key) if numbered(info.key) else EMPTY)
    return Remains(tuple(snapshots), tuple(_needed(pasts)), tuple(packs), last, tuple(wrong))


async def found_packs(reader: Reader[Any, Any], known: Iterable[PackEntry] = ()) -> AsyncIterator[PackEntry | Damaged]:
    """The packs that are there, found by listing; of those that are `known`, what is known of them."""
    entries = {reader.layout.pack(entry.name): entry for entry in known}
    async for info in reader.store.list(reader.layout.packs):
        entry = entries.get(info.key)
        if entry is not None and entry.size == info.size:
            yield entry
            continue
        try:
            index, head = await read_index(reader.store, info.key, info.size)
        except NotFound:
            continue
        except Damaged as damage:
            yield damage
        else:
            commits = [commit for commit, _ in index] or [0]
            name = info.key.removeprefix(reader.layout.packs)
            yield PackEntry(name, min(commits), max(commits), info.size, head)


async def _pasts(
    reader: Reader[Any, Any], snapshots: Iterable[Snapshot], wrong: list[Damaged]
) -> AsyncIterator[PastEntry]:
    named = {entry.name: entry for snapshot in snapshots for entry in snapshot.pasts}
    for entry in named.values():
        try:
            heads = await read_past(reader.store, reader.layout, entry)
            if not await _is_ours(reader, heads, snapshots):
                raise Damaged("a past of another log", key=reader.layout.past(entry.name), rule="P2")
            yield entry
        except Damaged as damage:
            wrong.append(damage)
    async for found in found_pasts(reader.store, reader.layout, named):
        if not isinstance(found, Damaged):
            yield found


async def _is_ours(reader: Reader[Any, Any], heads: dict[int, bytes], snapshots: Iterable[Snapshot]) -> bool:
    """Whether more of what stands beside a past fits it than does not: snapshots of it, the commit after it."""
    key, last = reader.layout.pasts, max(heads, default=0)
    ids = {number: decoded_head(reader.fold, raw, key).id for number, raw in heads.items() if raw}
    fits = [ids[each.number] == each.id for each in snapshots if each.number in ids]
    try:
        following = await reader.commit(last + 1)
        if following is not None and last in ids and following.after:
            fits.append(following.after == ids[last])
    except Damaged:
        pass
    return 2 * sum(fits) >= len(fits)


def _needed(pasts: list[PastEntry]) -> list[PastEntry]:
    """Without those whose commits are all in others; ascending."""
    chosen: list[PastEntry] = []
    reach = 0
    for entry in sorted(pasts, key=lambda each: (each.first, -each.last)):
        if entry.last > reach:
            chosen.append(entry)
            reach = entry.last
    return chosen


async def _packs(
    reader: Reader[Any, Any], snapshots: list[Snapshot], named: dict[str, PackEntry] | None, wrong: list[Damaged]
) -> list[PackEntry]:
    known = named.values() if named is not None else (entry for snapshot in snapshots for entry in snapshot.packs)
    packs: list[PackEntry] = []
    async for found in found_packs(reader, known):
        if isinstance(found, Damaged):
            wrong.append(found)
        elif named is None or found.name in named:
            packs.append(found)
            try:
                await read_index(reader.store, reader.layout.pack(found.name), found.size)
            except (Damaged, NotFound):  # said when it is read as a whole; a newer version is refused here and now
                continue
    there = {entry.name for entry in packs}
    for name in (named or {}).keys() - there:
        wrong.append(Damaged("a pack is missing", key=reader.layout.pack(name), rule="P3"))
    return packs
