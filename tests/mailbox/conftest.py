"""An account over a store in memory, at a time of the test's own."""

from __future__ import annotations

import pytest

from merpati.clock import ManualClock
from merpati.mailbox.account import MailAccount
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, mailboxes


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
async def account(store: MemoryStore, clock: ManualClock) -> MailAccount:
    return await mailboxes(store, clock).open(ACCOUNT)
