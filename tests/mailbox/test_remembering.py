"""How much a process remembers of mailboxes: what is counted is what is taken, and the limit is one."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from merpati.clock import ManualClock
from merpati.errors import Unavailable
from merpati.ids import AccountId, SeededDice, new_account_id
from merpati.log.lately import Lately
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, Large, MailboxLimits
from merpati.mailbox.columns import ROW
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes, messages

MESSAGES = 500
LIMIT = 300_000


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What goes must go because nobody holds it, not because a collector came by."""
    gc.disable()
    yield
    gc.enable()


async def many(store: MemoryStore, clock: ManualClock, count: int) -> list[AccountId]:
    dice, boxes = SeededDice(5), mailboxes(store, clock)
    ids = [new_account_id(dice) for _ in range(count)]
    for id in ids:
        await boxes.account(id).append(messages(*range(MESSAGES)))
        await boxes.account(id).keep_snapshot()
    return ids


async def test_who_has_come_and_gone_is_forgotten_when_memory_is_short(
    store: MemoryStore, clock: ManualClock, no_collector: None
) -> None:
    """A mailbox was counted as it was before it was read, so that none ever went."""
    ids = await many(store, clock, 20)
    boxes = mailboxes(store, clock, SeededDice(2), limits=MailboxLimits(memory=LIMIT))
    for id in ids:
        account = boxes.account(id)
        assert (await account.folder("INBOX", fresh=True)).exists == MESSAGES
        del account
        assert boxes._remembered.weight <= LIMIT
    there = boxes._remembered.all()
    assert sum(account.weight for account in there) == boxes._remembered.weight
    assert [account.id for account in there] == ids[-len(there) :]
    assert 2 <= len(there) < 10


async def test_what_a_session_holds_is_shared_counts_and_goes_with_the_session(
    store: MemoryStore, clock: ManualClock, no_collector: None
) -> None:
    ids = await many(store, clock, 20)
    boxes = mailboxes(store, clock, SeededDice(2), limits=MailboxLimits(memory=LIMIT))
    held = [await boxes.open(id) for id in ids[:10]]
    views = [await account.folder("INBOX") for account in held]
    assert boxes._remembered.weight > LIMIT, "a mailbox that is open is in memory"
    for id in ids[10:]:
        await boxes.open(id)
    assert len(boxes._remembered.all()) == 11, "and those that nobody holds make room for it"
    for id, account in zip(ids, held, strict=False):
        assert boxes.account(id) is account
    await held[0].append(messages("news"))
    assert (await held[0].folder("INBOX")).exists == views[0].exists + 1
    held.clear()
    del account
    assert boxes._remembered.weight <= LIMIT
    assert await fresh_body(boxes.account(ids[3])) == mail(7)


async def fresh_body(account: MailAccount) -> bytes:
    view = await account.folder("INBOX", fresh=True)
    return await account.body(view.body(7))


async def test_a_mailbox_that_grows_by_pushes_and_deliveries_is_weighed_again(
    store: MemoryStore, clock: ManualClock
) -> None:
    reader = mailboxes(store, clock, SeededDice(2))
    idle = await reader.open(ACCOUNT)
    before = reader._remembered.weight

    async def publish(pushes: object) -> None:
        for event, data in pushes:  # type: ignore[attr-defined]
            reader.feed(event, data)

    writer = mailboxes(store, clock, SeededDice(3), publish)
    for number in range(10):
        await writer.account(ACCOUNT).append(messages(*range(10 * number, 10 * number + 10)))
        await asyncio.sleep(0.01)
    assert (await idle.folder("INBOX")).exists == 100
    assert reader._remembered.weight >= before + 100 * 300
    assert writer._remembered.weight == reader._remembered.weight


async def test_what_has_gone_weighs_nothing(store: MemoryStore, clock: ManualClock) -> None:
    account = await mailboxes(store, clock).open(ACCOUNT)
    for number in range(40):
        (first, *_, last) = await account.append(messages(*range(number * 50, number * 50 + 50)))
        heaviest = account.weight
        await account.expunge("INBOX", range(first.uid, last.uid + 1), only_deleted=False)
    assert account.weight < heaviest < 200_000
    for number in range(20):
        await account.append(messages(*range(number * 300, number * 300 + 300)))
        await account.keep_snapshot()
    assert account.weight < 6000 * ROW + 300_000, "a snapshot has the summaries now"


