"""Bytes of messages whose commit has gone, and whose number a stalled writer has taken again (rule P4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.mailbox.api import Append, Large
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def appended(boxes: AllMailboxes, word: str, *, large: bool) -> int:
    """One message with this word in it; the number of its commit."""
    account = boxes.account(ACCOUNT)
    await account.refresh()
    message: bytes | Large = mail(word)
    if large:
        stored = await account.put_large(pieces(mail("the same")))
        message = Large(stored.key, stored.digest, stored.size, f"Received: {word}\r\n".encode())
    await account.append([Append("INBOX", message)])
    return account.view().number


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("word", ["other", "a much longer one", "x"])
async def test_a_stalled_writers_bytes_are_not_taken_for_those_that_were_moved(word: str, large: bool) -> None:
    """Found by the simulated world: the message was said to be damaged; of a large one, wrong bytes were given."""
    clock = ManualClock()
    store, stalled = MemoryStore(clock), MemoryStore(clock)
    number = await appended(mailboxes(store, clock), "right", large=large)
    assert await appended(mailboxes(stalled, clock, SeededDice(5)), word, large=large) == number
    account = fresh(store, clock)
    await account.refresh()
    for _ in range(2):
        await account.compact()
        await clock.advance(GRACE + 1)
    await store.create(LAYOUT.commit(number), await stalled.get(LAYOUT.commit(number)))
    for reader in (account, fresh(store, clock, 6)):
        view = await reader.folder("INBOX", fresh=True)
        expected = b"Received: right\r\n" + mail("the same") if large else mail("right")
        assert await reader.body(view.body(0)) == expected


async def test_who_knows_the_packs_of_late_asks_for_them_no_more() -> None:
    clock = ManualClock()
    asked: list[str] = []
    store = MemoryStore(clock)
    metered = MeteredStore(store, clock, lambda operation, outcome, seconds: asked.append(operation))
    await appended(mailboxes(store, clock), "one", large=True)
    account = fresh(metered, clock)
    view = await account.folder("INBOX", fresh=True)
    asked.clear()
    for listings in (1, 0, 0):
        await account.body(view.body(0))
        assert asked.count("list") == listings
        asked.clear()
    await clock.advance(GRACE / 2 + 1)
    await account.body(view.body(0))
    assert asked.count("list") == 1
