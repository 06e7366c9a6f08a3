"""Mail put into mailboxes whose messages are not read: what it costs, and that it is as if they were."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from merpati.clock import Clock, ManualClock
from merpati.errors import Permanent
from merpati.ids import AccountId, SeededDice, new_account_id
from merpati.log.keeping import Rhythm
from merpati.mailbox.account import BARE_APPENDS, MailAccount
from merpati.mailbox.api import Append, OverQuota
from merpati.mailbox.bare import UNSEEN
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.state import MailState
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.measured import filled
from tests.mailbox.test_model import NAMES, Verbs
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages


def worker(store: ObjectStore, clock: Clock, seed: int = 50, rhythm: Rhythm | None = None) -> AllMailboxes:
    """As the delivery worker has them."""
    return AllMailboxes(store, clock=clock, dice=SeededDice(seed), writer="worker", bare_appends=True, rhythm=rhythm)


class Listening(WrappedStore):
    """Remembers which objects were read."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.read: list[str] = []

    async def get(self, key: str) -> bytes:
        self.read.append(key)
        return await super().get(key)

    @property
    def chunks(self) -> int:
        return sum("/chunk/" in key for key in self.read)


def known(state: MailState) -> object:
    """All of a state but its messages."""
    folders = {key: (each.info(subscribed=True), each.keywords) for key, each in state.folders.items()}
    rest = (state.names, state.subscriptions, state.next_folder, state.last_uidvalidity, state.retired)
    return folders, rest, state.retired_all, dict(state.causes), state.metadata, state.number


async def bare_state(account: MailAccount) -> MailState:
    await account.append([])
    assert account._bare is not None and account.log.tip is None
    return (await account._bare.read()).state


async def test_a_delivery_to_a_large_mailbox_reads_none_of_its_messages(clock: ManualClock) -> None:
    store = Listening(MemoryStore(clock))
    await filled(mailboxes(store, clock), 3000)
    store.read.clear()
    account = worker(store, clock).account(ACCOUNT)
    (done,) = await account.append([Append("INBOX", mail("new"), cause="new")])
    assert (done.uid, done.duplicate) == (3051, False)
    causes = 2 * 3000 // 2048
    assert store.chunks <= 1 + causes + 1, "the tree and the causes"
    assert account.weight < 2000 + 6 * 1000 + 150 * 3100
    assert (await bodies(fresh(store, clock)))[-1] == mail("new")


async def bodies(account: MailAccount) -> list[bytes]:
    view = await account.folder("INBOX", fresh=True)
    return [await account.body(view.body(row)) for row in range(view.exists)]


async def keys(store: ObjectStore, kind: str) -> list[str]:
    return [info.key async for info in store.list(f"{LAYOUT.prefix}/{kind}/")]


class Deliveries(Verbs):
    """A worker delivers between the others' verbs, and another that has just been started."""

    @rule(name=st.sampled_from(NAMES), started=st.booleans())
    def deliver_unseen(self, name: str, started: bool) -> None:
        if started or not hasattr(self, "worker"):
            self.worker = worker(self.store, self.clock, 60 + self.count).account(ACCOUNT)
        number = self.count
        self.count += 1
        try:
            self.run(self.worker.append(messages(number, folder=name)))
        except Permanent:
            assert name not in self.model.folders
            return
        self.model.add(name, mail(number), set(), self.now)

    @rule()
    def write_down(self) -> None:
        self.run(self.nodes[0].refresh())
        self.run(self.nodes[0].keep_snapshot())

    @invariant()
    def the_worker_knows_all_but_the_messages(self) -> None:
        if hasattr(self, "model"):
            self.run(self.compare_states())

    async def compare_states(self) -> None:
        whole = fresh(self.store, self.clock, 8)
        await whole.refresh()
        assert whole.log.tip is not None
        bare = await bare_state(worker(self.store, self.clock, 9).account(ACCOUNT))
        assert known(bare) == known(whole.log.tip.state)
        assert all(folder.columns is UNSEEN for folder in bare.folders.values())


