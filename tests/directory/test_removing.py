"""Removed accounts: remembered until nothing of them is left, brought back until their purge begins."""

from __future__ import annotations

import msgspec
import pytest

from merpati.clock import ManualClock
from merpati.directory import removing
from merpati.directory import state as deciding
from merpati.directory.api import AccountEntry, DomainEntry, RemovedEntry
from merpati.directory.fold import DirectoryFold
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.directory.state import Decider, DirectoryState, apply
from merpati.errors import Permanent
from merpati.ids import AccountId, SeededDice
from merpati.log.keeping import keep_snapshot
from merpati.log.reading import Reader
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.directory.test_state import MemoryChunks

BOB = AccountEntry(AccountId("b"), "Bob@a.test", "$argon2id$1", quota=7)
ADDRESS = "bob@a.test"


def after(*deciders: Decider) -> DirectoryState:
    state = DirectoryState()
    for decide in deciders:
        for change in decide(state):
            state = apply(state, change)
    return state


def removed(at: float = 5.0, *, purge: bool = False) -> DirectoryState:
    return after(deciding.add_account(BOB), removing.remove_account(ADDRESS, at, purge=purge))


def noted(state: DirectoryState, **known: object) -> DirectoryState:
    (entry,) = state.removed.values()
    for change in removing.note_removal(msgspec.structs.replace(entry, **known))(state):
        state = apply(state, change)
    return state


def test_a_removed_account_is_remembered_with_its_id_its_address_and_when() -> None:
    (entry,) = removed().removed.values()
    assert (entry.id, entry.address, entry.at, entry.account, entry.at_once) == ("b", "Bob@a.test", 5.0, BOB, False)


def test_a_removal_is_undone_with_password_and_quota_and_the_login_is_asked_for_anew() -> None:
    state = removed()
    for change in removing.restore_account("BOB@a.test")(state):
        state = apply(state, change)
    assert deciding.account_of(state, ADDRESS) == msgspec.structs.replace(BOB, version=2)
    assert not state.removed


def test_of_two_removals_of_one_address_the_later_is_undone() -> None:
    again = AccountEntry(AccountId("c"), ADDRESS)
    state = removed()
    for decide in (deciding.add_account(again), removing.remove_account(ADDRESS, 6.0)):
        for change in decide(state):
            state = apply(state, change)
    assert len(state.removed) == 2
    for change in removing.restore_account(ADDRESS)(state):
        state = apply(state, change)
    assert deciding.account_of(state, ADDRESS).id == "c" and list(state.removed) == ["b"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (after(deciding.add_account(BOB)), "there is an account"),
        (after(), "no account bob@a.test was removed"),
        (noted(removed(), purging=6.0), "being purged"),
    ],
)
def test_what_cannot_be_undone_is_refused(state: DirectoryState, words: str) -> None:
    with pytest.raises(Permanent, match=words):
        removing.restore_account(ADDRESS)(state)


def test_an_account_that_was_removed_before_can_still_be_purged_at_once() -> None:
    state = removed()
    for change in removing.remove_account(ADDRESS, 9.0, purge=True)(state):
        state = apply(state, change)
    (entry,) = state.removed.values()
    assert entry.at_once and entry.at == 5.0
    assert removing.remove_account(ADDRESS, 9.0, purge=True)(state) == []


def test_a_purge_never_goes_back_a_step_and_forgets_the_password() -> None:
    state = noted(removed(), purging=6.0)
    state = noted(state, closed=12, closed_at=7.0)
    state = noted(state, purging=8.0, closed=99, closed_at=99.0, account=BOB)
    (entry,) = state.removed.values()
    assert entry == RemovedEntry(AccountId("b"), "Bob@a.test", 5.0, purging=6.0, closed=12, closed_at=7.0)
    # D8: what came after the prefix was found empty begins the time anew, and who slept does not take that back
    (entry,) = noted(noted(state, emptied_at=50.0), emptied_at=20.0).removed.values()
    assert entry.emptied_at == 50.0


def test_a_removal_that_was_undone_is_not_purged_even_if_the_account_is_removed_again() -> None:
    state = removed(5.0)
    (before,) = state.removed.values()
    for decide in (removing.restore_account(ADDRESS), removing.remove_account(ADDRESS, 6.0)):
        for change in decide(state):
            state = apply(state, change)
    assert removing.note_removal(msgspec.structs.replace(before, purging=7.0))(state) == []
    assert removing.same_removal(state, before) is None
    assert removing.forget_removal(before)(state) == []


async def test_removals_and_former_domains_survive_a_snapshot() -> None:
    fold, chunks = DirectoryFold(), MemoryChunks()
    state = noted(removed(), purging=6.0)
    for decide in (deciding.add_domain(DomainEntry("old.test")), deciding.remove_domain("old.test")):
        for change in decide(state):
            state = apply(state, change)
    loaded = await fold.load(await fold.dump(state, chunks), chunks)
    assert dict(loaded.removed) == dict(state.removed) and loaded.former == {"old.test"}
    assert len(loaded.removed) == 1 and not loaded.accounts


def directory(store: MemoryStore, clock: ManualClock) -> LogDirectory:
    return open_directory(store, None, clock, SeededDice(1), Metrics(), "test")


async def test_a_removal_is_read_by_another_process_from_a_snapshot_of_the_log() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    first = directory(store, clock)
    await first.add_domain("a.test")
    await first.add_account(ADDRESS, "hash")
    await first.remove_account(ADDRESS)
    for remembered in first._shelf.values():
        reader = remembered.log.reader
        assert isinstance(reader, Reader)
        await keep_snapshot(reader, await remembered.log.read())
    (entry,) = await directory(store, clock).removed()
    assert (entry.address, entry.at) == (ADDRESS, clock.time())
    assert (await directory(store, clock).restore_account(ADDRESS)).id == entry.id


async def test_accounts_of_a_domain_that_is_ours_no_more_are_still_to_be_purged() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    first = directory(store, clock)
    await first.add_domain("a.test")
    await first.add_account(ADDRESS, "hash")
    await first.remove_account(ADDRESS)
    await first.remove_domain("a.test")
    (entry,) = await directory(store, clock).removed()
    assert entry.address == ADDRESS and not entry.at_once
    await first.remove_account(ADDRESS, purge=True)
    (entry,) = await first.removed("a.test")
    assert entry.at_once
    with pytest.raises(Permanent, match=r"a\.test is no domain of ours"):
        await first.restore_account(ADDRESS)
    await first.add_domain("a.test")
    await first.restore_account(ADDRESS)
    assert await first.removed() == []


async def test_a_purge_that_is_done_is_forgotten_once() -> None:
    clock = ManualClock()
    here = directory(MemoryStore(clock), clock)
    await here.add_domain("a.test")
    await here.add_account(ADDRESS, "hash")
    await here.remove_account(ADDRESS, purge=True)
    (entry,) = await here.removed()
    known = await here.note_removal(msgspec.structs.replace(entry, purging=1.0))
    assert known is not None and known.account is None
    await here.forget_removal(known)
    await here.forget_removal(known)
    assert await here.removed() == [] and await here.note_removal(known) is None
