"""What clients cost that want nothing: a thousand that idle make no request, and a warm SELECT makes one."""

from __future__ import annotations

import asyncio

from merpati.clock import ManualClock
from merpati.ids import SeededDice, new_account_id
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from tests.mailbox.worlds import mailboxes, messages

ACCOUNTS, SESSIONS = 100, 1000


async def test_a_thousand_idle_sessions_ask_the_store_nothing_and_a_warm_select_once() -> None:
    clock, dice, seen = ManualClock(), SeededDice(1), list[str]()
    store = MeteredStore(MemoryStore(clock), clock, lambda operation, outcome, seconds: seen.append(operation))
    node = mailboxes(store, clock, SeededDice(2))
    accounts = [await node.open(new_account_id(dice)) for _ in range(ACCOUNTS)]
    await accounts[0].append(messages(1))
    seen.clear()
    idle = [
        asyncio.ensure_future(account.wait_changed(account.view().number))
        for account in accounts * (SESSIONS // ACCOUNTS)
    ]
    await clock.advance(60.0)
    assert seen == []
    assert not any(waiting.done() for waiting in idle)
    assert (await accounts[0].folder("INBOX", fresh=True)).exists == 1
    assert seen == ["get"]
    await accounts[0].append(messages(2))
    await asyncio.gather(*idle[::ACCOUNTS])
    assert not any(waiting.done() for waiting in idle[1:ACCOUNTS])
    for waiting in idle:
        waiting.cancel()
