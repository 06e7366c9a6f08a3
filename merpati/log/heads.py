"""The heads of a log's commits by number, wherever they are left: in pasts, in the commits, in pasts nobody names.

Called by `travel`, by `reading` when snapshots are damaged, by `verifying` and by `mending`.  Reads, and never writes.
What is damaged is stepped over as long as there is another place to look (rule R5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from merpati.log.api import Damaged
from merpati.log.commits import head_in
from merpati.log.layout import Layout
from merpati.log.past import found_pasts, read_past
from merpati.log.snapshots import PastEntry
from merpati.objects.api import NotFound, ObjectStore


class Heads:
    """The heads of one log."""

    def __init__(self, store: ObjectStore, layout: Layout, named: Iterable[PastEntry]) -> None:
        """`named`: the pasts that snapshots name, the newest first."""
        self._store = store
        self._layout = layout
        self._named = list({entry.name: entry for entry in named}.values())
        self._others: list[PastEntry] | None = None
        self._past: tuple[str, dict[int, bytes]] = ("", {})
        self._damaged: dict[str, Damaged] = {}

    async def get(self, number: int) -> bytes | None:
        """The head of a commit; None if it is nowhere.  Raises `Damaged` if it was lost."""
        async for head in self.candidates(number):
            return head
        for entry in self._with(number, self._named):
            key = self._layout.past(entry.name)
            raise self._damaged.get(key) or Damaged("a commit that was lost", key=key, rule="P7", commit=number)
        if (damage := self._damaged.get(self._layout.commit(number))) is not None:
            raise damage
        return None

    async def candidates(self, number: int) -> AsyncIterator[bytes]:
        """What may be the head of a commit, the likeliest first: what is below the floor may be a stalled writer's."""
        for entry in self._with(number, self._named):
            if head := await self._in_past(entry, number):
                yield head
        if head := await self._in_commit(number):
            yield head
        for entry in self._with(number, await self._unnamed()):
            if head := await self._in_past(entry, number):
                yield head

    @staticmethod
    def _with(number: int, entries: Iterable[PastEntry]) -> list[PastEntry]:
        return [entry for entry in entries if entry.first <= number <= entry.last]

    async def _in_past(self, entry: PastEntry, number: int) -> bytes:
        """The head in a past; nothing if the commit is one of those that were lost (P7)."""
        key = self._layout.past(entry.name)
        if self._past[0] != entry.name and key not in self._damaged:
            try:
                self._past = entry.name, await read_past(self._store, self._layout, entry)
            except Damaged as damage:
                self._damaged[key] = damage
        return self._past[1][number] if self._past[0] == entry.name else b""

    async def _in_commit(self, number: int) -> bytes:
        key = self._layout.commit(number)
        try:
            return head_in(await self._store.get(key), key)
        except NotFound:
            pass
        except Damaged as damage:
            self._damaged[key] = damage
        return b""

    async def _unnamed(self) -> list[PastEntry]:
        """Pasts that a snapshot named that cannot be read, found by listing."""
        if self._others is None:
            named = {entry.name for entry in self._named}
            self._others = [
                entry async for entry in found_pasts(self._store, self._layout, named) if not isinstance(entry, Damaged)
            ]
        return self._others
