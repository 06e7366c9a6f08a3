"""What the window of the past promises: each state in it can be had, with the bytes of its messages (rule V1)."""

from __future__ import annotations

from merpati.clock import ManualClock
from merpati.log.travel import Travel
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes, messages

HOUR = 3600.0
DAY = 24 * HOUR


async def test_a_log_that_is_younger_than_the_window_gives_nothing_up() -> None:
    """Found by the simulated world: the oldest snapshot was taken for the window's beginning, however young it was."""
    clock = ManualClock(19_676 * DAY)
    account = await mailboxes(MemoryStore(clock), clock).open(ACCOUNT)
    await account.append(messages(1))
    number = account.view().number
    await account.append(messages(2))
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    for hour in range(2, 12, 2):
        await account.compact()
        await clock.advance(2 * HOUR)
        await account.reclaim(7 * DAY)
        await account.vacuum(7 * DAY)
        await account.append(messages(f"at {hour}"))
    past = (await Travel(account.log.reader).state_at(number)).state
    view = account.past_folder(past.find("INBOX"), past)
    assert [await account.body(view.body(row)) for row in range(view.exists)] == [mail(1)]


async def test_what_left_before_the_window_is_given_up() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.expunge("INBOX", [1, 2], only_deleted=False)
    await account.compact()
    await clock.advance(8 * DAY)
    assert await account.reclaim(7 * DAY) == 1
    await clock.advance(8 * DAY)
    await account.vacuum(7 * DAY)
    assert [info async for info in store.list(f"accounts/{ACCOUNT}/pack/")] == []
