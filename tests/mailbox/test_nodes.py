"""Several processes on one account: pushes between them, and lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from merpati.clock import ManualClock
from merpati.errors import Temporary, Unavailable, Unknown
from merpati.events import Changed
from merpati.ids import EventId, SeededDice, new_account_id
from merpati.log.commit_log import Safeguards
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.pushing import WAITING, Pushing
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.retry import RetryingStore
from tests.log.lists import in_virtual_time
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages
from tests.objects.faulty import Faults, FaultyStore

Pushed = list[tuple[Changed, bytes]]


class Wire:
    """The bus, as far as the mailbox is concerned: what one node publishes, the others are fed."""

    def __init__(self) -> None:
        self.pushed: Pushed = []
        self.readers: list[AllMailboxes] = []
        self.away = False

    async def publish(self, pushes: Sequence[tuple[Changed, bytes]]) -> None:
        if self.away:
            raise Unavailable("the bus is away")
        self.pushed += pushes
        for event, data in pushes:
            for reader in self.readers:
                reader.feed(event, data)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_an_idle_client_is_told_of_a_delivery_elsewhere_without_a_request(clock: ManualClock) -> None:
    inner, wire = MemoryStore(clock), Wire()
    seen: list[str] = []
    store = MeteredStore(inner, clock, lambda operation, outcome, seconds: seen.append(operation))
    reader = mailboxes(store, clock, SeededDice(2))
    wire.readers.append(reader)
    idle = await reader.open(ACCOUNT)
    writer = mailboxes(inner, clock, SeededDice(3), wire.publish).account(ACCOUNT)
    seen.clear()
    waiting = asyncio.ensure_future(idle.wait_changed(idle.view().number))
    await settle()
    await writer.append(messages(1))
    await settle()
    assert await waiting == wire.pushed[0][0].number
    assert (await idle.folder("INBOX")).exists == 1
    assert seen == []


async def test_a_commit_too_large_to_push_is_read_by_those_who_wait_and_by_nobody_else(clock: ManualClock) -> None:
    inner, wire = MemoryStore(clock), Wire()
    seen: list[str] = []
    store = MeteredStore(inner, clock, lambda operation, outcome, seconds: seen.append(operation))
    reader = mailboxes(store, clock, SeededDice(2))
    wire.readers.append(reader)
    idle = await reader.open(ACCOUNT)
    writer = mailboxes(inner, clock, SeededDice(3), wire.publish).account(ACCOUNT)
    seen.clear()
    await writer.append([Append("INBOX", mail(1, 100_000))])
    await settle()
    assert wire.pushed[-1][1] == b""
    assert seen == []
    waiting = asyncio.ensure_future(idle.wait_changed(idle.view().number))
    await settle()
    await waiting
    await writer.append([Append("INBOX", mail(2, 100_000))])
    waiting = asyncio.ensure_future(idle.wait_changed(idle.view().number))
    await settle()
    await waiting
    assert (await idle.folder("INBOX")).exists == 2


async def test_a_push_that_was_lost_is_made_good_by_the_next(clock: ManualClock) -> None:
    inner, wire = MemoryStore(clock), Wire()
    reader = mailboxes(inner, clock, SeededDice(2))
    idle = await reader.open(ACCOUNT)
    writer = mailboxes(inner, clock, SeededDice(3), wire.publish).account(ACCOUNT)
    waiting = asyncio.ensure_future(idle.wait_changed(idle.view().number))
    await writer.append(messages(1))
    await settle()
    wire.readers.append(reader)
    await writer.append(messages(2))
    await settle()
    await waiting
    await settle()
    assert (await idle.folder("INBOX")).exists == 2


async def test_who_waits_for_a_mailbox_that_nobody_has_read_is_not_kept_waiting(clock: ManualClock) -> None:
    store = MemoryStore(clock)
    await mailboxes(store, clock, SeededDice(3)).account(ACCOUNT).append(messages(1))
    boxes = mailboxes(store, clock, SeededDice(2))
    account = boxes.account(ACCOUNT)
    boxes.missed()
    assert await asyncio.wait_for(account.wait_changed(1), 1) == 2


async def test_pushes_wait_for_the_bus_and_commits_do_not(clock: ManualClock) -> None:
    wire = Wire()
    wire.away = True
    boxes = mailboxes(MemoryStore(clock), clock, publish=wire.publish)
    account = boxes.account(ACCOUNT)
    for number in range(3):
        await account.append(messages(number))
    await settle()
    assert wire.pushed == []
    wire.away = False
    await clock.advance(5.0)
    assert [event.number for event, _ in wire.pushed] == [2, 3, 4]
    await account.append(messages(9))
    await boxes.close()
    assert [event.number for event, _ in wire.pushed] == [2, 3, 4, 5]


async def test_when_too_many_pushes_wait_each_mailbox_is_still_told_of(clock: ManualClock) -> None:
    """The oldest went altogether: whoever idled on a quiet mailbox heard nothing until its next mail."""
    wire, dice = Wire(), SeededDice(7)
    wire.away = True
    pushing = Pushing(wire.publish, clock, 1000)
    quiet, busy = new_account_id(dice), new_account_id(dice)
    pushing.push(quiet, 7, 0.0, b"its commit")
    for number in range(5 * WAITING):
        pushing.push(busy, number, 0.0, b"x" * 10)
    assert len(pushing._waiting) <= 2 * WAITING
    await settle()
    wire.away = False
    await clock.advance(5.0)
    last = {event.account: event.number for event, _ in wire.pushed}
    assert last == {quiet: 7, busy: 5 * WAITING - 1}
    numbers = [event.number for event, _ in wire.pushed if event.account == busy]
    assert numbers == sorted(numbers)
    for _ in range(3 * WAITING):
        pushing.push(new_account_id(dice), 1, 0.0, b"")
    assert len(pushing._waiting) <= 2 * WAITING
    await pushing.close()


async def test_a_push_for_an_account_that_is_not_open_or_of_another_log_is_nothing(clock: ManualClock) -> None:
    boxes = mailboxes(MemoryStore(clock), clock)
    boxes.feed(Changed(EventId("0" * 32), ACCOUNT, 0.0, 7), b"")
    account = await boxes.open(ACCOUNT)
    boxes.feed(Changed(EventId("0" * 32), ACCOUNT, 0.0, 7, log="directory"), b"junk")
    boxes.feed(Changed(EventId("0" * 32), ACCOUNT, 0.0, 1), b"junk")
    boxes.feed(Changed(EventId("0" * 32), ACCOUNT, 0.0, 3), b"junk")
    assert account.view().number == 2


async def deliveries(
    clock: ManualClock, inner: MemoryStore, seed: int, faults: Faults, guards: Safeguards, *, caused: bool
) -> int:
    """Eight nodes deliver; each repeats a delivery until it is answered.  How many they made."""
    wanted = 12

    async def deliver(who: int) -> None:
        faulty = FaultyStore(inner, clock, SeededDice(seed * 10 + who), faults)
        store = RetryingStore(faulty, clock, SeededDice(seed + who))
        account = mailboxes(store, clock, SeededDice(seed * 100 + who), safeguards=guards).account(ACCOUNT)
        for number in range(wanted):
            word = f"{who}-{number}"
            message = Append("INBOX", mail(word), cause=word if caused else "")
            while True:
                try:
                    await account.append([message])
                    break
                except Temporary as error:
                    if isinstance(error, Unknown) and not caused:
                        return

    await asyncio.gather(*(deliver(who) for who in range(8)))
    return 8 * wanted


class Hurried(AllMailboxes):
    """Something happens in the very moment in which the reading of a mailbox has come to its end."""

    then: list[Callable[[], None]]

    async def _catch_up(self, account: MailAccount) -> None:
        await super()._catch_up(account)
        for each in self.then:
            asyncio.get_running_loop().call_soon(each)  # before whoever waits for the end of this task hears of it
        self.then.clear()


async def test_a_push_in_the_moment_in_which_the_one_before_was_followed_is_followed_too(clock: ManualClock) -> None:
    """There was a task for this mailbox, and it had just ended."""
    store, wire = MemoryStore(clock), Wire()
    writer = mailboxes(store, clock, SeededDice(1), publish=wire.publish).account(ACCOUNT)
    reader = Hurried(store, clock=clock, dice=SeededDice(2))
    reader.then = []
    account = await reader.open(ACCOUNT)
    number = account.view().number
    waiting = asyncio.ensure_future(account.wait_changed(number + 1))
    await writer.append(messages(1))
    await writer.append(messages(2))
    await settle()
    key = LAYOUT.commit(number + 2)
    second = await store.get(key)
    await store.delete([key])

    def push_the_second() -> None:
        asyncio.get_running_loop().create_task(store.create(key, second)).add_done_callback(lambda _: None)
        reader.feed(wire.pushed[1][0], b"")

    reader.then.append(push_the_second)
    reader.feed(wire.pushed[0][0], b"")
    async with asyncio.timeout(5):
        assert await waiting == number + 2


async def subjects(store: MemoryStore, clock: ManualClock) -> list[str]:
    account = await mailboxes(store, clock, SeededDice(4)).open(ACCOUNT)
    view = await account.folder("INBOX")
    bodies = [await account.body(view.body(row)) for row in range(view.exists)]
    found = [summary.subject for summary in await view.summaries(range(view.exists))]
    assert [body.split(b"\r\n")[2] for body in bodies] == [f"Subject: {each}".encode() for each in found]
    return found


WEATHER = Faults(refuse=0.05, lose=0.1, drop=0.05, late=0.05, conflict=0.05, delay=0.05, latest=2.0)


@pytest.mark.parametrize("seed", range(6))
async def test_a_delivery_that_is_repeated_until_it_is_answered_is_there_once(seed: int) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    made = await in_virtual_time(clock, deliveries(clock, store, seed, WEATHER, Safeguards(), caused=True))
    found = await in_virtual_time(clock, subjects(store, clock))
    assert (len(found), len(set(found))) == (made, made)


async def test_without_causes_a_repeated_delivery_is_doubled() -> None:
    """The ablation of the cause: the same repetition, each time as if it were new."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = mailboxes(store, clock).account(ACCOUNT)
    for _ in range(2):
        await account.append(messages(1))
    assert (await account.folder("INBOX")).exists == 2


