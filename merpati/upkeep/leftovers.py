"""What a purge that stood still, and died when it went on, has left of an account that nobody remembers: rule D9.

Called by the schedule, and by `merpati mailbox vacuum --all`.  It goes through the whole bucket, and removes only what
says that a log has ended, and nothing of a log of which there is anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from merpati.clock import Clock
from merpati.directory.api import AccountEntry, RemovedEntry
from merpati.errors import MerpatiError
from merpati.ids import AccountId, Dice
from merpati.log.layout import counted_down, last_number, log_of
from merpati.log.reading import GRACE, Reader
from merpati.log.snapshots import read_snapshot, tip_of
from merpati.log.storetime import store_time
from merpati.mailbox.changes import Change, Closed
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.state import MailState
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.upkeep.blobs import BLOBS
from merpati.upkeep.deleting import REMEMBERED, Purged
from merpati.upkeep.logs import log_ids

FEW = 16
"""Objects of a log that has ended; where there are more, something lives, or is damaged."""


class Register(Protocol):
    """The part of the directory that is needed: who is there, and who is being purged."""

    async def accounts(self, domain: str = "") -> list[AccountEntry]: ...
    async def removed(self, domain: str = "") -> list[RemovedEntry]: ...
    @property
    def lacking(self) -> str: ...


async def sweep_leftovers(
    store: ObjectStore, register: Register, clock: Clock, dice: Dice, *, remembered: float = REMEMBERED
) -> Purged:
    """Remove them.  Raises `Unavailable`; what cannot be read, or is younger than L + G, stays."""
    before = await store_time(store, BLOBS, dice) - remembered - GRACE
    done = Purged()
    async for id in log_ids(store):
        found = [info async for info in store.list(f"{log_of(id).prefix}/", limit=FEW + 1)]
        if len(found) > FEW or any(info.modified >= before for info in found):
            continue
        reader: Reader[MailState, Change] = Reader(store, log_of(id), MailboxFold(), clock, dice)
        if await _says_that_it_ended(reader, found) and not await _is_known(register, id):
            # D7: the floors last, so that nobody takes the log for a new one meanwhile
            floors = {info.key for info in found if info.key.startswith(reader.layout.floors)}
            await store.delete([info.key for info in found if info.key not in floors])
            await store.delete(sorted(floors))
            done += Purged(objects=len(found), bytes=sum(info.size for info in found))
    return done


async def _is_known(register: Register, id: AccountId) -> bool:
    """Or may be: a directory that cannot be read to its end knows more than it says.

    Asked after the objects were listed: an account that was removed before that is there, removed, or forgotten.
    """
    known = {entry.id for entry in await register.accounts()} | {entry.id for entry in await register.removed()}
    return id in known or bool(register.lacking)


async def _says_that_it_ended(reader: Reader[MailState, Change], found: Sequence[ObjectInfo]) -> bool:
    try:
        return all([await _is_an_end(reader, info.key) for info in found])
    except MerpatiError:  # not for us to judge
        return False


async def _is_an_end(reader: Reader[MailState, Change], key: str) -> bool:
    """Whether it is a floor, a snapshot without a state, a closing commit (D2, D3), or asked for the time (K7)."""
    layout = reader.layout
    if key.startswith((layout.floors, layout.now(""))):
        return True
    if key.startswith(layout.snapshots):
        snapshot = await read_snapshot(reader.store, layout, counted_down(key))
        tip = await tip_of(reader.store, layout, reader.fold, reader.dice, snapshot)
        return bool(tip.state.closed)
    if key.startswith(layout.commits):
        commit = await reader.commit(last_number(key))
        changes = [change for part in commit.parts for change in part.changes] if commit else []
        return any(isinstance(change, Closed) for change in changes)
    return False
