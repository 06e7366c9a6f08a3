"""Compaction, truncation and vacuum: what they leave, what they cost, and that they may stop anywhere."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from merpati.clock import ManualClock
from merpati.errors import Unavailable, Unknown
from merpati.log.api import Damaged
from merpati.log.compaction import Compacted, Compaction
from merpati.log.compress import compressed
from merpati.log.reading import GRACE
from merpati.log.vacuum import RETENTION, Vacuum, kept
from merpati.log.verifying import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages

Bodies = dict[str, list[bytes]]


async def bodies(account: MailAccount) -> Bodies:
    found: Bodies = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found[name] = [await account.body(view.body(row)) for row in range(view.exists)]
    return found


async def keys(store: ObjectStore, kind: str) -> list[str]:
    return [info.key async for info in store.list(f"{LAYOUT.prefix}/{kind}/")]


async def written(store: ObjectStore, clock: ManualClock, many: int = 30) -> MailAccount:
    account = await mailboxes(store, clock).open(ACCOUNT)
    for number in range(many):
        await account.append(messages(number))
    await account.append([Append("INBOX", mail("large", 300_000))])
    await account.copy("INBOX", range(1, 8), "Archive")
    await account.expunge("INBOX", [2, 3], only_deleted=False)
    return account


async def vacuum(account: MailAccount, **limits: float) -> None:
    await Vacuum(account.log.reader, **{"grace": GRACE, **limits}).run()


async def test_after_compaction_and_the_grace_period_the_commits_are_gone_and_the_mail_is_there() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await written(store, clock)
    expected = await bodies(account)
    assert (await account.compact()).commits == 34
    assert len(await keys(store, "log")) == 34, "not before the grace period"
    await clock.advance(GRACE + 1)
    assert (await account.compact()).deleted == 34
    assert await keys(store, "log") == []
    assert await bodies(fresh(store, clock)) == expected
    assert await bodies(account) == expected, "and to whoever knew them where they were"
    await account.append(messages("next"))
    assert (await bodies(fresh(store, clock)))["INBOX"][-1] == mail("next")


async def test_a_prefix_of_a_large_body_moves_into_the_pack_too() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    large = await account.put_large(pieces(mail("large", 10_000)))
    await account.append([Append("INBOX", type(large)(large.key, large.digest, large.size, b"X-Prefix: 1\r\n"))])
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    assert (await bodies(fresh(store, clock)))["INBOX"] == [b"X-Prefix: 1\r\n" + mail("large", 10_000)]


async def pieces(data: bytes):  # type: ignore[no-untyped-def]
    yield data


async def test_a_thousand_messages_are_a_handful_of_objects_and_few_requests() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    seen: list[str] = []
    metered = MeteredStore(store, clock, lambda operation, outcome, seconds: seen.append(operation))
    boxes = mailboxes(metered, clock)
    account = await boxes.open(ACCOUNT)
    for number in range(1000):
        await account.append([Append("INBOX", mail(number, 8000))])
    await boxes.idle()
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    puts = seen.count("put") + seen.count("create")
    assert puts <= 1100
    assert len(seen) <= 2200
    await clock.advance(RETENTION + 2 * GRACE)
    await account.append(messages("one"))
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    await vacuum(account)
    objects = [info async for info in store.list(LAYOUT.prefix)]
    assert len(objects) <= 20, [info.key for info in objects]


async def test_packs_are_read_by_range() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    for number in range(100):
        await account.append([Append("INBOX", mail(number, 20_000))])
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    seen: list[str] = []
    other = fresh(MeteredStore(store, clock, lambda operation, outcome, seconds: seen.append(operation)), clock)
    view = await other.folder("INBOX", fresh=True)
    seen.clear()
    for row in range(10):
        assert await other.body(view.body(row)) == mail(row, 20_000)
    assert seen.count("get") <= 1, "the snapshot that says where the pack is"
    assert seen.count("get_range") <= 5, "the commit that is gone, the index, a frame"


async def test_a_commit_that_is_damaged_is_not_moved_and_nothing_behind_it_is_removed() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await written(store, clock)
    key = LAYOUT.commit(10)
    data = bytearray(await store.get(key))
    data[20] ^= 1
    await store.put(key, bytes(data))
    with pytest.raises(Damaged) as refused:
        await account.compact()
    assert refused.value.facts["key"] == key
    assert await keys(store, "snap") == [] and len(await keys(store, "log")) == 34


class Stop(BaseException):
    """The process dies."""


class Dying(WrappedStore):
    """Ends the process at the n-th call, before it or just after it was applied."""

    def __init__(self, inner: ObjectStore, at: int, after: bool) -> None:
        super().__init__(inner)
        self._left, self._after = at, after

    async def _step(self, work):  # type: ignore[no-untyped-def]
        self._left -= 1
        if self._left == 0 and not self._after:
            work.close()
            raise Stop
        done = await work
        if self._left == 0:
            raise Stop
        return done

    async def get(self, key):  # type: ignore[no-untyped-def]
        return await self._step(super().get(key))

    async def create(self, key, data):  # type: ignore[no-untyped-def]
        await self._step(super().create(key, data))

    async def put(self, key, data):  # type: ignore[no-untyped-def]
        await self._step(super().put(key, data))

    async def delete(self, keys):  # type: ignore[no-untyped-def]
        await self._step(super().delete(keys))


async def tidy(account: MailAccount, clock: ManualClock) -> None:
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    await vacuum(account, retention=GRACE)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
async def test_compaction_and_vacuum_may_die_at_every_call_and_be_done_again(after: bool) -> None:
    died = 0
    for at in range(1, 75):
        clock = ManualClock()
        store = MemoryStore(clock)
        expected = await bodies(await written(store, clock, 8))
        try:
            await tidy(fresh(Dying(store, at, after), clock), clock)
        except Stop:
            died += 1
        assert await bodies(fresh(store, clock, at)) == expected
        await tidy(fresh(store, clock, at + 100), clock)
        await clock.advance(3 * GRACE)
        await tidy(fresh(store, clock, at + 200), clock)
        other = fresh(store, clock, at + 300)
        assert await bodies(other) == expected
        assert await verified(other.log.reader) == []
        assert await keys(store, "log") == [] and await keys(store, "now") == []
    assert 25 < died < 74


@pytest.mark.parametrize("error", [Unavailable("503"), Unknown("no answer")])
async def test_a_store_that_fails_in_the_middle_leaves_everything_readable(error: Exception) -> None:
    for at in range(1, 30):
        clock = ManualClock()
        store = MemoryStore(clock)
        expected = await bodies(await written(store, clock, 5))

        class Failing(Dying):
            async def _step(self, work):  # type: ignore[no-untyped-def]
                try:
                    return await super()._step(work)
                except Stop:
                    raise error from None

        try:
            await tidy(fresh(Failing(store, at, True), clock), clock)
        except type(error):
            pass
        assert await bodies(fresh(store, clock, at)) == expected


class Waiting(WrappedStore):
    """Holds a snapshot back until the gate is open."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.gate = asyncio.Event()

    async def create(self, key: str, data: bytes) -> None:
        if "/snap/" in key:
            await self.gate.wait()
        await super().create(key, data)