async def test_causes_hide_a_missing_own_commit_recognition_and_without_either_mail_is_doubled() -> None:
    """Each safeguard with its neighbour off: FACTS, idempotent deciders hide a missing own-commit check."""
    doubled = {}
    for caused in (True, False):
        clock = ManualClock()
        store = MemoryStore(clock)
        guards = Safeguards(own_id=False)
        await in_virtual_time(clock, deliveries(clock, store, 1, Faults(lose=0.2), guards, caused=caused))
        found = await in_virtual_time(clock, subjects(store, clock))
        doubled[caused] = len(found) - len(set(found))
    assert doubled[True] == 0
    assert doubled[False] > 0


async def test_nodes_agree_on_uids_and_modseqs(clock: ManualClock) -> None:
    store = MemoryStore(clock)
    nodes = [fresh(store, clock, seed) for seed in range(5)]
    appends = [node.append(messages(number)) for number, node in enumerate(nodes * 4)]
    await in_virtual_time(clock, asyncio.gather(*appends))
    stores = [node.store("INBOX", range(1, 21), [f"$k{n}"]) for n, node in enumerate(nodes)]
    await in_virtual_time(clock, asyncio.gather(*stores))
    views = [await node.folder("INBOX", fresh=True) for node in nodes]
    assert {(tuple(view.uids), tuple(view.modseqs), tuple(view.flags), view.keywords) for view in views} == {
        (tuple(views[0].uids), tuple(views[0].modseqs), tuple(views[0].flags), views[0].keywords)
    }
    assert list(views[0].uids) == list(range(1, 21))
    assert len(views[0].flag_names(views[0].flags[0])) == 5
