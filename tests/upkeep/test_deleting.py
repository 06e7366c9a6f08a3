"""Purging a removed account: nothing of it stays, nobody writes to it again, and nobody else loses a byte."""

from __future__ import annotations

import pytest

from merpati.errors import Permanent, Temporary
from merpati.log.api import Damaged, Decision
from merpati.log.keeping import keep_snapshot
from merpati.log.reading import GRACE
from merpati.log.vacuum import RETENTION
from merpati.mailbox.api import Append, NoSuchAccount
from merpati.upkeep.deleting import REMEMBERED, Purged, purge_removed
from tests.mailbox.worlds import mail
from tests.upkeep.installation import ANN, BOB, DAY, HOUR, Installation, subjects

TOMBSTONE = {"snap": 1, "floor": 1}


@pytest.fixture
def here() -> Installation:
    return Installation()


async def test_a_removed_mailbox_is_kept_for_the_window_and_comes_back_whole(here: Installation) -> None:
    ann = await here.filled(ANN)
    before = await here.keys(ann)
    await here.directory.remove_account(ANN)
    await here.clock.advance(RETENTION - HOUR)
    assert await here.round() == Purged(waiting=1)
    assert await here.keys(ann) == before
    assert (await here.directory.restore_account(ANN)).id == ann
    await here.clock.advance(2 * HOUR)
    assert await here.round() == Purged()
    assert len(await subjects(here.process().account(ann))) == 15


async def test_after_the_window_the_mail_goes_at_once_and_the_commits_an_hour_later(here: Installation) -> None:
    ann = await here.filled(ANN)
    await here.directory.remove_account(ANN)
    await here.clock.advance(RETENTION + 1)
    first = await here.round()
    assert (first.ended, first.waiting) == (1, 1) and first.bytes > 0
    assert set(await here.kinds(ann)) == {"snap", "floor", "log"}
    await here.clock.advance(GRACE - 1)
    await here.round()
    assert "log" in await here.kinds(ann)
    await here.clock.advance(2)
    await here.round()
    assert await here.kinds(ann) == TOMBSTONE


async def test_what_says_that_the_log_has_ended_stays_as_long_as_an_event_may_name_it(here: Installation) -> None:
    ann = await here.filled(ANN)
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    await here.clock.advance(REMEMBERED - HOUR)
    await here.round()
    assert await here.kinds(ann) == TOMBSTONE
    await here.clock.advance(2 * HOUR)
    await here.round()
    assert await here.keys(ann) == []
    assert len(await here.directory.removed()) == 1
    await here.clock.advance(GRACE + 1)
    assert await here.round() == Purged(forgotten=1)
    assert await here.directory.removed() == [] and await here.round() == Purged()


async def test_none_of_its_words_is_left_in_the_bucket_and_its_neighbour_reads_all(here: Installation) -> None:
    ann, bob = await here.filled(ANN), await here.filled(BOB)
    before = await subjects(here.mailboxes.account(bob))
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    await here.clock.advance(GRACE + 1)
    await here.round()
    for key in await here.keys(ann):
        assert len(await here.store.get(key)) < 200
    everything = [info.key async for info in here.store.list("accounts/")]
    for key in everything:
        if ann in key:
            data = await here.store.get(key)
            assert b"ann" not in data and b"INBOX" not in data and b"Subject" not in data
    assert await subjects(here.process().account(bob)) == before


@pytest.mark.parametrize("known", ["it was open", "it was read long ago", "it was never read"])
async def test_a_delivery_to_it_is_refused_for_good_and_does_not_begin_it_anew(here: Installation, known: str) -> None:
    ann = await here.filled(ANN)
    account = here.process().account(ann)
    if known != "it was never read":
        await account.refresh()
    if known == "it was read long ago":
        await here.clock.advance(GRACE)
    await here.directory.remove_account(ANN, purge=True)
    for wait in (0.0, GRACE + 1, DAY):
        await here.clock.advance(wait)
        await here.round()
        for process in (account, here.process().account(ann)):
            with pytest.raises(NoSuchAccount):
                await process.append([Append("INBOX", mail("too late"))], create=True)
            with pytest.raises(NoSuchAccount):
                await process.refresh()
            with pytest.raises(NoSuchAccount):
                await process.folder("INBOX", fresh=True)
            with pytest.raises(NoSuchAccount):
                process.view()
    assert await here.kinds(ann) == TOMBSTONE


async def test_an_account_that_was_never_used_is_not_born_by_a_late_delivery(here: Installation) -> None:
    ann = await here.add(ANN, mails=0)
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    with pytest.raises(NoSuchAccount):
        await here.process().account(ann).append([Append("INBOX", mail(1))])
    await here.clock.advance(GRACE + 1)
    await here.round()
    with pytest.raises(NoSuchAccount):
        await here.process().open(ann)
    assert await here.kinds(ann) == TOMBSTONE


async def test_while_the_last_keys_go_an_opener_is_put_off_and_takes_it_not_for_a_new_account(
    here: Installation,
) -> None:
    ann = await here.filled(ANN)
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    await here.clock.advance(GRACE + 1)
    await here.round()
    await here.store.delete([key for key in await here.keys(ann) if "/snap/" in key])
    with pytest.raises(Temporary):
        await here.process().open(ann)
    assert await here.kinds(ann) == {"floor": 1}


