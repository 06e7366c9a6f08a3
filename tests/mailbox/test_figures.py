"""The figures that the mailbox log answers for: round trips, milliseconds, memory, requests a message.

Round trips are counted in virtual time, so they are exact; times and CPU are the least of three tries, against bounds
that a loaded machine keeps too.  `make bench ARGS="--only log"` measures the same and prints it.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.events import Changed
from merpati.ids import SeededDice
from merpati.log.keeping import EVERY
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.objects.files import FilesStore
from merpati.objects.memory import MemoryStore
from tests.mailbox.measured import (
    RECENT,
    CountingStore,
    DistantStore,
    ObjectPerMessage,
    copied,
    delivering,
    filled,
    real_mailboxes,
    trips,
    uid_flags,
)
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes

LARGE = 100_000


@pytest.fixture(scope="module")
def large() -> MemoryStore:
    """A mailbox with 100,000 messages, in a snapshot."""
    clock = ManualClock()
    store = MemoryStore(clock)
    asyncio.run(filled(mailboxes(store, clock), LARGE, clock))
    return store


@pytest.fixture
async def large_files(large: MemoryStore, tmp_path: Path) -> AsyncIterator[FilesStore]:
    files = FilesStore(tmp_path, SystemClock())
    await copied(large, files)
    yield files
    await files.close()


async def least(work: Callable[[], Awaitable[object]], clock: Callable[[], float]) -> float:
    """The least of three, in milliseconds."""
    taken = []
    for _ in range(3):
        began = clock()
        await work()
        taken.append(1000 * (clock() - began))
    return min(taken)


def far(store: MemoryStore) -> tuple[ManualClock, DistantStore]:
    clock = ManualClock(store._clock.time())
    return clock, DistantStore(store, clock)


@pytest.mark.slow
async def test_a_large_folder_is_opened_in_six_round_trips_and_selected_again_in_one(large: MemoryStore) -> None:
    clock, store = far(large)
    account = mailboxes(store, clock, SeededDice(2)).account(ACCOUNT)
    assert await trips(clock, store, account.folder("INBOX")) <= 6
    assert await trips(clock, store, account.folder("INBOX", fresh=True)) <= 1
    assert store.total == 1
    assert (await account.folder("INBOX")).exists == LARGE


@pytest.mark.slow
async def test_and_so_it_is_with_all_the_commits_that_may_stand_behind_a_snapshot(large: MemoryStore) -> None:
    store = MemoryStore(ManualClock(large._clock.time()))
    await copied(large, store)
    writer = mailboxes(store, store._clock, SeededDice(3)).account(ACCOUNT)
    for number in range(EVERY - 1):
        await writer.append([Append("INBOX", mail(number, 8000))])
    clock, distant = far(store)
    account = mailboxes(distant, clock, SeededDice(2)).account(ACCOUNT)
    assert await trips(clock, distant, account.folder("INBOX")) <= 6
    assert (await account.folder("INBOX")).exists == LARGE + EVERY - 1


@pytest.mark.slow
async def test_mail_is_delivered_to_it_without_reading_it(large: MemoryStore) -> None:
    store = MemoryStore(ManualClock(large._clock.time()))
    await copied(large, store)
    clock, distant = far(store)
    account = delivering(distant, clock).account(ACCOUNT)
    assert await trips(clock, distant, account.append([Append("INBOX", mail("new"), cause="new")])) <= 6
    assert distant.total <= 12, "not the chunks of 100,000 messages"
    assert account.weight / RECENT < 300, "what is remembered are the causes of a fortnight"


@pytest.mark.slow
async def test_a_large_folder_is_opened_in_300_milliseconds_from_files(large_files: FilesStore) -> None:
    async def opened() -> None:
        view = await real_mailboxes(large_files).account(ACCOUNT).folder("INBOX")
        assert view.exists == LARGE

    assert await least(opened, time.perf_counter) < 300


@pytest.mark.slow
async def test_uids_and_flags_of_a_large_folder_take_150_milliseconds_of_the_processor(
    large_files: FilesStore,
) -> None:
    account = await real_mailboxes(large_files).open(ACCOUNT)

    async def read() -> None:
        account._folders.clear()  # not what an earlier view has cut out already
        answer = uid_flags(await account.folder("INBOX"))
        assert answer.count(b"\n") == LARGE

    assert await least(read, time.process_time) < 150


@pytest.mark.slow
async def test_a_message_takes_200_bytes_of_memory_without_its_envelope(large_files: FilesStore) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        account = await real_mailboxes(large_files).open(ACCOUNT)
        view = await account.folder("INBOX")
        uid_flags(view)  # a client has looked at it: the view has arrays of its own
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / LARGE <= 200


@pytest.mark.slow
async def test_an_append_takes_a_millisecond_of_the_processor(tmp_path: Path) -> None:
    files = FilesStore(tmp_path, SystemClock())
    account = await real_mailboxes(files).open(ACCOUNT)
    letters = [mail(number, 8000) for number in range(600)]

    async def appended() -> None:
        mine = iter(letters)

        async def worker() -> None:
            for letter in mine:
                await account.append([Append("INBOX", letter)])

        await asyncio.gather(*(worker() for _ in range(50)))

    assert await least(appended, time.process_time) / len(letters) < 1
    await files.close()


Pushed = Sequence[tuple[Changed, bytes]]


async def alone(letters: list[bytes]) -> CountingStore:
    """Each delivered by itself to an account on whose other node a client idles; then compacted, truncated, tidied."""
    clock = ManualClock()
    store = CountingStore(MemoryStore(clock))
    readers = mailboxes(store, clock, SeededDice(4))
    idle = await readers.open(ACCOUNT)

    async def publish(pushes: Pushed) -> None:
        for event, data in pushes:
            readers.feed(event, data)

    boxes = delivering(store, clock, publish)
    account = boxes.account(ACCOUNT)
    for letter in letters:
        waiting = asyncio.ensure_future(idle.wait_changed(idle.view().number))
        await account.append([Append("INBOX", letter)])
        await waiting
    await boxes.idle()
    await finished(account, clock)
    assert (await idle.folder("INBOX")).exists == len(letters)
    return store


async def finished(account: MailAccount, clock: ManualClock) -> None:
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()


@pytest.mark.slow
async def test_a_message_delivered_alone_takes_one_put_and_two_requests_in_all() -> None:
    count = 1000
    store = await alone([mail(number, 8000) for number in range(count)])
    assert store.puts <= 1.1 * count
    assert store.total <= 2.2 * count, store.requests


async def test_an_object_for_each_message_takes_more_of_everything() -> None:
    """What the others are held against: the table in docs/mailbox-log.md."""
    clock = ManualClock()
    store = CountingStore(MemoryStore(clock))
    naive = ObjectPerMessage(store)
    for number in range(100):
        await naive.deliver(mail(number, 8000))
    assert store.puts == 200
    store.clear()
    await naive.flag(7, 1)
    assert store.total == 4
    store.clear()
    await naive.fill(2000)
    assert len([info async for info in store.list("")]) > 2000
    store.clear()
    await naive.open()
    assert store.total == 4
