"""The rounds: what they leave of an idle account, what they cost, and how several processes share them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from merpati.clock import ManualClock
from merpati.directory.editing import INSTALLATION
from merpati.directory.editing import log_of as directory_of
from merpati.directory.open import open_directory
from merpati.errors import Permanent, Unavailable, Unknown
from merpati.ids import SeededDice
from merpati.log.layout import log_of
from merpati.log.vacuum import RETENTION
from merpati.mailbox.api import Append
from merpati.objects.api import ObjectStore
from merpati.objects.wrapped import WrappedStore
from merpati.telemetry import Metrics
from merpati.upkeep.claiming import PREFIX, claim_key
from merpati.upkeep.rounds import AWAY, LONGEST, SHARES, Chore, Rounds
from tests.mailbox.worlds import mail
from tests.upkeep.idle import DAY, Idle, address_of, id_of

FEW_OBJECTS = 16
"""What an idle account may keep: a snapshot, its chunks, packs and pasts, a floor, a commit or two."""


async def everything(here: Idle, number: int) -> dict[str, list[bytes]]:
    account = here.account(number)
    found: dict[str, list[bytes]] = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found[name] = [await account.body(view.body(row)) for row in range(view.exists)]
    return found


@pytest.mark.parametrize("commits", [20, 900])
async def test_an_idle_account_ends_at_few_objects_with_all_its_mail(commits: int) -> None:
    here = Idle()
    account = await here.filled(1, commits)
    await account.store("INBOX", [1, 2], ["\\Flagged"])
    expected = await everything(here, 1)
    await here.days(here.rounds(), 30)
    left = await here.objects(1)
    assert sum(left.values()) <= FEW_OBJECTS, left
    assert left["snap"] == 1 and left["log"] <= 2
    assert await everything(here, 1) == expected
    assert (await here.account(1).folder("INBOX", fresh=True)).flags[0]


async def test_an_account_that_still_gets_mail_does_not_get_a_pack_a_day() -> None:
    here = Idle()
    rounds = here.rounds()
    for day in range(40):
        await here.filled(1, 20)
        await here.days(rounds, 1)
        here.tenants.add(1)
        assert day < 30 or (await here.objects(1))["pack"] <= 2
    assert (await here.objects(1))["pack"] >= 1, "500 commits are moved whoever writes"
    assert len((await everything(here, 1))["INBOX"]) == 800


async def test_what_was_expunged_leaves_the_store_once_the_window_has_left_it() -> None:
    here = Idle()
    account = await here.filled(1, 0)
    for number in range(40):
        await account.append([Append("INBOX", mail(number) + SeededDice(number).bytes(2000))])
    rounds = here.rounds()
    await here.days(rounds, 9)
    assert (await here.objects(1))["pack"] == 1
    await here.account(1).expunge("INBOX", range(1, 31), only_deleted=False)
    for uid in range(31, 41):
        for flag in ("\\Seen", "\\Flagged"):
            await here.account(1).store("INBOX", [uid], [flag])

    async def packed() -> int:
        return sum([info.size async for info in here.bare.list(f"{log_of(id_of(1)).prefix}/pack/")])

    before = await packed()
    await here.days(rounds, 40)
    assert await packed() < before / 2
    assert len((await everything(here, 1))["INBOX"]) == 10


async def test_directories_are_looked_after_too() -> None:
    here = Idle()
    directory = open_directory(here.store, None, here.clock, SeededDice(7), Metrics())
    for number in range(60):
        await directory.add_domain(f"d{number}.example.org")
        await directory.add_account(f"x{number}@d0.example.org", "$argon2id$")
    await directory.stop(0)
    here.tenants.names = ("d0.example.org",)
    await here.days(here.rounds(), 20)
    for log_id in (INSTALLATION, directory_of("d0.example.org")):
        left = [info async for info in here.bare.list(f"{log_of(log_id).prefix}/")]
        assert len(left) <= FEW_OBJECTS
    assert len(await open_directory(here.store, None, here.clock, SeededDice(8), Metrics()).accounts()) == 60


# ---- what it costs


async def idle(here: Idle, accounts: int) -> None:
    """So many accounts in which nothing is to be done: one of ten lately used, the others compacted long ago."""
    await here.filled(0, 40)
    await here.days(here.rounds(), 20)
    await here.filled(1, 10)
    for number in range(2, accounts):
        await here.copied(1 if number % 10 == 1 else 0, number)
    here.pass_by(DAY)


@pytest.mark.parametrize("accounts", [100, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_an_idle_account_costs_one_or_two_requests_a_round(accounts: int) -> None:
    here = Idle()
    await idle(here, accounts)
    here.requests.clear()
    metrics, began = Metrics(), here.clock.time()
    await here.rounds(metrics=metrics).round()
    # a listing each, and the newest snapshot of those that have one; the claims, and the list of domains
    assert here.requests["list"] == accounts + 1 + 1
    assert here.requests["get"] <= accounts
    assert here.requests["create"] <= SHARES
    assert sum(here.requests.values()) <= 2 * accounts + SHARES + 3
    assert here.clock.time() - began < accounts * 0.1, "seconds, on a store that answers at once"
    assert logs(metrics, "nothing") == accounts + 1


def logs(metrics: Metrics, outcome: str) -> int:
    """Logs of all kinds that a process counts under an outcome."""
    found = 0
    for line in metrics.render().decode().splitlines():
        if line.startswith("merpati_upkeep_logs_total") and f'outcome="{outcome}"' in line:
            found += int(float(line.rpartition(" ")[2]))
    return found


# ---- several processes


async def test_processes_share_the_accounts_and_nobody_does_what_another_does() -> None:
    here = Idle()
    here.tenants.add(*range(200))
    counts = [Metrics() for _ in range(4)]
    await asyncio.gather(*(here.rounds(metrics=metrics).round() for metrics in counts))
    done = [logs(metrics, "nothing") for metrics in counts]
    assert sum(done) == 200 + 1 and min(done) > 20, done


async def test_a_share_is_done_once_a_day_however_often_a_process_starts() -> None:
    here = Idle()
    here.tenants.add(*range(50))
    for _ in range(3):
        await here.rounds().round()
    assert logs(here.metrics, "nothing") == 51
    await here.days(here.rounds(), 1)
    await here.rounds().round()
    assert logs(here.metrics, "nothing") == 102


async def test_what_a_dead_process_left_undone_is_done_the_next_day_and_the_rest_at_once() -> None:
    here = Idle()
    here.tenants.add(*range(SHARES * 4))
    dying, seen = here.rounds(), 0
    looked_after = dying._look_after

    async def mortal(place: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 10:
            raise asyncio.CancelledError
        await looked_after(place)  # type: ignore[arg-type]

    dying._look_after = mortal  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await dying.round()
    await here.rounds().round()
    first = logs(here.metrics, "nothing")
    assert SHARES * 4 + 1 - 15 <= first < SHARES * 4 + 1, "all but the share in which it died"
    here.pass_by(DAY)
    await here.rounds().round()
    assert logs(here.metrics, "nothing") == first + SHARES * 4 + 1


async def test_old_claims_are_removed() -> None:
    here = Idle()
    here.tenants.add(*range(100))
    await here.days(here.rounds(), 10)
    rounds = {info.key.split("/")[1] async for info in here.bare.list(PREFIX)}
    assert len(rounds) == 2


class Forgetful(WrappedStore):
    """Applies a claim and loses the answer: half of the times as no answer, half as `taken`."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.creates = 0

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        self.creates += 1
        if key.startswith(PREFIX):
            if self.creates % 2:
                raise Unknown("no answer")
            await super().create(key, data)