TestDeliveries = pytest.mark.slow(Deliveries.TestCase)
TestDeliveries.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)


async def test_a_cause_is_taken_once_and_a_quota_held(store: MemoryStore, clock: ManualClock) -> None:
    whole = await mailboxes(store, clock).open(ACCOUNT)
    await whole.append([Append("INBOX", mail(1), cause="one")])
    await whole.keep_snapshot()
    account = worker(store, clock).account(ACCOUNT)
    (again,) = await account.append([Append("INBOX", mail(1), cause="one")])
    assert (again.uid, again.duplicate) == (1, True)
    with pytest.raises(OverQuota):
        await account.append([Append("INBOX", mail(2))], quota=2 * len(mail(1)) - 1)
    await account.append([Append("new/folder", mail(2))], create=True)
    view = await fresh(store, clock).refresh()
    assert view.folders["new/folder"].exists == 1 and view.messages == 2


async def test_who_opens_the_mailbox_in_the_same_process_sees_what_is_delivered_after(
    store: MemoryStore, clock: ManualClock
) -> None:
    boxes = worker(store, clock)
    account = boxes.account(ACCOUNT)
    await account.append(messages(1))
    delivering = asyncio.ensure_future(account.append(messages(2)))
    view = await account.folder("INBOX")
    await delivering
    idle = asyncio.ensure_future(account.wait_changed(view.number))
    await account.append(messages(3))
    await idle
    assert (await account.folder("INBOX")).exists == 3
    assert account._bare is None, "the messages are known now"


async def test_a_mailbox_that_gets_much_mail_is_read_once_and_written_down_as_ever(clock: ManualClock) -> None:
    store = Listening(MemoryStore(clock))
    boxes = worker(store, clock, rhythm=Rhythm(snapshot=10, compaction=1000))
    account = boxes.account(ACCOUNT)
    for number in range(60):
        await account.append(messages(number))
        if number == 2 * BARE_APPENDS:
            await boxes.idle()
            store.read.clear()
    await boxes.idle()
    assert account.log.tip is not None
    assert len(await keys(store, "snap")) >= 5
    assert sum("/log/" in key for key in store.read) <= 5, "not each commit again for each snapshot"


async def test_a_snapshot_that_is_due_is_written_though_the_messages_are_not_known(
    store: MemoryStore, clock: ManualClock
) -> None:
    for start in range(30):
        boxes = worker(store, clock, start, Rhythm(snapshot=10, compaction=20))
        await boxes.account(ACCOUNT).append(messages(start))
        await boxes.idle()
        assert boxes.account(ACCOUNT).log.tip is None
    assert len(await keys(store, "snap")) >= 2
    assert len(await keys(store, "pack")) >= 1
    assert await bodies(fresh(store, clock)) == [mail(number) for number in range(30)]


async def test_a_damaged_piece_of_messages_does_not_hold_up_mail(store: MemoryStore, clock: ManualClock) -> None:
    whole = await mailboxes(store, clock).open(ACCOUNT)
    await whole.append(messages(*range(50)))
    await whole.keep_snapshot()
    before = Listening(store)
    await worker(before, clock).account(ACCOUNT).append(messages("before"))
    for key in await keys(store, "chunk"):
        if key not in before.read:
            await store.put(key, b"junk")
    (done,) = await worker(store, clock, 51).account(ACCOUNT).append(messages("after"))
    assert done.uid == 52


@pytest.mark.slow
async def test_a_thousand_mailboxes_take_little_memory(clock: ManualClock) -> None:
    store = MemoryStore(clock)
    boxes = worker(store, clock)
    dice = SeededDice(3)
    accounts: list[AccountId] = [new_account_id(dice) for _ in range(1000)]
    for each in accounts:
        await boxes.account(each).append(messages(1))
    assert sum(boxes.account(each).weight for each in accounts) < 1000 * 10_000
