"""What a large mailbox costs: opening, reading, remembering, writing it down; and the same as one object a message.

Times are the least of three on local files; round trips are counted in virtual time (`tests.mailbox.measured`), so
they are exact whatever the machine does.
"""

import asyncio
import gc
import os
import pathlib
import time
import tracemalloc
from collections.abc import Awaitable, Callable

from merpati.clock import ManualClock, SystemClock
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.objects.files import FilesStore
from merpati.objects.memory import MemoryStore
from tests.mailbox.measured import (
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
from tests.mailbox.worlds import ACCOUNT, mailboxes

Figures = dict[str, tuple[str, str]]
"""What: here, and as one object a message."""


async def figures(folder: pathlib.Path, quick: bool) -> Figures:
    """All of them, on a folder of 100,000 messages."""
    count = 5000 if quick else 100_000
    clock = ManualClock()
    memory = MemoryStore(clock)
    await filled(mailboxes(memory, clock), count, clock)
    files = FilesStore(folder, SystemClock())
    await copied(memory, files)
    rows: Figures = {}
    await _reading(files, count, rows)
    await _a_change(files, rows)
    await _opening(memory, clock, files, count, rows)
    await files.close()
    await _keeping(1000, rows)
    return rows


async def _opening(memory: MemoryStore, clock: ManualClock, files: FilesStore, count: int, rows: Figures) -> None:
    letter = b"Subject: cold\r\n\r\n"
    causes = iter("abc")

    async def deliver() -> None:
        await delivering(files).account(ACCOUNT).append([Append("INBOX", letter, cause=next(causes))])

    rows[f"cold open of {count:,} messages"] = f"{await best(lambda: real_mailboxes(files).open(ACCOUNT)):.0f} ms", ""
    rows["delivery to it, cold"] = f"{await best(deliver):.0f} ms", ""
    distant = DistantStore(memory, clock)
    account = mailboxes(distant, clock, SeededDice(5)).account(ACCOUNT)
    naive_memory = MemoryStore(clock)
    naive_store = DistantStore(naive_memory, clock)
    naive = ObjectPerMessage(naive_store)
    delivered = await _trips(clock, naive_store, naive.deliver(letter))
    await ObjectPerMessage(naive_memory).fill(count)
    listed = await _trips(clock, naive_store, naive.open())
    rows["cold open: requests, round trips"] = await _trips(clock, distant, account.refresh()), listed
    selected = await _trips(clock, distant, account.folder("INBOX", fresh=True))
    rows["warm SELECT: requests, round trips"] = selected, listed
    writer = delivering(distant, clock).account(ACCOUNT)
    cold = await _trips(clock, distant, writer.append([Append("INBOX", letter, cause="cold")]))
    rows["delivery to it, cold: requests, round trips"] = cold, f"the index, then {delivered}"


async def _trips(clock: ManualClock, store: DistantStore, work: Awaitable[object]) -> str:
    """How many requests, and how many of them one after another."""
    one_after_another = await trips(clock, store, work)
    return f"{store.total}, {one_after_another}"


async def _reading(files: ObjectStore, count: int, rows: Figures) -> None:
    account = real_mailboxes(files).account(ACCOUNT)
    rows["memory a message, without envelopes"] = f"{await _memory(account.refresh()) / count:.0f} bytes", ""
    worker = delivering(files).account(ACCOUNT)
    taken = await _memory(worker.append([Append("INBOX", b"Subject: memory\r\n\r\n")]))
    rows["memory of the mailbox where it is only delivered to"] = f"{taken / 1000:.0f} KB", ""

    async def flags() -> None:
        uid_flags(await account.folder("INBOX"))

    rows["UIDs and flags of all, from memory"] = (
        f"{await best(flags):.0f} ms",
        f"a listing of {-(-count // 1000)} pages",
    )

    async def envelopes() -> None:
        view = await (await real_mailboxes(files).open(ACCOUNT)).folder("INBOX")
        await view.envelopes(range(view.exists))

    rows["ENVELOPEs of all, cold"] = f"{await best(envelopes):.0f} ms", f"{count:,} GETs"


async def _memory(work: Awaitable[object]) -> int:
    """Bytes that are held after it."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await work
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken


async def _a_change(files: ObjectStore, rows: Figures) -> None:
    counting = CountingStore(files)
    account = await real_mailboxes(counting).open(ACCOUNT)

    async def change() -> None:
        await account.store("INBOX", [50], ["\\Seen"] if mark.pop() else [], mode="set")
        counting.clear()
        await account.keep_snapshot()

    mark = [True, False, True]
    rows["a snapshot after one flag changed"] = f"{await best(change):.0f} ms, {counting.puts} PUTs", ""
    naive_store = CountingStore(MemoryStore(SystemClock()))
    naive = ObjectPerMessage(naive_store)
    await naive.fill(100)
    naive_store.clear()
    await naive.flag(50, 1)
    rows["a flag changed, requests"] = "1", str(naive_store.total)


async def _keeping(count: int, rows: Figures) -> None:
    """A thousand messages delivered one by one, and what is left of them when all is done."""
    letters = [_letter(number) for number in range(count)]
    clock = ManualClock()
    memory = MemoryStore(clock)
    store = CountingStore(memory)
    boxes = AllMailboxes(store, clock=clock, dice=SeededDice(7))
    account = await boxes.open(ACCOUNT)
    for letter in letters:
        await account.append([Append("INBOX", letter)])
    await boxes.idle()
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    puts, requests = store.puts / count, store.total / count
    await clock.advance(3 * GRACE)
    await account.vacuum(GRACE)
    naive_memory = MemoryStore(clock)
    naive_store = CountingStore(naive_memory)
    naive = ObjectPerMessage(naive_store)
    for letter in letters:
        await naive.deliver(letter)
    ours, theirs = await _stored(memory), await _stored(naive_memory)
    rows["a message delivered alone, PUTs in all"] = f"{puts:.2f}", f"{naive_store.puts / count:.2f}"
    rows["  requests in all"] = f"{requests:.2f}", f"{naive_store.total / count:.2f}"
    rows[f"objects a message, of {count}"] = f"{ours[0] / count:.3f}", f"{theirs[0] / count:.3f}"
    rows["bytes a message of 8 KiB of text"] = f"{ours[1] / count:.0f}", f"{theirs[1] / count:.0f}"


def _letter(number: int) -> bytes:
    """8 KiB of words, no two alike."""
    words = SeededDice(number)
    lines = [" ".join(words.bytes(3).hex() for _ in range(10)) for _ in range(115)]
    return f"From: a@bench.test\r\nSubject: {number}\r\n\r\n".encode() + "\r\n".join(lines).encode()


async def _stored(store: ObjectStore) -> tuple[int, int]:
    sizes = [info.size async for info in store.list("")]
    return len(sizes), sum(sizes)


async def best(work: Callable[[], Awaitable[object]]) -> float:
    """The least of three, in milliseconds."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        await work()
        taken.append(1000 * (time.perf_counter() - began))
    return min(taken)


def table(rows: Figures) -> str:
    lines = [f"| {os.cpu_count()} cores, files | here | one object a message |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {here} | {there} |" for name, (here, there) in rows.items())])


def run(folder: pathlib.Path, quick: bool) -> Figures:
    return asyncio.run(figures(folder, quick))