async def test_a_claim_whose_answer_was_lost_is_ones_own() -> None:
    here = Idle(Forgetful)
    here.tenants.add(*range(100))
    await asyncio.gather(here.rounds().round(), here.rounds().round())
    assert logs(here.metrics, "nothing") == 101


# ---- trouble


async def test_a_damaged_account_does_not_hold_up_its_neighbours() -> None:
    here = Idle()
    for number in range(5):
        await here.filled(number, 30)
    await here.bare.put(log_of(id_of(2)).commit(10), b"damage")
    await here.days(here.rounds(), 12)
    assert logs(here.metrics, "failed") >= 1
    for number in (0, 1, 3, 4):
        assert (await here.objects(number))["log"] <= 2
    assert (await here.objects(2))["log"] == 30, "nothing is moved that stands behind the damage"


async def test_a_bug_does_not_end_the_round() -> None:
    here = Idle()
    here.tenants.add(*range(20))
    account = here.tenants.account

    await here.filled(3, 30)

    async def broken(address: str) -> object:
        if address == address_of(3):
            raise RuntimeError("bug")
        return await account(address)

    here.tenants.account = broken  # type: ignore[method-assign, assignment]
    await here.days(here.rounds(), 9)
    assert logs(here.metrics, "failed") >= 1
    assert logs(here.metrics, "nothing") >= 9 * 20


