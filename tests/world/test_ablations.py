"""Each safeguard switched off breaks the world: alone, and with the neighbour off that might hide that it is missing.

A row names the seed of a world that breaks without the safeguard and is sound with it.  Which worlds break depends on
every request that the product makes; where the named one does so no more, others are tried, and one of them must.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, mailboxes, messages
from tests.objects.paused import Paused
from tests.world.missing import Missing, bend
from tests.world.simulation import BAD_DAY, KINDS, Plan, Ran, run

BAD, STOPPED, DYING, LONGER = (
    KINDS[kind] for kind in ("bad days", "stopped for hours", "dying all the time", "two for longer")
)
OTHERS = 300
"""Worlds that are tried if the named one is sound."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is switched off, and where that is noticed."""

    rule: str
    off: Missing
    plan: Plan
    seed: int
    broken: tuple[str, ...] = ("V1",)


ANY = ("V1", "V2", "V5", "V6", "V7")
LATE = replace(BAD, faults=replace(BAD_DAY, late=0.15, latest=3.0))
SLOW = replace(LONGER, faults=replace(BAD_DAY, delay=40.0))

SLEEPY = replace(KINDS["large bodies"], stops=0.02, horizon=120_000.0)

ROWS = [
    Row("C4 own id", Missing(own_id=True), BAD, 5),
    Row("C4 own id, without causes", Missing(own_id=True, causes=True), BAD, 1),
    Row("causes", Missing(causes=True), DYING, 0),
    # FACTS: equal bytes prove nothing
    Row("C4 bytes for proof", Missing(random_id=True), BAD, 21, ("V1", "V5", "V6")),
    Row("C4 bytes for proof, without causes", Missing(random_id=True, causes=True), BAD, 19, ("V1", "V5", "V6")),
    # FACTS: a 409 or 412 is not a lost race until the key was read
    Row("C4 taken, without looking", Missing(looking=True), BAD, 9),
    Row("C4 taken, without looking, without causes", Missing(looking=True, causes=True), BAD, 1),
    # FACTS: absent after no answer is not refused
    Row("C4 absent for refused", Missing(asking_again=True), LATE, 4),
    Row("C4 absent for refused, without causes", Missing(asking_again=True, causes=True), LATE, 1),
    # FACTS: a stalled writer re-creates a deleted number and believes that it committed
    Row("F3 floor", Missing(floor=True), STOPPED, 6, ANY),
    Row("F3 floor, without own id", Missing(floor=True, own_id=True), STOPPED, 7, ANY),
    Row("F1 floor after deleting", Missing(floor_first=True), STOPPED, 27, ANY),
    Row("F1 floor after deleting, without F3", Missing(floor_first=True, floor=True), STOPPED, 3, ANY),
    Row("F2 grace of truncation", Missing(truncation_grace=True), STOPPED, 496, ANY),
    Row("F2 grace of truncation, without F3", Missing(truncation_grace=True, floor=True), STOPPED, 6, ANY),
    # P5 alone: tests/mailbox/test_beside.py, for two compactions must meet at three moments
    Row("P5 what the newest covers, without S5", Missing(covering=True, timely=True), STOPPED, 33, ANY),
    Row("S1 chunks first", Missing(chunks_first=True), BAD, 17, ANY),
    Row("S5 in time", Missing(timely=True), STOPPED, 88, ANY),
    Row("S5 in time, without S2", Missing(timely=True, fresh_names=True), STOPPED, 56, ANY),
    Row("V2 grace of the vacuum", Missing(vacuum_grace=True), SLOW, 3, ANY),
    Row("V2 grace of the vacuum, without S5", Missing(vacuum_grace=True, timely=True), SLOW, 0, ANY),
    Row("V5 a large body that is young", Missing(blob_horizon=True), SLEEPY, 12, ("V2", "V7")),
    # F5: a listing may lag by less than G/2
    Row("F5 a listing that lags", Missing(), replace(STOPPED, faults=replace(BAD_DAY, list_lag=4 * GRACE)), 33, ANY),
]


def is_broken(ran: Ran, row: Row) -> bool:
    return any(line.startswith(row.broken) for line in ran.wrong)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_without_a_safeguard_the_world_is_broken(row: Row) -> None:
    bare = replace(row.plan, missing=row.off)
    seeds = (row.seed, *range(OTHERS))
    broken = next((seed for seed in seeds if is_broken(run(seed, bare), row)), None)
    assert broken is not None, "no world needs this safeguard"
    faults = BAD_DAY if row.plan.faults.list_lag > GRACE / 2 else row.plan.faults
    assert run(broken, replace(row.plan, faults=faults)).wrong == []


@pytest.mark.parametrize(("fresh_names", "sound"), [(True, True), (False, False)])
async def test_without_s2_the_vacuum_takes_a_chunk_that_was_written_again(fresh_names: bool, sound: bool) -> None:
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    bend(account, Missing(fresh_names=not fresh_names))
    await account.append(messages(1))
    await account.keep_snapshot()
    await account.append(messages(2))
    await account.keep_snapshot()
    await clock.advance(3 * GRACE)

    async def meanwhile() -> None:
        await account.expunge("INBOX", [2], only_deleted=False)
        await account.keep_snapshot()  # whose columns are those of the first again

    beside: AllMailboxes = mailboxes(Paused(store, "delete", "/snap/", meanwhile), clock, SeededDice(5))
    await beside.account(ACCOUNT).vacuum(GRACE)
    reader = fresh(store, clock, 7)
    view = await reader.folder("INBOX", fresh=True)
    assert (view.exists, reader.log.reader.broken.damage is None) == (1, sound)
