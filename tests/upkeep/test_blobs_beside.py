"""The vacuum of large bodies beside whoever is at work: late events, restores, appends, moves, another vacuum."""

from __future__ import annotations

import asyncio

import pytest

from merpati.events import longest_reference
from merpati.ids import SeededDice
from merpati.log.travel import Travel
from merpati.log.vacuum import RETENTION
from merpati.mailbox import preparing
from merpati.mailbox.api import Append, BodyMissing
from merpati.mailbox.restoring import restored
from merpati.upkeep.blobs import BlobVacuum
from tests.log.lists import in_virtual_time
from tests.mailbox.worlds import mail
from tests.upkeep.installation import ANN, DAY, HOUR, Installation, subjects
from tests.upkeep.stepping import Sleeper, SteppingStore
from tests.upkeep.test_blobs import HORIZON, deliver, expunge_all, put, vacuum_of


@pytest.fixture
def here() -> Installation:
    return Installation()


async def test_an_event_that_comes_late_refers_to_a_copy(here: Installation) -> None:
    ann = await here.add(ANN)
    large = await put(here)
    await here.clock.advance(longest_reference() / 2 + 1)
    await deliver(here, ann, large)
    copy, original = sorted(await here.blobs(), key=lambda key: key == large.key)
    assert copy != original
    await here.clock.advance(HORIZON / 2 + HOUR)
    assert (await vacuum_of(here).run()).removed == 1
    assert await here.blobs() == [copy]
    assert (await subjects(here.process().account(ann)))[-1].startswith(b"Subject: shared")


async def test_an_event_whose_body_has_gone_is_not_taken(here: Installation) -> None:
    ann = await here.add(ANN)
    large = await put(here)
    await here.store.delete([large.key])
    with pytest.raises(BodyMissing):
        await deliver(here, ann, large)
    assert len(await subjects(here.process().account(ann))) == 3


async def restoring_beside_a_vacuum(sleep_before: int) -> bool:
    """A body that only a state before the window has is brought back while it goes; False if it was never asleep."""
    here = Installation()
    ann = await here.add(ANN, mails=1)
    await deliver(here, ann, await put(here))
    number = (await here.mailboxes.account(ann).log.read()).number
    await here.clock.advance(HORIZON)
    await here.mailboxes.account(ann).keep_snapshot()
    await expunge_all(here, ann)
    await here.mailboxes.account(ann).append([Append("INBOX", mail("new"))])
    await here.clock.advance(RETENTION + DAY)
    await here.mailboxes.account(ann).keep_snapshot()
    await here.clock.advance(RETENTION + DAY)
    sleeper = Sleeper(here.store, -1)
    process = here.process(sleeper.store)
    account = await process.open(ann)
    past = (await Travel(account.log.reader).state_at(number)).state
    sleeper._before = sleeper.store.steps + sleep_before
    task = asyncio.ensure_future(restored(account, past))
    asleep = await sleeper.fell_asleep(task)
    done = await vacuum_of(here).run()
    sleeper.wake()
    outcome = await in_virtual_time(here.clock, task)
    assert done.removed == 1 or not asleep or outcome.messages == 2
    view = await here.process().account(ann).folder("INBOX", fresh=True)
    assert outcome.messages + outcome.lost == 2 and view.exists == 1 + outcome.messages
    for row in range(view.exists):
        await here.process().account(ann).body(view.body(row))
    return asleep


async def test_what_is_brought_back_from_before_the_window_beside_a_vacuum_is_whole_or_counted_as_lost() -> None:
    sleep_before = 1
    while await restoring_beside_a_vacuum(sleep_before):
        sleep_before += 1
    assert sleep_before > 4


async def test_without_copies_it_comes_back_without_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation of rule V7."""
    monkeypatch.setattr(preparing, "YOUNG", float("inf"))
    with pytest.raises(BodyMissing):
        await test_what_is_brought_back_from_before_the_window_beside_a_vacuum_is_whole_or_counted_as_lost()


async def appending_beside_a_vacuum(sleep_before: int, *, copies: bool = True) -> bool:
    """An event that was put aside for long is delivered while the vacuum is about to take its body."""
    here = Installation()
    ann = await here.add(ANN, mails=1)
    large = await put(here)
    await here.clock.advance(HORIZON + 1)
    sleeper = Sleeper(here.store, sleep_before)
    process = here.process(sleeper.store)
    task = asyncio.ensure_future(process.account(ann).append([Append("INBOX", large)]))
    asleep = await sleeper.fell_asleep(task)
    await vacuum_of(here).run()
    sleeper.wake()
    (outcome,) = await asyncio.gather(in_virtual_time(here.clock, task), return_exceptions=True)
    taken = not isinstance(outcome, BaseException)
    assert taken or isinstance(outcome, BodyMissing)
    assert len(await subjects(here.process().account(ann))) == 1 + taken
    return asleep


async def test_an_append_beside_a_vacuum_is_whole_or_refused() -> None:
    sleep_before = 1
    while await appending_beside_a_vacuum(sleep_before):
        sleep_before += 1
    assert sleep_before > 4


async def test_without_copies_an_append_may_lose_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation of rule V7, for events."""
    monkeypatch.setattr(preparing, "YOUNG", float("inf"))
    with pytest.raises(BodyMissing):
        await test_an_append_beside_a_vacuum_is_whole_or_refused()


async def copying_beside_a_vacuum(step: int) -> int:
    """A message is copied to another folder, and expunged from its own, at a request of the vacuum."""
    here = Installation()
    ann = await here.add(ANN, mails=1)
    await deliver(here, ann, await put(here))
    await here.clock.advance(HORIZON + 1)

    async def act(number: int) -> None:
        if number == step:
            await here.mailboxes.account(ann).move("INBOX", range(1, 10), "Archive")

    stepping = SteppingStore(here.store, act)
    done = await BlobVacuum(stepping, here.clock, SeededDice(5)).run()
    assert done.removed == 0
    view = await here.process().account(ann).folder("Archive", fresh=True)
    for row in range(view.exists):
        await here.process().account(ann).body(view.body(row))
    return stepping.steps


async def test_a_move_at_any_request_of_the_vacuum_keeps_the_body() -> None:
    step, steps = 1, 2
    while step <= steps:
        steps, step = await copying_beside_a_vacuum(step), step + 1
    assert steps > 6


@pytest.mark.slow
async def test_a_vacuum_that_dies_at_any_request_and_another_beside_it_do_no_harm() -> None:
    for kill in (True, False):
        at, asleep = 0, True
        while asleep:
            at += 1
            here = Installation()
            ann = await here.add(ANN, mails=1)
            await deliver(here, ann, await put(here))
            await put(here, b"orphan" * 100_000, nonce=9)
            await here.clock.advance(HORIZON + 1)
            sleeper = Sleeper(here.store, at)
            task = asyncio.ensure_future(BlobVacuum(sleeper.store, here.clock, SeededDice(5)).run())
            asleep = await sleeper.fell_asleep(task)
            await vacuum_of(here).run()
            task.cancel() if kill else sleeper.wake()
            await asyncio.wait([task])
            assert len([key for key in await here.blobs() if "now" not in key]) == 1
            assert len(await subjects(here.process().account(ann))) == 2
        assert at > 6
