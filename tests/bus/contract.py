"""What every bus keeps, whatever is under it.  A subclass brings the fixture `engine`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import pytest

from merpati.bus.api import Bus, Record
from merpati.errors import Permanent
from merpati.events.topics import TopicSpec
from tests.bus.engines import Engine, drain, numbers, record
from tests.bus.group_contract import GroupContract, publish


class BusContract(GroupContract):
    async def test_what_is_published_comes_whole(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        sent = Record(topic, b"\x00key\xff", bytes(range(256)) * 40, (("merpati", b'{"a": "\xc3\xa9"}'), ("b", b"")))
        before = time.time()
        await bus.publish([sent])
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            (got,) = await drain(member, 1, engine.patience)
        assert (got.topic, got.key, got.value, got.headers) == (topic, sent.key, sent.value, sent.headers)
        assert before - 0.002 <= got.timestamp <= time.time() + 0.002

    @pytest.mark.parametrize(
        ("key", "value", "headers"),
        [
            (b"", b"", ()),
            (b"k", b"\xff\xfe\x00\r\n.\r\n", (("x", b"\x00"),)),
            (b"\x00" * 300, b"{", (("merpati", b"not json"), ("merpati", b"twice"))),
            ("snow\N{SNOWMAN}".encode(), b"", (("na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve", b"v" * 70_000),)),
        ],
    )
    async def test_poison_passes_untouched(
        self, engine: Engine, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await bus.publish([Record(topic, key, value, headers)])
        found = [one async for one in bus.scan(topic)]
        assert [(one.key, one.value, one.headers) for one in found] == [(key, value, headers)]

    async def test_offsets_rise_by_one_in_each_partition(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 100)
        offsets: dict[int, list[int]] = defaultdict(list)
        async for one in bus.scan(topic):
            offsets[one.partition].append(one.offset)
        assert sum(map(len, offsets.values())) == 100
        assert all(got == list(range(len(got))) for got in offsets.values())

    async def test_a_tail_sees_all_that_comes_after_it_was_entered(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 10)
        async with bus.tail([topic]) as one, other.tail([topic]) as two:
            await publish(bus, topic, 10, 30)
            for tail in (one, two):
                assert sorted(numbers(await drain(tail, 20, engine.patience))) == list(range(10, 30))
                assert await tail.take(10, 0.2) == []

    async def test_a_tail_begins_at_a_time(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 10)
        await asyncio.sleep(0.05)
        since = time.time()
        await publish(bus, topic, 10, 20)
        async with bus.tail([topic], since=since) as tail:
            await publish(bus, topic, 20, 30)
            assert sorted(numbers(await drain(tail, 20, engine.patience))) == list(range(10, 30))
        async with bus.tail([topic], since=0.0) as tail:
            assert sorted(numbers(await drain(tail, 30, engine.patience))) == list(range(30))

    async def test_a_scan_reads_by_time_and_key_and_ends(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        times = []
        for start in (0, 10, 20):
            await asyncio.sleep(0.05)
            times.append(time.time())
            await publish(bus, topic, start, start + 10)
        middle = [one async for one in bus.scan(topic, since=times[1], until=times[2])]
        assert sorted(numbers(middle)) == list(range(10, 20))
        later = [one async for one in bus.scan(topic, since=times[2])]
        assert sorted(numbers(later)) == list(range(20, 30))
        of_one_key = [one async for one in bus.scan(topic, key=b"key3")]
        assert numbers(of_one_key) == [3, 10, 17, 24]
        assert len({one.partition for one in of_one_key}) == 1
        assert [one async for one in bus.scan(topic, key=b"nobody")] == []
        assert [one async for one in bus.scan(topic, since=time.time() + 60)] == []

    async def test_a_scan_stops_where_the_log_ended_when_it_began(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus, partitions=1)
        await publish(bus, topic, 0, 5)
        got = []
        async for one in bus.scan(topic):
            got.append(int(one.value))
            await bus.publish([record(topic, 100)])
        assert got == [0, 1, 2, 3, 4]

    async def test_a_record_that_is_too_large_is_refused_for_good_and_its_neighbours_with_it(
        self, engine: Engine
    ) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus, max_record=100_000)
        with pytest.raises(Permanent):
            await bus.publish([record(topic, 1), record(topic, 2, size=100_001)])
        assert [one async for one in bus.scan(topic)] == []
        fits = Record(topic, b"key", b"v" * 99_990, (("h", b"123456"),))
        await bus.publish([fits])
        assert [one.value async for one in bus.scan(topic)] == [fits.value]
        with pytest.raises(Permanent):
            await bus.publish([Record(topic, b"key", b"v" * 99_990, (("h", b"1234567"),))])

    async def test_a_record_of_a_mebibyte_passes(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        large = Record(topic, b"", b"\x01" * (1 << 20))
        await bus.publish([record(topic, 1), large, record(topic, 2)])
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            got = await drain(member, 3, engine.patience)
        assert {len(one.value) for one in got} == {1, 1 << 20}

    async def test_a_topic_that_is_not_there_is_refused_for_good(self, engine: Engine) -> None:
        bus = await engine.open()
        there = await engine.topic(bus)
        with pytest.raises(Permanent):
            await bus.publish([record(there, 1), record("nowhere", 1)])
        assert [one async for one in bus.scan(there)] == []
        with pytest.raises(Permanent):
            async with bus.subscribe(engine.unique("group"), ["nowhere"]):
                pass
        with pytest.raises(Permanent):
            async with bus.tail(["nowhere"]):
                pass
        with pytest.raises(Permanent):
            [one async for one in bus.scan("nowhere")]
        with pytest.raises(Permanent):
            await bus.lag("group", ["nowhere"])

    async def test_topics_are_made_once_and_brought_into_line(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic = await engine.topic(bus, partitions=3, max_record=1000)
        await other.ensure_topics([TopicSpec(topic, 5, 60.0, 3000)])
        await bus.ensure_topics([TopicSpec(topic, 5, 60.0, 3000)])
        await bus.publish([record(topic, 1, size=2500)])
        with pytest.raises(Permanent):
            await bus.publish([record(topic, 1, size=3500)])
        assert len(await bus.lag("nobody", [topic])) == 3  # partitions stay: they decide the order

    async def test_many_publishers_at_once_lose_and_double_nothing(self, engine: Engine) -> None:
        buses = [await engine.open() for _ in range(3)]
        topic = await engine.topic(buses[0])

        async def one(bus: Bus, start: int) -> None:
            for n in range(start, start + 10):
                await bus.publish([record(topic, n)])

        await asyncio.gather(*(one(buses[k % 3], k * 10) for k in range(30)))
        assert sorted([int(found.value) async for found in buses[0].scan(topic)]) == list(range(300))

    async def test_an_empty_publish_is_done(self, engine: Engine) -> None:
        bus = await engine.open()
        await bus.publish([])

    async def test_check_says_what_it_is(self, engine: Engine) -> None:
        bus = await engine.open()
        assert engine.name in (await bus.check()).lower()
