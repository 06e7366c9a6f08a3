"""Local delivery on a memory bus and real mailboxes over a memory store: stored once, batched, returned, put aside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from delivery.local import LocalDelivery
from merpati.bus.api import Record
from merpati.bus.memory import MemoryBus
from merpati.clock import SystemClock
from merpati.errors import Unavailable
from merpati.events import (
    TOPICS,
    Body,
    Dead,
    Envelope,
    Happened,
    Local,
    Received,
    Recipient,
    What,
    decode,
    encode,
    topic_specs,
)
from merpati.ids import AccountId, SeededDice, derived_event_id, digest_of, new_account_id, new_message_id
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics

CLOCK, DICE = SystemClock(), SeededDice(2)
RAW = b"From: a@far.test\r\nSubject: x\r\nX-Spam: yes\r\n\r\nbody\r\n"


class Flaky(MemoryStore):
    """A store that can be away."""

    away = False

    async def create(self, key: str, data: bytes) -> None:
        if self.away:
            raise Unavailable("the store is away")
        await super().create(key, data)


class Stage:
    def __init__(self) -> None:
        self.bus = MemoryBus(CLOCK, DICE)
        self.store = Flaky(CLOCK)
        self.mailboxes = AllMailboxes(self.store, clock=CLOCK, dice=DICE)
        self.bob = new_account_id(DICE)

    async def post(
        self, account: AccountId | None = None, *, raw: bytes = RAW, times: int = 1, **words: object
    ) -> None:
        message = new_message_id(CLOCK, DICE)
        to = Recipient("bob@here.test")
        fields: dict[str, object] = {"body": Body(len(raw), digest_of(raw)), "prefix": "Received: us\r\n", **words}
        event = Local(
            id=derived_event_id(message, "local"), message=message, at=CLOCK.time(), account=account or self.bob,
            recipient=to, envelope=Envelope("a@far.test", (to,)), **fields,
        )  # type: ignore[arg-type]  # fmt: skip
        await self.bus.publish([encode(event, b"" if event.body.key else raw)] * times)

    async def all_of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [event async for record in self.bus.scan(TOPICS[kind].name) if isinstance(event := decode(record), kind)]

    async def happened(self, what: What, count: int) -> list[Happened]:
        async with asyncio.timeout(15):
            while len(found := [one for one in await self.all_of(Happened) if one.what is what]) < count:
                await asyncio.sleep(0.01)
        return found

    async def inbox(self, account: AccountId | None = None, folder: str = "INBOX") -> list[bytes]:
        mailbox = await self.mailboxes.open(account or self.bob)
        view = await mailbox.folder(folder, fresh=True)
        return [await mailbox.body(view.body(row)) for row in range(view.exists)]


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    await made.bus.start()
    await made.bus.ensure_topics(topic_specs(2, ()))
    worker = LocalDelivery(made.bus, made.mailboxes, CLOCK, Metrics(), "mx.here.test")
    await worker.start()
    try:
        yield made
    finally:
        await worker.stop(5)
        await made.mailboxes.close()
        await made.bus.close()


async def test_a_message_is_stored_with_its_return_path_and_trace_before_it() -> None:
    async with stage() as s:
        await s.post()
        (stored,) = await s.happened(What.STORED, 1)
        assert stored.detail == {"folder": "INBOX", "uid": "1"}
        assert await s.inbox() == [b"Return-Path: <a@far.test>\r\nReceived: us\r\n" + RAW]


async def test_what_a_processor_removed_is_not_stored() -> None:
    async with stage() as s:
        start = RAW.index(b"X-Spam")
        await s.post(without=((start, start + len(b"X-Spam: yes\r\n")),))
        await s.happened(What.STORED, 1)
        assert (await s.inbox())[0].endswith(b"Subject: x\r\n\r\nbody\r\n")


async def test_a_record_that_comes_again_is_stored_once() -> None:
    async with stage() as s:
        await s.post(times=5)
        await s.post()
        await s.happened(What.STORED, 6)
        assert len(await s.inbox()) == 2


async def test_a_burst_for_one_account_takes_few_commits() -> None:
    async with stage() as s:
        s.store.away = True
        for _ in range(60):
            await s.post()
        await asyncio.sleep(0.2)
        s.store.away = False
        await s.happened(What.STORED, 60)
        log = [one async for one in s.store.list(f"accounts/{s.bob}/log/")]
        assert len(await s.inbox()) == 60 and len(log) <= 5


async def test_a_store_that_is_away_loses_nothing() -> None:
    async with stage() as s:
        s.store.away = True
        await s.post()
        await asyncio.sleep(0.3)
        assert await s.all_of(Happened) == []
        s.store.away = False
        await s.happened(What.STORED, 1)


async def test_a_large_message_is_referred_to_and_not_copied() -> None:
    async with stage() as s:
        raw = RAW + b"x" * 2_000_000
        await s.store.put("blobs/one", raw)
        await s.post(raw=raw, body=Body(len(raw), digest_of(raw), "blobs/one"))
        await s.happened(What.STORED, 1)
        assert (await s.inbox())[0].endswith(raw)


async def test_over_quota_goes_back_and_the_others_are_stored() -> None:
    async with stage() as s:
        for _ in range(3):
            await s.post(quota=len(RAW) * 2)
        await s.happened(What.STORED, 1)
        (*_, last) = await s.happened(What.BOUNCED, 1)
        assert last.detail["status"] == "5.2.2"
        report = (await s.all_of(Received))[0]
        assert report.envelope.sender == "" and report.envelope.recipients[0].address == "a@far.test"


async def test_a_folder_that_cannot_be_is_no_reason_to_lose_mail() -> None:
    async with stage() as s:
        await s.post(folder="../../etc\x00")
        (stored,) = await s.happened(What.STORED, 1)
        assert len(await s.inbox()) == 1 and stored.detail["folder"] == "INBOX"


async def test_a_folder_is_made_if_it_is_missing() -> None:
    async with stage() as s:
        await s.post(folder="Lists/dev")
        await s.happened(What.STORED, 1)
        assert len(await s.inbox(folder="Lists/dev")) == 1


async def test_junk_and_missing_bodies_are_put_aside_and_hold_nobody_up() -> None:
    async with stage() as s:
        await s.bus.publish([Record("mail.local", b"k", b"junk")])
        await s.post(body=Body(9, digest_of(b""), "blobs/none"))
        await s.post()
        await s.happened(What.STORED, 1)
        async with asyncio.timeout(10):
            while len(dead := await s.all_of(Dead)) < 2:
                await asyncio.sleep(0.01)
        assert {one.topic for one in dead} == {"mail.local"}
