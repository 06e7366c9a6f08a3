"""The bus on Kafka through brokers that die, freeze and come back, and clients that no longer recover by themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from kafka import KafkaConsumer
from kafka.coordinator.base import MemberState

from merpati.bus.api import Bus
from merpati.bus.kafka import KafkaBus, publisher, pump, subscription, tail
from merpati.clock import SystemClock
from merpati.errors import Unavailable
from merpati.ids import SystemDice
from tests.bus.engines import Program, UrlEngine, churn, closing, drain, kafka_engine, numbers, record
from tests.servers.kafka_cluster import Cluster, kafka
from tests.servers.ports import free_port

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kafka(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture
async def engine(cluster: Cluster, tmp_path: Path) -> AsyncIterator[UrlEngine]:
    engine = kafka_engine(cluster.url, tmp_path)
    async with closing(engine):
        yield engine


async def everything(bus: Bus, topic: str) -> list[int]:
    return [int(one.value) async for one in bus.scan(topic)]


async def publish_through(engine: UrlEngine, topic: str, fault: Any) -> list[int]:
    """Publish 3,000 records from another process while `fault` happens; those that were acknowledged."""
    async with Program(engine, "publish", topic, 0, 3000, 20) as program:
        assert await program.line() == "started"
        said = [await program.line() for _ in range(200)]
        happening = asyncio.create_task(fault())
        said += await program.rest()
        await happening
    assert said[-1] == "finished"
    return [n for n in said if isinstance(n, int)]


async def test_a_killed_broker_loses_nothing_and_all_go_on_when_it_is_back(engine: UrlEngine, cluster: Cluster) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)

    async def fault() -> None:
        await asyncio.to_thread(cluster.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(cluster.restart)

    async with bus.subscribe("group", [topic]) as member, bus.tail([topic]) as tailing:
        acknowledged = await publish_through(engine, topic, fault)
        assert sorted(acknowledged) == list(range(3000))
        finished: set[int] = set()
        until = time.monotonic() + 60
        while len(finished) < 3000 and time.monotonic() < until:
            try:
                taken = await member.take(500, 1.0)
            except Unavailable:
                continue
            await member.done(taken)
            finished.update(numbers(taken))
        assert finished == set(range(3000))
        seen: set[int] = set()
        while len(seen) < 3000 and time.monotonic() < until:
            try:
                seen.update(numbers(await tailing.take(500, 1.0)))
            except Unavailable:
                continue
        assert seen == set(range(3000))
    assert set(await everything(bus, topic)) == set(range(3000))
    assert sum((await bus.lag("group", [topic])).values()) == 0


async def test_a_frozen_broker_is_waited_for(engine: UrlEngine, cluster: Cluster) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus)

    async def fault() -> None:
        cluster.pause()
        await asyncio.sleep(8.0)
        cluster.resume()

    async with bus.subscribe("group", [topic]) as member:
        acknowledged = await publish_through(engine, topic, fault)
        assert sorted(acknowledged) == list(range(3000))
        finished = set(numbers(await drain(member, 3000, 30.0)))
        while len(finished) < 3000:
            more = await drain(member, 1, 30.0)
            assert more
            finished.update(numbers(more))


async def test_while_no_broker_answers_publishing_is_unavailable_and_then_works_again(
    engine: UrlEngine, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 3.0)
    bus = await engine.open()
    topic = await engine.topic(bus)
    await bus.publish([record(topic, 1)])
    cluster.pause()
    began = time.monotonic()
    results = await asyncio.gather(*(bus.publish([record(topic, 2)]) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 5
    assert time.monotonic() - began < 6.0
    cluster.resume()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            await bus.publish([record(topic, 3)])
            break
        except Unavailable:
            await asyncio.sleep(0.2)
    assert 3 in await everything(bus, topic)


async def test_without_a_broker_nothing_starts(tmp_path: Path) -> None:
    bus = KafkaBus([f"127.0.0.1:{free_port()}"], {}, SystemClock(), SystemDice())
    with pytest.raises(Unavailable):
        await bus.start()
    await bus.close()


async def test_a_producer_that_lost_its_place_in_the_sequence_is_replaced(engine: UrlEngine) -> None:
    bus = await engine.open()
    topic = await engine.topic(bus, partitions=1)
    await bus.publish([record(topic, 0)])
    assert isinstance(bus, KafkaBus)
    line = bus._publisher._line
    assert line is not None
    # what an unlucky restart of a broker does to it (aiokafka #1017)
    sequence = line.producer._txn_manager._sequence_numbers
    for partition in sequence:
        sequence[partition] += 7
    await asyncio.gather(*(bus.publish([record(topic, n)]) for n in range(1, 20)))
    assert sorted(await everything(bus, topic)) == list(range(20))
    assert bus._publisher._line is not line


async def test_a_producer_that_is_wedged_is_replaced(engine: UrlEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 2.0)
    bus = await engine.open()
    topic = await engine.topic(bus, partitions=1)
    await bus.publish([record(topic, 0)])
    assert isinstance(bus, KafkaBus)
    line = bus._publisher._line
    assert line is not None
    line.producer._sender._muted_partitions.add(next(iter(line.producer._txn_manager._sequence_numbers)))
    with pytest.raises(Unavailable):
        await bus.publish([record(topic, 1)])
    await bus.publish([record(topic, 2)])
    assert 2 in await everything(bus, topic)


async def test_a_consumer_that_stands_still_before_a_growing_log_is_replaced(
    engine: UrlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "WATCH_SECONDS", 0.5)
    bus = await engine.open()
    topic = await engine.topic(bus)
    healthy = KafkaConsumer.poll
    deaf: list[Any] = []

    def poll(consumer: Any, *args: Any, **kwargs: Any) -> Any:
        polled = healthy(consumer, *args, **kwargs)
        if not deaf:
            deaf.append(consumer)
        if consumer is not deaf[0]:
            return polled
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        return {}

    monkeypatch.setattr(KafkaConsumer, "poll", poll)
    async with bus.subscribe(engine.unique("group"), [topic]) as member:
        await bus.publish([record(topic, n) for n in range(20)])
        taken = await drain(member, 20, 30.0)
        assert sorted(numbers(taken)) == list(range(20))
        await member.done(taken)


async def test_a_consumer_that_never_comes_to_rest_in_its_group_is_replaced(
    engine: UrlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "WATCH_SECONDS", 0.5)
    bus = await engine.open()
    topic, group = await engine.topic(bus), engine.unique("group")
    async with bus.subscribe(group, [topic]) as member:
        await bus.publish([record(topic, n) for n in range(20)])
        taken = await drain(member, 20, 20.0)
        # what a poll that ends while SyncGroup is under way leaves behind
        coordinator = member._pump._consumer._coordinator  # type: ignore[attr-defined]
        coordinator.state = MemberState.REBALANCING
        coordinator._disable_heartbeat()
        await asyncio.sleep(5.0)
        again = await drain(member, 20, 20.0)
        assert sorted(numbers(again)) == sorted(numbers(taken))
        await member.done(again)
        assert sum((await bus.lag(group, [topic])).values()) == 0


async def test_a_pump_that_no_longer_turns_is_left_behind(engine: UrlEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "STUCK_SECONDS", 1.0)
    monkeypatch.setattr(subscription, "WATCH_SECONDS", 0.2)
    bus = await engine.open()
    topic = await engine.topic(bus)
    healthy = KafkaConsumer.poll
    stuck: list[Any] = []
    end = threading.Event()

    def poll(consumer: Any, *args: Any, **kwargs: Any) -> Any:
        if not stuck:
            stuck.append(consumer)
        if consumer is stuck[0]:
            end.wait(60)
        return healthy(consumer, *args, **kwargs)

    monkeypatch.setattr(KafkaConsumer, "poll", poll)
    async with bus.subscribe(engine.unique("group"), [topic]) as member:
        await bus.publish([record(topic, n) for n in range(20)])
        taken = await drain(member, 20, 30.0)
        assert sorted(numbers(taken)) == list(range(20))
        await member.done(taken)
    end.set()


async def test_a_tail_that_stands_still_before_a_growing_log_is_replaced(
    engine: UrlEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "WATCH_SECONDS", 0.3)
    bus = await engine.open()
    topic = await engine.topic(bus)
    healthy = AIOKafkaConsumer.getmany
    deaf: list[Any] = []

    async def getmany(consumer: Any, *args: Any, **kwargs: Any) -> Any:
        if not deaf:
            deaf.append(consumer)
        if consumer is deaf[0]:
            await asyncio.sleep(0.1)
            return {}
        return await healthy(consumer, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
    async with bus.tail([topic]) as tailing:
        await bus.publish([record(topic, n) for n in range(20)])
        assert sorted(numbers(await drain(tailing, 20, 30.0))) == list(range(20))


async def test_members_killed_again_and_again_lose_nothing(engine: UrlEngine) -> None:
    topic = await engine.topic(await engine.open(), partitions=6)
    assert await churn(engine, topic, engine.unique("group"), rounds=6, pause=5.0) == set(range(600))


async def replicas(bus: KafkaBus, topic: str) -> int:
    """Once all brokers have heard of the topic: the admin may ask another than who made it."""
    while topic not in (found := await bus._admin.topics()):
        await asyncio.sleep(0.1)
    return found[topic].replicas


async def test_three_brokers_hold_three_copies_and_want_two_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kafka(tmp_path, nodes=3) as three:
        engine = kafka_engine(three.url, tmp_path)
        async with closing(engine):
            bus = await engine.open()
            assert await bus.check() == "Kafka, 3 brokers"
            topic = await engine.topic(bus)
            assert isinstance(bus, KafkaBus)
            assert await replicas(bus, topic) == 3
            await bus.publish([record(topic, n) for n in range(10)])
            three.kill(2)
            await bus.publish([record(topic, n) for n in range(10, 20)])
            monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 5.0)
            three.kill(1)
            with pytest.raises(Unavailable):
                await bus.publish([record(topic, n) for n in range(20, 30)])
            three.restart(1)
            monkeypatch.setattr(publisher, "PUBLISH_SECONDS", 60.0)
            await bus.publish([record(topic, n) for n in range(30, 40)])
            found = set(await everything(bus, topic))
            assert found >= {*range(20), *range(30, 40)}
