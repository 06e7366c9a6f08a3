"""A damaged log mended: nothing is written over, all that can be read is taken along, and the rest is said to be lost.

Called by `rebuild`, which knows the state.  Rules P7, R8 and R9 of PROTOCOL.md.  May crash anywhere and run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from merpati.errors import Unavailable, Unknown
from merpati.log.api import Commit, Contended, Damaged, Tip
from merpati.log.commits import ID, attachment_digest, decoded, encoded, head_in, time_in
from merpati.log.compaction import HEADS, HEADS_BYTES
from merpati.log.packs import PACK, Address, PackDraft, bodies_in
from merpati.log.past import encoded_past
from merpati.log.reading import Moment, Reader
from merpati.log.remains import Remains
from merpati.log.snapshots import PackEntry, PastEntry, write_snapshot
from merpati.objects.api import Exists, NotFound

S = TypeVar("S")
C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Needed:
    """An attachment that the state needs."""

    commit: int
    offset: int
    length: int
    check: int
    """The first eight bytes of its digest; 0 if they are not known."""

    def is_met(self, body: bytes) -> bool:
        """Whether these are its bytes, as far as it is known."""
        right = not self.check or int.from_bytes(attachment_digest(body)[:8], "big") == self.check
        return len(body) == self.length and right


class Mending(Generic[S, C]):
    """Writes what a mended log needs."""

    def __init__(self, reader: Reader[S, C], remains: Remains) -> None:
        self._reader = reader
        self._store = reader.store
        self._layout = reader.layout
        self._remains = remains
        self._packs: list[PackEntry] = []
        self._pasts: list[PastEntry] = []
        self._packed: set[Address] = set()
        self._draft = PackDraft()
        self.lost: list[int] = []
        """Commits whose heads nobody has any more."""
        self.unreadable: list[Needed] = []
        """Attachments that are nowhere."""
        self.wrong: list[Damaged] = []
        """What was met on the way."""

    async def begin(self, number: int, at: float, writer: str) -> Tip[None]:
        """R8: claim `number` with a commit that follows nothing.  Raises `Contended` if another was first."""
        reader = self._reader
        commit: Commit[C] = Commit(number, reader.dice.bytes(ID), b"", max(reader.clock.time(), at), ())
        key = self._layout.commit(number)
        try:
            await self._store.create(key, encoded(reader.fold, commit, [], writer))
        except (Exists, Unknown):  # C4
            found = await reader.commit(number)
            if found is None:
                raise Unavailable("the mail store did not take the commit", key=key) from None
            if found.id != commit.id:
                raise Contended("another wrote this commit", key=key) from None
        return Tip(None, number, commit.id, commit.at)

    async def end(self, tip: Tip[S], needed: Iterable[Needed], lost: frozenset[int], taken: int) -> None:
        """Put what the commits up to `taken` hold into pasts and packs, and write the snapshot at `tip`.

        `lost`: commits that are not to be had, whatever is found under their numbers.  Raises `TooLate`, `Contended`.
        """
        wanted = {(each.commit, each.offset): each for each in needed}
        for entry in self._remains.packs:
            if await self._is_sound(entry, wanted):
                self._packs.append(entry)
        began = Moment.now(self._reader.clock)
        await self._take_over(self._remains.covered + 1, taken, lost)
        await self._flush()
        for address in sorted({*wanted} - self._packed):
            if address[0] <= taken:
                await self._save(wanted[address])
        await self._flush()
        try:
            await write_snapshot(
                self._store, self._layout, self._reader.fold, tip, self._reader.dice,
                packs=tuple(self._packs), pasts=(*self._remains.pasts, *self._pasts),
                timely=self._reader.timely(began),
            )  # fmt: skip
        except Exists:
            raise Contended("another wrote a snapshot of this commit", commit=tip.number) from None

    async def _is_sound(self, entry: PackEntry, wanted: Mapping[Address, Needed]) -> bool:
        """Whether a pack has anything for us: not if nothing in it is what the state needs under its address."""
        key, of_use, good = self._layout.pack(entry.name), 0, set[Address]()
        try:
            async for found in bodies_in(self._store, key, entry.size):
                if isinstance(found, Damaged):
                    self.wrong.append(found)
                    continue
                address, body = found
                of_use += address in wanted
                if address not in wanted or wanted[address].is_met(body):
                    good.add(address)
        except (Damaged, NotFound) as error:
            self.wrong.append(error if isinstance(error, Damaged) else Damaged("a pack is gone", key=key, rule="P3"))
            return False
        if of_use and not good & wanted.keys():
            self.wrong.append(Damaged("a pack of another log", key=key, rule="P3"))
            return False
        self._packed |= good
        return True

    async def _take_over(self, first: int, last: int, lost: frozenset[int]) -> None:
        """P1, but for what is damaged: the head of a lost commit has no bytes (P7)."""
        heads, since = list[bytes](), 0.0
        for number in range(first, last + 1):
            head = b"" if number in lost else await self._taken(number)
            since = since or (time_in(head) if head else 0.0)
            heads.append(head)
            if not head:
                self.lost.append(number)
            if len(heads) >= HEADS or sum(map(len, heads)) >= HEADS_BYTES or number == last:
                data = await asyncio.to_thread(encoded_past, number - len(heads) + 1, heads)
                name = self._reader.dice.bytes(16).hex()
                await self._store.put(self._layout.past(name), data)
                self._pasts.append(PastEntry(name, number - len(heads) + 1, number, len(data), since))
                heads, since = [], 0.0

    async def _taken(self, number: int) -> bytes:
        """The head of a commit, its attachments in the draft; nothing if it cannot be read."""
        key = self._layout.commit(number)
        try:
            data = await self._store.get(key)
            commit = decoded(self._reader.fold, data, key)
        except (NotFound, Damaged):
            return b""
        if commit.number != number:
            return b""
        for at in (attachment for part in commit.parts for attachment in part.attachments):
            body = data[at.offset : at.offset + at.length]
            if attachment_digest(body) == at.digest:
                await self._add(number, at.offset, body)
        return head_in(data, key)

    async def _save(self, needed: Needed) -> None:
        """R9: an attachment is where it was in the commit's object, even if that cannot be read as a whole."""
        key = self._layout.commit(needed.commit)
        try:
            body = await self._store.get_range(key, needed.offset, needed.offset + needed.length)
        except NotFound:
            body = b""
        if needed.is_met(body):
            await self._add(needed.commit, needed.offset, body)
        else:
            self.unreadable.append(needed)

    async def _add(self, commit: int, offset: int, body: bytes) -> None:
        self._draft.add(commit, offset, body)
        self._packed.add((commit, offset))
        if self._draft.size >= PACK:
            await self._flush()

    async def _flush(self) -> None:
        if not self._draft.first:
            return
        draft, self._draft = self._draft, PackDraft()
        data, head = await asyncio.to_thread(draft.finished)
        name = self._reader.dice.bytes(16).hex()
        await self._store.put(self._layout.pack(name), data)
        self._packs.append(PackEntry(name, draft.first, draft.last, len(data), head))


def foreign(links: dict[int, tuple[bytes, bytes]], base: Tip[Any]) -> frozenset[int]:
    """Of commits (number → id, id of the one before), those that fit neither the one before nor the one behind.

    A commit is believed over its neighbour if it fits its other neighbour, or the snapshot at `base`.
    """

    def fits(number: int) -> bool:
        """Whether it is tied to something else that is there."""
        identity, after = links[number]
        before = links[number - 1][0] if number - 1 in links else base.id if number == base.number + 1 else b""
        behind = links[number + 1][1] if number + 1 in links else b""
        return bool(after and after == before) or (bool(behind) and behind == identity)

    def disputed(number: int) -> bool:
        neighbours = [each for each in (number - 1, number + 1) if each in links]
        first = number == base.number + 1 and links[number][1] == base.id
        return (bool(neighbours) or number == base.number + 1) and (any(map(fits, neighbours)) or not first)

    return frozenset(number for number in links if not fits(number) and disputed(number))
