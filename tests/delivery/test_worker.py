"""The remote worker on a memory bus and a world of peers in memory: what is relayed, retried, bounced, how often."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from delivery.remote.schedule import End, Policy
from delivery.remote.targets import Routing, Targets
from delivery.remote.worker import RemoteDelivery
from merpati.bus.api import Record
from merpati.bus.memory import MemoryBus
from merpati.clock import SystemClock
from merpati.events import (
    Body,
    Dead,
    Envelope,
    Happened,
    Outbound,
    Received,
    Recipient,
    What,
    decode,
    encode,
    topic_specs,
)
from merpati.events.topics import TOPICS
from merpati.ids import SeededDice, derived_event_id, digest_of, new_message_id
from merpati.net.dns import StaticResolver
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.delivery.peer import World

TIERS = (("200ms", 0.2), ("400ms", 0.4))
RAW = b"From: a@here.test\r\nSubject: x\r\n\r\nbody\r\n"
CLOCK, DICE = SystemClock(), SeededDice(1)


class Stage:
    """A worker with everything around it."""

    def __init__(self, give_up: float = 60.0) -> None:
        self.bus = MemoryBus(CLOCK, DICE)
        self.store = MemoryStore(CLOCK)
        self.world = World()
        self.policy = Policy(TIERS, warn=30.0, give_up=give_up)

    def worker(self, per_domain: int = 3) -> RemoteDelivery:
        routes = {f"{name}.test": f"127.0.0.{n}:25" for n, name in enumerate(("far", "slow", "down"), 2)}
        targets = Targets(StaticResolver({}, DICE), Routing(routes, "", 25))
        return RemoteDelivery(
            self.bus, self.store, targets, self.world, self.policy, CLOCK, DICE, Metrics(), "mx.here.test",
            sessions_per_domain=per_domain,
        )  # fmt: skip

    async def post(self, *recipients: str, sender: str = "a@here.test", key: str = "", raw: bytes = RAW) -> str:
        message = new_message_id(CLOCK, DICE)
        now = CLOCK.time()
        people = tuple(Recipient(address) for address in recipients)
        event = Outbound(
            id=derived_event_id(message, "out"), message=message, at=now, domain=recipients[0].split("@")[1],
            recipients=people, envelope=Envelope(sender, people), body=Body(len(raw), digest_of(raw), key),
            prefix="Received: by mx.here.test\r\n", accepted_at=now,
        )  # fmt: skip
        await self.bus.publish([encode(event, b"" if key else raw)])
        return message

    async def all_of(self, kind: type) -> list:  # type: ignore[type-arg]
        records = self.bus.scan(TOPICS[kind].name)
        return [event async for event in _events(records) if isinstance(event, kind)]

    async def happened(self, what: What, count: int, patience: float = 10.0) -> list[Happened]:
        async with asyncio.timeout(patience):
            while len(found := [e for e in await self.all_of(Happened) if e.what is what]) < count:
                await asyncio.sleep(0.01)
        return found


async def _events(records):  # type: ignore[no-untyped-def]
    async for record in records:
        yield decode(record)


@contextlib.asynccontextmanager
async def stage(give_up: float = 60.0, per_domain: int = 3) -> AsyncIterator[Stage]:
    made = Stage(give_up)
    await made.bus.start()
    await made.bus.ensure_topics(topic_specs(4, TIERS))
    worker = made.worker(per_domain)
    await worker.start()
    try:
        yield made
    finally:
        await worker.stop(5)
        await made.bus.close()


@pytest.mark.slow
async def test_a_message_is_relayed_with_our_trace_before_its_bytes() -> None:
    async with stage() as s:
        await s.post("b@far.test", "c@far.test")
        found = await s.happened(What.RELAYED, 2)
        assert sorted(event.recipients for event in found) == [("b@far.test",), ("c@far.test",)]
        assert {raw for _, _, raw in s.world.got} == {b"Received: by mx.here.test\r\n" + RAW}


@pytest.mark.slow
async def test_a_large_message_is_streamed_from_the_store() -> None:
    async with stage() as s:
        raw = RAW + b"x" * 3_000_000
        await s.store.put("blobs/k", raw)
        await s.post("b@far.test", key="blobs/k", raw=raw)
        await s.happened(What.RELAYED, 1)
        assert s.world.got[0][2] == b"Received: by mx.here.test\r\n" + raw


@pytest.mark.slow
async def test_a_temporary_refusal_is_tried_again_from_its_tier() -> None:
    async with stage() as s:
        s.world.ends["b@far.test"] = End.LATER
        await s.post("b@far.test", "c@far.test")
        deferred = (await s.happened(What.DEFERRED, 1))[0]
        assert deferred.recipients == ("b@far.test",) and deferred.detail["tier"] == "200ms"
        del s.world.ends["b@far.test"]
        await s.happened(What.RELAYED, 2)
        assert [to for _, to, _ in s.world.got].count("c@far.test") == 1


@pytest.mark.slow
async def test_a_permanent_refusal_bounces_to_the_sender() -> None:
    async with stage() as s:
        s.world.ends["b@far.test"] = End.REFUSED
        await s.post("b@far.test")
        (bounced,) = await s.happened(What.BOUNCED, 1)
        (report,) = await s.all_of(Received)
        assert report.message == bounced.detail["bounce"]
        assert report.envelope.sender == "" and report.envelope.recipients[0].address == "a@here.test"


@pytest.mark.slow
async def test_a_bounce_is_never_bounced() -> None:
    async with stage() as s:
        s.world.ends["b@far.test"] = End.REFUSED
        await s.post("b@far.test", sender="")
        (bounced,) = await s.happened(What.BOUNCED, 1)
        assert "bounce" not in bounced.detail and await s.all_of(Received) == []


@pytest.mark.slow
async def test_what_cannot_be_delivered_in_time_goes_back() -> None:
    async with stage(give_up=0.5) as s:
        s.world.ends["b@far.test"] = End.LATER
        await s.post("b@far.test")
        (bounced,) = await s.happened(What.BOUNCED, 1)
        assert bounced.detail["status"] == "4.4.7" and "451 later" in bounced.detail["reply"]


@pytest.mark.slow
async def test_a_domain_that_hangs_holds_nobody_up() -> None:
    async with stage() as s:
        gate = s.world.hang["127.0.0.3"] = asyncio.Event()
        for _ in range(5):
            await s.post("b@slow.test")
        for _ in range(20):
            await s.post("b@far.test")
        await s.happened(What.RELAYED, 20)
        assert s.world.most["127.0.0.3"] <= 3
        gate.set()
        await s.happened(What.RELAYED, 25)


async def test_a_domain_that_is_down_is_not_tried_for_each_message() -> None:
    async with stage(per_domain=1) as s:
        s.world.down.add("127.0.0.4")
        for _ in range(10):
            await s.post("b@down.test")
        await s.happened(What.DEFERRED, 10)
        assert s.world.connects <= 3


@pytest.mark.slow
async def test_a_restarted_worker_does_not_send_again_what_was_relayed() -> None:
    made = Stage()
    await made.bus.start()
    await made.bus.ensure_topics(topic_specs(1, TIERS))
    gate = made.world.hang["127.0.0.3"] = asyncio.Event()
    await made.post("b@slow.test")  # first in the partition and unfinished: nothing behind it can be acknowledged
    for _ in range(10):
        await made.post("b@far.test")
    first = made.worker()
    await first.start()
    await made.happened(What.RELAYED, 10)
    await first.stop(0.0)
    gate.set()
    second = made.worker()
    await second.start()
    await made.happened(What.RELAYED, 11)
    await asyncio.sleep(0.2)
    await second.stop(5)
    await made.bus.close()
    assert [to for _, to, _ in made.world.got].count("b@far.test") == 10


@pytest.mark.parametrize(
    "record", [Record("mail.outbound", b"far.test", b"junk"), Record("mail.retry.200ms", b"k", b"j")]
)
@pytest.mark.slow
async def test_what_cannot_be_read_is_put_aside_with_its_reason(record: Record) -> None:
    async with stage() as s:
        await s.bus.publish([record])
        await s.post("b@far.test")
        await s.happened(What.RELAYED, 1)
        async with asyncio.timeout(5):
            while not (dead := await s.all_of(Dead)):
                await asyncio.sleep(0.01)
        assert dead[0].topic == record.topic and "no merpati header" in dead[0].reason
