"""A disk or a bucket without room: clear answers, nothing half done, and all goes on when there is room again."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
from aiohttp import web

from access.imap.failures import no_for
from access.imap.wire import codes
from access.imap.wire.commands import Append as AppendVerb
from merpati.clock import ManualClock, SystemClock
from merpati.log.reading import GRACE
from merpati.log.vacuum import Vacuum
from merpati.mailbox.api import Append
from merpati.mailbox.auditing import audited
from merpati.objects import files
from merpati.objects.api import Full, ObjectStore
from merpati.objects.files import FilesStore
from merpati.objects.location import S3Location
from merpati.objects.memory import MemoryStore
from merpati.objects.s3 import BucketStore
from merpati.objects.wrapped import WrappedStore
from tests.damage.spoiling import everything, keys, shape
from tests.mailbox.worlds import ACCOUNT, fresh, mail, mailboxes, messages


class SmallStore(WrappedStore):
    """Takes `room` bytes more, then says that it is full; what is deleted makes room."""

    def __init__(self, inner: ObjectStore, room: int = 1 << 40) -> None:
        super().__init__(inner)
        self.room = room

    async def create(self, key: str, data: bytes) -> None:
        self._check(key, len(data))
        await super().create(key, data)
        self.room -= len(data)

    async def put(self, key: str, data: bytes) -> None:
        self._check(key, len(data))
        await super().put(key, data)
        self.room -= len(data)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        data = b"".join([chunk async for chunk in chunks])
        await self.put(key, data)

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.room += (await self.head(key)).size
            await super().delete([key])

    def _check(self, key: str, size: int) -> None:
        if size > self.room:
            raise Full("the mail store is full", key=key, lasting=True)


async def test_every_verb_is_refused_whole_while_there_is_no_room_and_works_again_afterwards() -> None:
    clock = ManualClock()
    store = SmallStore(MemoryStore(clock))
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2, 3))
    before, objects = await shape(account), await everything(store)
    verbs: list[Callable[[], Awaitable[object]]] = [
        lambda: account.append(messages(4)),
        lambda: account.append([Append("INBOX", mail("large", 300_000))]),
        lambda: account.append(messages(4, folder="New"), create=True),
        lambda: account.store("INBOX", [1], ["\\Seen"]),
        lambda: account.expunge("INBOX", [1], only_deleted=False),
        lambda: account.copy("INBOX", [1], "Archive"),
        lambda: account.move("INBOX", [1], "Archive"),
        lambda: account.create("New"),
        lambda: account.rename("Archive", "Old"),
        lambda: account.keep_snapshot(),
        lambda: account.compact(),
    ]
    for verb in verbs:
        for room in (0, 60):
            store.room = room
            with pytest.raises(Full) as refused:
                await asyncio.wait_for(verb(), 5)
            assert refused.value.reply.startswith("452 4.3.1 ")
        assert await everything(store) == objects
        assert await shape(account) == before == await shape(fresh(store, clock))
    store.room = 1 << 40
    for number, verb in enumerate(verbs[:1] + verbs[3:6] + verbs[7:]):
        await verb()
        assert (await audited(fresh(store, clock, number))).wrong == ()


async def test_a_full_store_is_cleaned_and_takes_mail_again() -> None:
    clock = ManualClock()
    store = SmallStore(MemoryStore(clock))
    account = await mailboxes(store, clock).open(ACCOUNT)
    for number in range(10):
        await account.append(messages(number))
        await account.keep_snapshot()
        await clock.advance(60)
    await account.compact()
    await clock.advance(3 * GRACE)
    await account.append(messages("last"))
    expected = await shape(account)
    store.room = 10
    with pytest.raises(Full):
        await account.append(messages("more"))
    freed = await Vacuum(account.log.reader, grace=GRACE, retention=GRACE).run()
    assert freed.snapshots and freed.objects and store.room > 2000
    assert await shape(fresh(store, clock)) == expected
    await account.append(messages("more"))
    assert len((await shape(fresh(store, clock))).folders["INBOX"]) == 12


async def test_tidying_a_full_store_cleans_though_it_cannot_compact() -> None:
    clock = ManualClock()
    store = SmallStore(MemoryStore(clock))
    account = await mailboxes(store, clock).open(ACCOUNT)
    for number in range(10):
        await account.append(messages(number))
        await account.keep_snapshot()
        await clock.advance(2 * GRACE)
    await clock.advance(8 * 86_400.0)
    await account.append(messages("last"))
    many = len(await keys(store, "snap"))
    store.room = 10
    with pytest.raises(Full):
        await account.tidy(1)
    assert len(await keys(store, "snap")) < many
    await account.tidy(1)
    assert (await audited(fresh(store, clock))).wrong == ()


@pytest.mark.parametrize("at", range(12))
async def test_a_compaction_that_finds_no_room_at_any_write_leaves_everything_readable(at: int) -> None:
    clock = ManualClock()
    inner = MemoryStore(clock)
    account = await mailboxes(inner, clock).open(ACCOUNT)
    for number in range(10):
        await account.append(messages(number))
    await account.append([Append("Archive", mail("large", 300_000))])
    expected = await shape(account)

    class Filling(SmallStore):
        left = at

        def _check(self, key: str, size: int) -> None:
            if not self.left:
                raise Full("the mail store is full", key=key, lasting=True)
            self.left -= 1

    small = fresh(Filling(inner), clock, at)
    try:
        await small.compact()
    except Full:
        pass
    assert await shape(fresh(inner, clock, 50)) == expected
    again = fresh(inner, clock, 51)
    await again.compact()
    await clock.advance(GRACE + 1)
    await again.compact()
    assert await shape(fresh(inner, clock, 52)) == expected
    wrong = (await audited(fresh(inner, clock, 53))).wrong
    assert wrong == ()


async def test_a_disk_without_room_leaves_no_half_object(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    clock = SystemClock()
    store = FilesStore(tmp_path, clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1))
    before = await everything(store)
    written = os.write
    room = 0

    def write(file: int, data: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = written(file, data[:room])
        room -= done
        return done

    monkeypatch.setattr(files.os, "write", write)
    for room in (0, 1, 100, 250):  # noqa: B007 - counted down by `write`
        with pytest.raises(Full):
            await account.append(messages(2))
        with pytest.raises(Full):
            await account.append([Append("INBOX", mail("large", 300_000))])
        assert await everything(store) == before
        assert not list((tmp_path / ".tmp").iterdir())
    monkeypatch.undo()
    await account.append(messages(2))
    assert len((await shape(fresh(store, clock))).folders["INBOX"]) == 2
    await store.close()


ANSWERS = [(507, "XMinioStorageFull"), (507, "InsufficientStorage"), (403, "QuotaExceeded"),
           (400, "XMinioAdminBucketQuotaExceeded")]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), ANSWERS)
async def test_a_bucket_without_room_is_told_from_one_that_gives_no_clear_answer(status: int, code: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no room</Message></Error>"
        return web.Response(status=status, text=text, content_type="application/xml")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        store = BucketStore(S3Location("bucket", f"http://127.0.0.1:{port}", access_key="a", secret_key="b"))
        for write in (store.create, store.put):
            with pytest.raises(Full) as refused:
                await write("key", b"data")
            assert refused.value.facts["key"] == "key"
    finally:
        await runner.cleanup()


def test_a_client_is_told_that_it_is_not_its_quota_and_a_sender_to_come_again() -> None:
    """RFC 5530 section 3: UNAVAILABLE, not OVERQUOTA."""
    failure = Full("the mail store is full")
    reply = no_for(failure, AppendVerb("INBOX", ()))
    assert (reply.code, reply.status) == (codes.UNAVAILABLE, b"NO")
    assert failure.reply == "452 4.3.1 the mail store is full"
