"""An account that is removed while everybody goes on using it; in the end not a byte of it may be there."""

from __future__ import annotations

import msgspec

from merpati.directory.api import AccountEntry, RemovedEntry
from merpati.errors import MerpatiError
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.deleting import purge_removed
from merpati.upkeep.leftovers import sweep_leftovers
from tests.world.nodes import ACCOUNT, LONGEST, Died, Node
from tests.world.told import Told
from tests.world.truth import Truth
from tests.world.virtual import VirtualClock

REMEMBERED = 3 * LONGEST
"""L: longer than it takes a process of this world to end what it is doing."""
ROUNDS = 400


class Register:
    """`Removals` of a directory that is always there."""

    lacking = ""

    def __init__(self, clock: VirtualClock, told: Told, after: float) -> None:
        self._clock = clock
        self._told = told
        self._after = after
        self._entry: RemovedEntry | None = RemovedEntry(ACCOUNT, "w@w.test", clock.time(), at_once=True)

    async def purged(self, node: Node) -> None:
        """Rounds of the purge, through one node, until nothing is left to do."""
        await self._clock.sleep(self._after)
        self._told.ending = True
        for _ in range(ROUNDS):
            if self._entry is None:
                return
            try:
                await node.do(lambda account: self._round(node))
            except (MerpatiError, Died):
                pass
            await self._clock.sleep(1800.0)

    async def _round(self, node: Node) -> None:
        boxes, clock = node.boxes, node.clock
        await purge_removed(self, boxes, clock, retention=0.0, remembered=REMEMBERED)

    async def accounts(self, domain: str = "") -> list[AccountEntry]:
        return []

    async def removed(self, domain: str = "") -> list[RemovedEntry]:
        return [self._entry] if self._entry else []

    async def note_removal(self, entry: RemovedEntry) -> RemovedEntry | None:
        known = self._entry
        if known is not None:
            self._entry = msgspec.structs.replace(
                known,
                purging=known.purging or entry.purging,
                closed=known.closed or entry.closed,
                closed_at=known.closed_at or entry.closed_at,
                emptied_at=max(known.emptied_at, entry.emptied_at),
            )
        return self._entry

    async def forget_removal(self, entry: RemovedEntry) -> None:
        self._entry = None


async def judged_gone(truth: Truth, clock: VirtualClock, told: Told, register: Register) -> None:
    """V7: no key of the account, and no large body that was its alone."""
    told.ending = False
    await clock.sleep(REMEMBERED + 2 * GRACE)
    await sweep_leftovers(truth, register, clock, SeededDice(9), remembered=REMEMBERED)
    await BlobVacuum(truth, clock, SeededDice(9), retention=GRACE, horizon=0.0).run()
    async for info in truth.list(""):
        told.say(f"V7: {info.key} is left of an account that was removed")