# ---- what is counted is what is taken

Work = Callable[[MailAccount], Awaitable[object]]


async def mail_inline(account: MailAccount) -> None:
    await account.append(messages(*range(2000)))


async def mail_in_a_snapshot(account: MailAccount) -> None:
    await account.append(messages(*range(4000)))
    await account.keep_snapshot()


async def mail_caused(account: MailAccount) -> None:
    await account.append([Append("INBOX", mail(number), cause=f"{number}") for number in range(2000)])
    await account.keep_snapshot()


async def mail_that_has_gone(account: MailAccount) -> None:
    await account.append(messages(*range(4000)))
    for uid in range(1, 4000, 2):
        await account.expunge("INBOX", [uid], only_deleted=False)
    await account.expunge("INBOX", only_deleted=False)
    await account.keep_snapshot()


async def large_bodies(account: MailAccount) -> None:
    async def pieces() -> object:
        yield mail("large")

    large = await account.put_large(pieces())  # type: ignore[arg-type]
    one = Large(large.key, large.digest, large.size, b"X: y\r\n")
    for _ in range(10):
        await account.append([Append("INBOX", one)] * 100)
    await account.keep_snapshot()


async def annotations(account: MailAccount) -> None:
    await account.set_metadata("", {f"/private/{number}": b"x" * 200 for number in range(2000)})


async def names(account: MailAccount) -> None:
    for number in range(500):
        await account.create(f"folder {number}")
        await account.subscribe(f"folder {number}")
        await account.rename(f"folder {number}", f"other {number}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    [mail_inline, mail_in_a_snapshot, mail_caused, mail_that_has_gone, large_bodies, annotations, names],
)
async def test_what_is_counted_is_about_what_is_taken(store: MemoryStore, clock: ManualClock, work: Work) -> None:
    writer = mailboxes(store, clock)
    await work(await writer.open(ACCOUNT))
    await writer.idle()
    await writer.close()
    boxes = mailboxes(store, clock, SeededDice(2))
    gc.collect()
    tracemalloc.start()
    try:
        account = await boxes.open(ACCOUNT)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 1.3 < account.weight < taken * 3


# ---- packs that were read


async def test_packs_that_were_read_are_remembered_under_one_limit_for_all(clock: ManualClock) -> None:
    store, dice = MemoryStore(clock), SeededDice(5)
    boxes = mailboxes(store, clock)
    boxes._lately = Lately(100_000)
    ids = [new_account_id(dice) for _ in range(10)]
    for id in ids:
        await boxes.account(id).append([Append("INBOX", mail(number, 1000)) for number in range(20)])
        await boxes.account(id).compact()
    await clock.advance(GRACE + 1)
    for id in ids:
        assert (await boxes.account(id).compact()).deleted == 1
        view = await boxes.account(id).folder("INBOX")
        for row in range(20):
            assert await boxes.account(id).body(view.body(row)) == mail(row, 1000)
        assert 0 < boxes._lately.size <= 100_000


async def test_what_is_wanted_by_many_is_read_once_and_what_failed_is_read_again() -> None:
    lately, reads, gate = Lately(10), list[str](), asyncio.Event()

    async def read(name: str) -> bytes:
        reads.append(name)
        await gate.wait()
        if name == "lost" and reads.count("lost") == 1:
            raise Unavailable("not now")
        return name.encode()

    async def get(name: str) -> bytes:
        return await lately.get(name, lambda: read(name), len)

    waiting = [asyncio.ensure_future(get(name)) for name in ("four", "four", "lost", "four")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in found] == [asyncio.CancelledError, bytes, Unavailable, bytes]
    assert (reads, lately.size) == (["four", "lost"], 4)
    assert [await get(name) for name in ("lost", "four", "five", "four")] == [b"lost", b"four", b"five", b"four"]
    assert (reads, lately.size) == (["four", "lost", "lost", "five"], 8)
    assert await asyncio.gather(get("six"), get("something long"), get("seven")) == [
        b"six",
        b"something long",
        b"seven",
    ]
    assert lately.size <= 10