async def test_a_session_that_waits_for_news_hears_of_the_end(here: Installation) -> None:
    ann = await here.add(ANN)
    account = await here.mailboxes.open(ann)
    number = account.view().number
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    assert await account.wait_changed(number) > number
    with pytest.raises(NoSuchAccount):
        account.view()


async def test_a_late_object_is_swept_as_long_as_the_account_is_remembered(here: Installation) -> None:
    ann = await here.filled(ANN)
    late = {key: await here.store.get(key) for key in await here.keys(ann)}
    await here.directory.remove_account(ANN, purge=True)
    for wait in (0.0, GRACE + 1, REMEMBERED, GRACE / 2):
        await here.clock.advance(wait)
        await here.round()
        left = set(await here.keys(ann))
        for key in set(late) - left:
            await here.store.put(key, late[key])
        await here.round()
        assert set(await here.keys(ann)) <= left
    await here.clock.advance(GRACE + 1)
    assert (await here.round()).forgotten == 1
    assert await here.keys(ann) == []


async def test_a_snapshot_written_late_is_not_taken_for_the_newest(here: Installation) -> None:
    ann = await here.add(ANN)
    slow = here.process().account(ann)
    await slow.refresh()
    tip = slow.log.tip
    assert tip is not None
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    await here.clock.advance(GRACE + 1)
    await here.round()
    assert await keep_snapshot(slow.log.reader, tip) is None
    with pytest.raises(NoSuchAccount):
        await here.process().open(ann)


async def test_a_compaction_beside_it_writes_no_commit_after_the_last(here: Installation) -> None:
    ann = await here.filled(ANN)
    first, second = here.process().account(ann), here.process().account(ann)
    await first.refresh()
    await second.refresh()
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    with pytest.raises(NoSuchAccount):
        await first.log.commit(lambda state: Decision(None, always=True))
    with pytest.raises(NoSuchAccount):
        await first.tidy(1)
    with pytest.raises(Damaged):  # it knows of no end, and what it would move has gone
        await second.compact()
    await here.clock.advance(GRACE + 1)
    await here.round()
    assert await here.kinds(ann) == TOMBSTONE


@pytest.mark.parametrize(
    "damage", ["the last commit", "a commit in the middle", "the newest snapshot", "every snapshot"]
)
async def test_a_log_that_cannot_be_read_is_ended_all_the_same(here: Installation, damage: str) -> None:
    ann = await here.filled(ANN)
    for count in range(3):
        await here.mailboxes.account(ann).append([Append("INBOX", mail(count))])
    active = here.process().account(ann)
    await active.refresh()
    commits = [key for key in await here.keys(ann) if "/log/" in key]
    snapshots = [key for key in await here.keys(ann) if "/snap/" in key]
    broken = {
        "the last commit": commits[-1:],
        "a commit in the middle": commits[-2:-1],
        "the newest snapshot": snapshots[:1],
        "every snapshot": snapshots,
    }[damage]
    for key in broken:
        await here.store.put(key, b"junk")
    here.mailboxes = here.process()
    await here.directory.remove_account(ANN, purge=True)
    done = await here.round()
    assert (done.ended, done.failures) == (1, ())
    assert await here.round() == Purged(waiting=1)
    for process in (active, here.process().account(ann)):
        with pytest.raises(NoSuchAccount):
            await process.append([Append("INBOX", mail("late"))])
    await here.clock.advance(GRACE + 1)
    await here.round()
    assert await here.kinds(ann) == TOMBSTONE


async def test_the_address_is_free_at_once_and_its_new_owner_is_left_alone(here: Installation) -> None:
    old = await here.filled(ANN)
    await here.directory.remove_account(ANN, purge=True)
    new = await here.add(ANN, mails=2)
    with pytest.raises(Permanent, match="there is an account"):
        await here.directory.restore_account(ANN)
    for wait in (0.0, GRACE + 1, REMEMBERED, GRACE + 1):
        await here.clock.advance(wait)
        await here.round()
    assert await here.keys(old) == [] and len(await subjects(here.process().account(new))) == 2


async def test_an_account_that_fails_does_not_hold_up_the_others(here: Installation) -> None:
    ann, bob = await here.add(ANN), await here.add(BOB)
    floor = f"accounts/{ann}/floor/"

    create = here.store.create

    async def refusing(key: str, data: bytes) -> None:
        if key.startswith(floor):
            raise Temporary("no room", key=key)
        await create(key, data)

    here.store.create = refusing  # type: ignore[method-assign]
    await here.directory.remove_account(ANN, purge=True)
    await here.directory.remove_account(BOB, purge=True)
    done = await here.round()
    assert done.ended == 1 and [address for address, _ in done.failures] == [ANN]
    here.store.create = create  # type: ignore[method-assign]
    assert (await here.round()).ended == 1
    assert set(await here.kinds(bob)) == {"snap", "floor", "log"}


async def test_only_those_that_are_named_are_purged(here: Installation) -> None:
    ann, bob = await here.add(ANN), await here.add(BOB)
    for address in (ANN, BOB):
        await here.directory.remove_account(address, purge=True)
    done = await purge_removed(here.directory, here.mailboxes, here.clock, only=[bob])
    assert done.ended == 1
    assert set(await here.kinds(ann)) == {"log"}
