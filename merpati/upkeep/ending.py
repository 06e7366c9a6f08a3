"""The end of one account's log: closing it for good, and removing what is under its prefix (rules D2 to D7).

Called by `deleting`, which knows when each of these may be done.  Each may be the last before a crash, and be done
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from merpati.clock import Clock
from merpati.errors import Temporary
from merpati.log.api import EMPTY, Commit, Damaged, Tip
from merpati.log.commits import ID, drafted, encoded
from merpati.log.floor import raise_floor
from merpati.log.frame import PREAMBLE
from merpati.log.layout import counted_down, last_number
from merpati.log.snapshots import write_snapshot
from merpati.log.storetime import store_time
from merpati.mailbox.account import MailAccount
from merpati.mailbox.changes import Change, Closed
from merpati.mailbox.state import MailState
from merpati.mailbox.values import NoSuchAccount
from merpati.objects.api import Exists, NotFound

PAGE = 1000
"""Keys listed, and deleted, at once."""
TRIES = 100
"""Numbers tried for the closing commit of a log whose end cannot be read."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed."""

    objects: int = 0
    bytes: int = 0


class Ending:
    """One account, on its way out."""

    def __init__(self, account: MailAccount, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self._reader = account.log.reader
        self._store = self._reader.store
        self._layout = account.log.layout
        self.grace = account.log.grace

    async def close(self) -> int:
        """D2, D3: the closing commit, its snapshot, the floor above it; the commit's number."""
        try:
            tip = await self._account.close_for_good()
        except (Damaged, NoSuchAccount):
            tip = await self._closed_unread()
        reader = self._reader
        try:
            # names no chunk, no pack and no past: all of these go
            await write_snapshot(
                self._store, self._layout, reader.fold, tip, reader.dice, None, packs=(), pasts=()
            )  # fmt: skip
        except Exists:  # S4
            pass
        await raise_floor(self._store, self._layout, tip.number + 1)
        return tip.number

    async def sweep(self, number: int) -> Swept:
        """D4 to D6: all but the snapshot at `number` and the floor above it; commits once that floor is old enough."""
        floor = self._layout.floor(number + 1)
        now = await store_time(self._store, self._layout, self._reader.dice)
        try:
            old = now - (await self._store.head(floor)).modified > self.grace
        except NotFound:  # it is to be there as long as anything is
            await raise_floor(self._store, self._layout, number + 1)
            old = False
        stay = {self._layout.snapshot(number), floor}
        commits = self._layout.commits
        return await self._remove(lambda key: key not in stay and (old or not key.startswith(commits)))

    async def wipe(self, number: int = 0) -> Swept:
        """D7: everything, the floors last: who finds a floor and no snapshot does not take the log for a new one.

        `number`: of the closing commit, if this process may just have written what belongs to it: no listing need have
        it yet (D8).
        """
        first = await self._remove(lambda key: not key.startswith(self._layout.floors))
        rest = await self._remove(lambda key: True)
        if number:
            layout = self._layout
            await self._store.delete([layout.commit(number), layout.snapshot(number), layout.floor(number + 1)])
        return Swept(first.objects + rest.objects, first.bytes + rest.bytes)

    async def empty(self) -> bool:
        """Whether nothing is there."""
        async for _ in self._store.list(f"{self._layout.prefix}/", limit=1):
            return False
        return True

    async def _remove(self, doomed: Callable[[str], bool]) -> Swept:
        objects = size = 0
        after = ""
        while True:
            listed = self._store.list(f"{self._layout.prefix}/", after=after, limit=PAGE)
            page = [info async for info in listed]
            gone = [info for info in page if doomed(info.key)]
            await self._store.delete([info.key for info in gone])
            objects, size = objects + len(gone), size + sum(info.size for info in gone)
            if len(page) < PAGE:
                return Swept(objects, size)
            after = page[-1].key

    # ---- a log whose end cannot be read

    async def _closed_unread(self) -> Tip[MailState]:
        """D2: the closing commit after whatever a listing shows; who meets it reads anew, and finds D3's snapshot."""
        number = await self._last_number()
        for _ in range(TRIES):
            closed = await self._closing(number)
            if closed is not None:
                return Tip(MailState(number=number, closed=closed.at), number, closed.id, closed.at)
            number += 1
            now = self._clock.time()
            commit: Commit[Change] = Commit(number, self._reader.dice.bytes(ID), b"", now, ())
            changes: list[Change] = [Closed(now)]
            data = encoded(self._reader.fold, commit, [drafted(changes, (), PREAMBLE)], "")
            try:
                await self._store.create(self._layout.commit(number), data)
            except Exists:  # perhaps by ourselves: the next turn reads it
                pass
        raise Temporary("a log that cannot be read does not come to its end", key=self._layout.commits)

    async def _closing(self, number: int) -> Commit[Change] | None:
        """Commit `number`, if it is one that closes."""
        try:
            commit = await self._reader.commit(number)
        except Damaged:
            return None
        changes = [change for part in commit.parts for change in part.changes] if commit else []
        return commit if any(isinstance(change, Closed) for change in changes) else None

    async def _last_number(self) -> int:
        last = max(EMPTY, await self._reader.floor() - 1)
        async for info in self._store.list(self._layout.snapshots):
            last = max(last, _number(counted_down, info.key))
        async for info in self._store.list(self._layout.commits):
            last = max(last, _number(last_number, info.key))
        return last


def _number(read: Callable[[str], int], key: str) -> int:
    """What a key says; 0 if it is a foreign one."""
    try:
        return read(key)
    except ValueError:
        return 0