async def test_an_account_that_was_removed_meanwhile_is_left_alone() -> None:
    here = Idle()
    await here.filled(1, 30)
    await here.filled(2, 30)
    here.pass_by(8 * DAY)
    rounds, before = here.rounds(), [info.key async for info in here.bare.list(log_of(id_of(1)).prefix)]
    entries = await here.tenants.accounts()

    async def late(domain: str = "") -> list[object]:
        return list(entries)

    here.tenants.accounts = late  # type: ignore[method-assign, assignment]
    del here.tenants.entries[address_of(1)]
    await rounds.round()
    assert [info.key async for info in here.bare.list(log_of(id_of(1)).prefix)] == before
    assert (await here.objects(2))["pack"] == 1
    assert logs(here.metrics, "removed") == 1


class Down(WrappedStore):
    """Lists no log: the store is away."""

    def list(self, prefix: str, *, after: str = "", limit: int | None = None):  # type: ignore[no-untyped-def]
        if prefix.startswith("accounts/"):
            raise Unavailable("store is down")
        return super().list(prefix, after=after, limit=limit)


async def test_it_waits_while_the_store_does_not_answer() -> None:
    here = Idle(Down)
    here.tenants.add(*range(10))
    began = here.clock.time()
    await here.rounds().round()
    assert here.clock.time() - began >= 11 * AWAY
    assert logs(here.metrics, "failed") == 11


async def test_it_rests_longer_than_it_works() -> None:
    here = Idle()

    class Slow(WrappedStore):
        def list(self, prefix: str, *, after: str = "", limit: int | None = None):  # type: ignore[no-untyped-def]
            here.pass_by(1.0 if prefix.startswith("accounts/") else 0.0)
            return super().list(prefix, after=after, limit=limit)

    here.store._inner = Slow(here.bare)
    here.tenants.add(*range(10))
    began = here.clock.time()
    await here.rounds().round()
    assert here.clock.time() - began == pytest.approx(11 * 5.0)
    assert LONGEST > 4.0


# ---- as a service, and chores


async def lived(here: Idle, *services: Rounds, seconds: float) -> None:
    """Let services run for some time of the clock."""
    for service in services:
        await service.start()
    await here.clock.advance(seconds)
    for service in services:
        await service.stop(0)


async def test_each_day_has_a_round_and_each_chore_its_own_time() -> None:
    here = Idle(clock=ManualClock())
    here.tenants.add(*range(5))
    ran: Counter[str] = Counter()

    def chore(name: str, every: float) -> Chore:
        async def run() -> str:
            ran[name] += 1
            return "done"

        return Chore(name, every, run)

    chores = [chore("hourly", 3600.0), chore("daily", DAY)]
    await lived(here, here.rounds(chores=chores), here.rounds(chores=chores), seconds=10 * DAY)
    assert 9 * 6 <= logs(here.metrics, "nothing") <= 12 * 6
    assert 9 * 24 <= ran["hourly"] <= 12 * 24 and 9 <= ran["daily"] <= 12
    assert len([info async for info in here.bare.list(PREFIX)]) <= 100


async def test_a_chore_that_fails_is_tried_in_its_next_period() -> None:
    here = Idle(clock=ManualClock())
    ran = 0

    async def run() -> None:
        nonlocal ran
        ran += 1
        raise Permanent("it does not work")

    await lived(here, here.rounds(chores=[Chore("broken", DAY, run)]), seconds=5 * DAY)
    assert 4 <= ran <= 6
    text = here.metrics.render().decode()
    assert f'merpati_upkeep_chores_total{{chore="broken",outcome="failed"}} {ran}.0' in text


async def test_it_can_be_turned_off() -> None:
    here = Idle()
    here.tenants.add(*range(5))
    service = here.rounds(every=0.0)
    await service.start()
    await here.clock.sleep(10 * DAY)
    await service.stop(0)
    assert service.ready() == "" and not here.requests


def test_claims_sort_by_time() -> None:
    assert claim_key(999, "000") < claim_key(1_700_000_000, "000") < claim_key(1_700_000_000, "blobs")
    assert RETENTION > DAY
