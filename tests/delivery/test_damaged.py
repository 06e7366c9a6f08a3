"""Mail for mailboxes that are damaged: it waits, what can be taken is taken, and nobody else's waits for it."""

from __future__ import annotations

import asyncio

import pytest

from delivery import local
from merpati.events import Dead, What
from merpati.ids import SeededDice, new_account_id
from merpati.log.layout import log_of
from merpati.log.snapshots import read_snapshot
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from tests.delivery.test_local import CLOCK, DICE, RAW, Stage, stage

HELD, STUCK = 40, 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few records are held, and tried again soon."""
    monkeypatch.setattr(local, "MAX_HELD", HELD)
    monkeypatch.setattr(local, "MAX_STUCK", STUCK)
    monkeypatch.setattr(local, "MOST_WAIT", 0.1)


async def spoil(s: Stage) -> str:
    """The commit that the mailbox would have next is junk."""
    await s.mailboxes.open(s.bob)
    key = log_of(s.bob).commit(3)
    await s.store.put(key, b"junk")
    return key


async def shut_inbox(s: Stage) -> None:
    """The columns of INBOX are gone, and nothing makes up for them."""
    account = AllMailboxes(s.store, clock=CLOCK, dice=SeededDice(3)).account(s.bob)
    await account.append([Append("INBOX", RAW)])
    await account.keep_snapshot()
    assert account.log.tip is not None
    layout = log_of(s.bob)
    snapshot = await read_snapshot(s.store, layout, account.log.tip.number)
    await s.store.delete([layout.commit(2), layout.chunk(snapshot.chunks[0])])


async def test_a_damaged_mailbox_keeps_nobody_else_s_mail(small: None) -> None:
    """It took up all the records that are held, and nothing was delivered to anybody."""
    async with stage() as s:
        key, carl = await spoil(s), new_account_id(DICE)
        for _ in range(3 * HELD):
            await s.post()
        await s.post(carl)
        await s.happened(What.STORED, 1)
        assert len(await s.inbox(carl)) == 1
        parked = await s.happened(What.PARKED, 2 * HELD)
        await s.store.delete([key])
        await s.happened(What.STORED, 1 + 3 * HELD - len(parked))
        dead = await s.all_of(Dead)
        assert len(await s.inbox()) + len(dead) == 3 * HELD
        assert len(dead) <= 3 * HELD - STUCK
        assert {one.reason for one in dead} == {f"not an object of this kind (key='{key}' rule='B2')"}


async def test_what_waits_for_a_mailbox_comes_in_when_that_is_mended(small: None) -> None:
    async with stage() as s:
        key = await spoil(s)
        for _ in range(STUCK - 1):
            await s.post()
        await asyncio.sleep(0.5)
        await s.store.delete([key])
        await s.happened(What.STORED, STUCK - 1)
        assert len(await s.inbox()) == STUCK - 1
        assert await s.all_of(Dead) == []


async def test_a_damaged_folder_keeps_no_mail_from_the_others(small: None) -> None:
    async with stage() as s:
        await shut_inbox(s)
        for number in range(9):
            await s.post()
            await s.post(folder=f"Lists/{number % 3}")
        await s.happened(What.STORED, 9)
        assert [len(await s.inbox(folder=f"Lists/{number}")) for number in range(3)] == [3, 3, 3]
        assert await s.all_of(Dead) == []


async def test_who_has_waited_for_days_is_put_aside_before_the_topic_forgets(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "PUT_OFF", -1.0)
    async with stage() as s:
        await spoil(s)
        for _ in range(3):
            await s.post()
        await s.happened(What.PARKED, 3)
        assert len(await s.all_of(Dead)) == 3


async def test_while_the_store_is_away_nothing_is_put_aside(small: None) -> None:
    async with stage() as s:
        key = await spoil(s)
        await s.post()
        await asyncio.sleep(0.2)
        s.store.away = True
        await s.store.delete([key])
        await asyncio.sleep(0.3)
        for _ in range(2 * HELD):
            await s.post()
        await asyncio.sleep(0.5)
        assert await s.all_of(Dead) == []
        s.store.away = False
        await s.happened(What.STORED, 1 + 2 * HELD)
        assert len(await s.inbox()) == 1 + 2 * HELD


async def test_who_is_stopped_does_not_wait_for_a_mailbox_to_be_mended(small: None) -> None:
    began = CLOCK.monotonic()
    async with stage() as s:
        await spoil(s)
        await s.post()
        await asyncio.sleep(0.3)
    assert CLOCK.monotonic() - began < 3
