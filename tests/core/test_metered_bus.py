"""The metered and the prefixed bus change no answer: they pass the same use, and count or rename beside it."""

from __future__ import annotations

import asyncio

import pytest

from merpati.bus.api import Record
from merpati.bus.memory import MemoryBus
from merpati.bus.metered import LagWatch, MeteredBus
from merpati.bus.prefixed import PrefixedBus
from merpati.clock import SystemClock
from merpati.errors import Permanent
from merpati.events import TopicSpec
from merpati.ids import SeededDice
from merpati.service import running
from merpati.telemetry import Metrics

CLOCK = SystemClock()


async def test_what_is_published_is_counted_and_lag_is_told() -> None:
    metrics = Metrics()
    bus = MeteredBus(MemoryBus(CLOCK, SeededDice(1)), CLOCK, metrics)
    await bus.start()
    await bus.ensure_topics([TopicSpec("t", 2, 60.0)])
    await bus.publish([Record("t", b"k", b"v")] * 3)
    with pytest.raises(Permanent):
        await bus.publish([Record("none", b"k", b"v")])
    async with running(LagWatch(bus, {"g": ("t",)}, CLOCK, metrics)):
        async with asyncio.timeout(5):
            while b'merpati_bus_lag_records{group="g",topic="t"} 3.0' not in metrics.render():
                await asyncio.sleep(0.01)
    text = metrics.render()
    assert b'merpati_bus_published_records_total{topic="t"} 3.0' in text
    assert b'merpati_bus_publish_seconds_count{outcome="failed"} 1.0' in text
    await bus.close()


async def test_two_prefixes_on_one_bus_do_not_see_each_other() -> None:
    inner = MemoryBus(CLOCK, SeededDice(1))
    await inner.start()
    one, two = PrefixedBus(inner, "a."), PrefixedBus(inner, "b.")
    for bus in (one, two):
        await bus.ensure_topics([TopicSpec("t", 1, 60.0)])
    await one.publish([Record("t", b"k", b"one")])
    await two.publish([Record("t", b"k", b"two")])
    async with one.subscribe("g", ["t"]) as subscription:
        records = await subscription.take(10, 5.0)
        assert [(record.topic, record.value) for record in records] == [("t", b"one")]
        assert subscription.assigned == {("t", 0)}
        await subscription.done(records)
    assert await one.lag("g", ["t"]) == {("t", 0): 0}
    assert [record.value async for record in two.scan("t")] == [b"two"]
    async with two.tail(["t"], since=0.0) as tail:
        assert [record.topic for record in await tail.take(10, 5.0)] == ["t"]
    await inner.close()