@pytest.mark.parametrize("grace", [GRACE, 0.0])
async def test_the_vacuum_leaves_alone_what_a_snapshot_in_the_making_needs(grace: float) -> None:
    """With a grace period of nothing it is the ablation of V2: the snapshot names what is gone."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await written(store, clock, 5)
    waiting = Waiting(store)
    half = fresh(waiting, clock, 5)
    await half.refresh()
    task = asyncio.ensure_future(half.keep_snapshot())
    await clock.advance(1.0)
    assert not task.done() and await keys(store, "chunk")
    await vacuum(account, grace=grace, retention=0.0)
    waiting.gate.set()
    await task
    wrong = await verified(fresh(store, clock).log.reader)
    assert bool(wrong) == (grace == 0.0)


async def test_a_snapshot_that_took_longer_than_what_it_builds_upon_lasts_is_not_written() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await written(store, clock, 5)

    class Slow(WrappedStore):
        async def put(self, key: str, data: bytes) -> None:
            await clock.advance(GRACE)
            await super().put(key, data)

    other = fresh(Slow(store), clock)
    await other.refresh()
    with pytest.raises(Exception, match="took too long"):
        await other.keep_snapshot()
    assert await keys(store, "snap") == []
    assert (await account.refresh()).messages


async def test_a_compaction_where_a_snapshot_is_already_leaves_nothing_for_the_next() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.keep_snapshot()
    assert (await account.compact()).commits == 2
    number = (await account.refresh()).number
    assert await account.compact() == Compacted()
    assert (await account.refresh()).number == number
    await clock.advance(GRACE + 1)
    assert (await account.compact()).deleted == number - 1
    assert [info.key async for info in store.list(LAYOUT.commits)] == []
    assert (await fresh(store, clock).folder("INBOX")).exists == 2


async def test_two_compactions_at_once_are_as_good_as_one() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    expected = await bodies(await written(store, clock))
    await asyncio.gather(*(fresh(store, clock, seed).compact() for seed in (5, 6, 7)))
    await clock.advance(GRACE + 1)
    await asyncio.gather(*(fresh(store, clock, seed).compact() for seed in (8, 9)))
    await clock.advance(3 * GRACE)
    await vacuum(fresh(store, clock, 10), retention=GRACE)
    other = fresh(store, clock, 11)
    assert await bodies(other) == expected
    assert await verified(other.log.reader) == []
    assert len(await keys(store, "pack")) == 1


def test_of_snapshots_stay_the_newest_the_day_s_last_and_the_one_the_window_begins_with() -> None:
    day, now = 86_400.0, 100 * 86_400.0
    ages = [0.5, 1.0, 1.2, 26.0, 30.0, 50.0, 24 * 8, 24 * 9]
    infos = [ObjectInfo(str(age), 1, now - age * 3600) for age in ages]
    assert kept(infos, now, 7 * day, 3600.0) == {"0.5", "1.0", "26.0", "50.0", "192"}
    assert kept(infos[:1], now, 7 * day, 3600.0) == {"0.5"}


async def test_no_commit_is_deleted_that_the_newest_snapshot_does_not_answer_for() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await written(store, clock)
    expected = await bodies(account)
    await account.compact()
    await clock.advance(GRACE + 1)
    (snapshot,) = await keys(store, "snap")
    await store.delete([snapshot])  # as if another, that does not know the packs, had been written over it
    other = fresh(store, clock, 3)
    with pytest.raises(Damaged):
        await Compaction(other.log, grace=GRACE)._truncate()
    assert len(await keys(store, "log")) == 34
    assert await bodies(fresh(store, clock, 4)) == expected


async def test_mail_that_was_expunged_before_the_window_leaves_the_store() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    for _ in range(20):
        await account.append([Append("INBOX", os.urandom(5000) + b"\r\n")])
    await account.copy("INBOX", [4, 5], "Archive")
    await account.compact()
    await account.expunge("INBOX", range(1, 19), only_deleted=False)
    expected = await bodies(account)
    await tidy(account, clock)
    assert sum([info.size async for info in store.list(f"{LAYOUT.prefix}/pack/")]) > 100_000, "still in the window"
    for _ in range(2):
        await clock.advance(RETENTION + 2 * GRACE)
        await account.store("INBOX", [19], ["\\Seen"])
        await account.keep_snapshot()
    await account.reclaim()
    await clock.advance(RETENTION + 2 * GRACE)
    await account.store("INBOX", [20], ["\\Seen"])
    await account.keep_snapshot()
    await vacuum(account)
    assert sum([info.size async for info in store.list(f"{LAYOUT.prefix}/pack/")]) < 30_000
    assert await bodies(account) == expected
    other = fresh(store, clock)
    assert await bodies(other) == expected
    assert await verified(other.log.reader) == []
    assert await other.reclaim() == 0


async def test_what_is_stored_is_hardly_more_than_the_mail_compressed() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    letters = [mail(number) + base64.encodebytes(os.urandom(4000)) for number in range(400)]
    for letter in letters:
        await account.append([Append("INBOX", letter)])
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    await vacuum(account, retention=GRACE)
    alone = sum(len(compressed(b"".join(letters[start : start + 40]))) for start in range(0, 400, 40))
    stored = sum([info.size async for info in store.list("")])
    assert stored <= 1.1 * alone
