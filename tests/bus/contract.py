"""What every bus keeps, whatever is under it.  A subclass brings the fixture `engine`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from merpati.bus.api import Bus, Consumed, Record, Subscription
from merpati.errors import Permanent, Temporary
from merpati.events.topics import TopicSpec
from tests.bus.engines import Engine, drain, numbers, record


async def publish(bus: Bus, topic: str, first: int, last: int, keys: int = 7) -> None:
    """Records `first` up to but without `last`, over some keys."""
    await bus.publish([record(topic, n, f"key{n % keys}") for n in range(first, last)])


async def share_until(members: list[Subscription], held: list[int], seconds: float) -> None:
    """Take (and finish) until the members hold so many partitions each."""
    until = time.monotonic() + seconds
    while sorted(len(member.assigned) for member in members) != sorted(held):
        assert time.monotonic() < until, [member.assigned for member in members]
        for member in members:
            await member.done(await member.take(100, 0.05))


class BusContract:
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

    async def test_records_of_one_key_keep_their_order(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        for start in range(0, 200, 50):
            await asyncio.gather(
                *(bus.publish([record(topic, n, f"key{k}") for n in range(start, start + 50)]) for k in range(6))
            )
        by_key: dict[bytes, list[int]] = defaultdict(list)
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            for one in await drain(member, 1200, engine.patience):
                by_key[one.key].append(int(one.value))
        assert {key: got == list(range(200)) for key, got in by_key.items()} == {
            f"key{k}".encode(): True for k in range(6)
        }

    async def test_offsets_rise_by_one_in_each_partition(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 100)
        offsets: dict[int, list[int]] = defaultdict(list)
        async for one in bus.scan(topic):
            offsets[one.partition].append(one.offset)
        assert sum(map(len, offsets.values())) == 100
        assert all(got == list(range(len(got))) for got in offsets.values())

    async def test_a_new_group_begins_at_the_oldest(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 30)
        for group in (engine.unique("group"), engine.unique("group")):
            async with bus.subscribe(group, [topic]) as member:
                assert sorted(numbers(await drain(member, 30, engine.patience))) == list(range(30))

    async def test_what_was_not_done_comes_again_and_what_was_done_does_not(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus, partitions=1), engine.unique("group")
        await publish(bus, topic, 0, 20)
        async with bus.subscribe(group, [topic]) as member:
            taken = await drain(member, 20, engine.patience)
            await member.done(taken[:5])
        other = await engine.open()
        async with other.subscribe(group, [topic]) as member:
            again = await drain(member, 15, engine.patience)
            assert numbers(again) == list(range(5, 20))
            await member.done(again)
        async with bus.subscribe(group, [topic]) as member:
            assert await member.take(10, min(2.0, engine.patience)) == []

    async def test_the_position_never_passes_an_unfinished_record(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus, partitions=1), engine.unique("group")
        await publish(bus, topic, 0, 10)
        async with bus.subscribe(group, [topic]) as member:
            taken = await drain(member, 10, engine.patience)
            await member.done([taken[n] for n in (9, 3, 0, 1, 5)])  # 2 is missing
            assert await bus.lag(group, [topic]) == {(topic, 0): 8}
            await member.done([taken[2]])
            assert await bus.lag(group, [topic]) == {(topic, 0): 6}
        async with bus.subscribe(group, [topic]) as member:
            assert numbers(await drain(member, 6, engine.patience)) == [4, 5, 6, 7, 8, 9]

    async def test_done_twice_and_done_by_a_stranger_change_nothing(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus, partitions=1), engine.unique("group")
        await publish(bus, topic, 0, 4)
        async with bus.subscribe(group, [topic]) as member:
            taken = await drain(member, 4, engine.patience)
            await member.done(taken[:2])
            await member.done(taken[:2])
            await member.done([Consumed("elsewhere", 0, 1, 0.0, b"", b""), Consumed(topic, 99, 1, 0.0, b"", b"")])
            await member.done([])
            assert await bus.lag(group, [topic]) == {(topic, 0): 2}

    async def test_two_members_share_the_partitions_and_get_each_record_once(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        async with bus.subscribe(group, [topic]) as one, other.subscribe(group, [topic]) as two:
            await share_until([one, two], [2, 2], engine.death)
            assert one.assigned.isdisjoint(two.assigned)
            await publish(bus, topic, 0, 200, keys=50)
            first, second = await asyncio.gather(*(drain(member, 200, 2.0) for member in (one, two)))
            assert first and second
            assert sorted(numbers(first) + numbers(second)) == list(range(200))
            assert {(r.topic, r.partition) for r in first} <= one.assigned

    async def test_a_partition_changes_hands_when_its_records_are_finished(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        await publish(bus, topic, 0, 40, keys=40)
        async with bus.subscribe(group, [topic]) as one:
            taken = await drain(one, 40, engine.patience)
            assert len(taken) == 40

            async def finish() -> None:
                await asyncio.sleep(2.0)
                await one.done(taken)

            async with other.subscribe(group, [topic]) as two:
                finishing = asyncio.create_task(finish())
                assert await drain(two, 1, 3.0) == []
                await finishing
                await share_until([one, two], [2, 2], engine.death)

    async def test_a_partition_changes_hands_even_if_its_records_are_never_finished(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        await publish(bus, topic, 0, 40, keys=40)
        async with bus.subscribe(group, [topic]) as one:
            taken = await drain(one, 40, engine.patience)
            async with other.subscribe(group, [topic]) as two:
                again: list[Consumed] = []
                until = time.monotonic() + engine.death
                while len(two.assigned) != 2 or not again:
                    assert time.monotonic() < until
                    again += await two.take(40, 0.2)
                    assert await one.take(40, 0.0) == []
                again += await drain(two, 40, 2.0)
                assert {(r.topic, r.partition) for r in again} == two.assigned
                await one.done(taken)
                lag = await bus.lag(group, [topic])
                assert {lane for lane, count in lag.items() if count} == two.assigned

    async def test_members_that_come_and_go_lose_nothing(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        finished: set[int] = set()

        async def work(member: Subscription, seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until and len(finished) < 300:
                taken = await member.take(7, 0.2)
                finished.update(numbers(taken))
                await member.done(taken)

        async with bus.subscribe(group, [topic]) as stays:
            for start in range(0, 300, 100):
                await publish(bus, topic, start, start + 100)
                async with AsyncExitStack() as comers:
                    members = [await comers.enter_async_context(bus.subscribe(group, [topic])) for _ in range(2)]
                    await asyncio.gather(*(work(member, 1.0) for member in (stays, *members)))
            await work(stays, engine.death)
        assert finished == set(range(300))

    async def test_a_member_that_leaves_hands_over_at_once(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        async with bus.subscribe(group, [topic]) as stays:
            async with other.subscribe(group, [topic]) as leaves:
                await share_until([stays, leaves], [2, 2], engine.death)
                await publish(bus, topic, 0, 40)
                await drain(leaves, 40, 0.5)
            left = time.monotonic()
            taken = await drain(stays, 40, engine.patience)
            assert sorted(set(numbers(taken))) == list(range(40))
            assert len(stays.assigned) == 4
            assert time.monotonic() - left < engine.patience

    async def test_the_partitions_of_a_killed_member_go_to_another(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        await publish(bus, topic, 0, 40)
        async with engine.member(bus, group, topic) as doomed:
            assert sorted(await doomed.took(40)) == list(range(40))
            async with bus.subscribe(group, [topic]) as heir:
                await doomed.kill()
                taken = await drain(heir, 40, engine.death)
                assert sorted(set(numbers(taken))) == list(range(40))
                assert len(heir.assigned) == 4

    async def test_nothing_read_and_not_taken_is_lost_when_a_member_leaves(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus, partitions=1), engine.unique("group")
        await publish(bus, topic, 0, 50)
        async with bus.subscribe(group, [topic]) as member:
            taken = await drain(member, 3, engine.patience, limit=3)
            await member.done(taken)
        async with bus.subscribe(group, [topic]) as member:
            assert numbers(await drain(member, 47, engine.patience)) == list(range(3, 50))

    async def test_take_gives_no_more_than_asked_and_waits_no_longer(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 20)
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            sizes = [len(await member.take(6, engine.patience)) for _ in range(3)]
            assert all(0 < size <= 6 for size in sizes)
            await drain(member, 20 - sum(sizes), engine.patience)
            began = time.monotonic()
            assert await member.take(6, 0.3) == []
            assert 0.25 < time.monotonic() - began < 1.5

    async def test_take_wakes_when_something_is_published(self, engine: Engine) -> None:
        bus, other = await engine.open(), await engine.open()
        topic = await engine.topic(bus)
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            await share_until([member], [4], engine.patience)
            waiting = asyncio.create_task(member.take(10, 10.0))
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await other.publish([record(topic, 1)])
            assert numbers(await waiting) == [1]
            assert time.monotonic() - began < 0.5

    async def test_a_small_buffer_slows_down_and_loses_nothing(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus, partitions=2)
        for start in range(0, 60, 10):
            await bus.publish([record(topic, n, f"key{n % 7}", size=50_000) for n in range(start, start + 10)])
        async with bus.subscribe(engine.unique("group"), [topic], buffer_bytes=200_000) as member:
            got: list[int] = []
            while len(got) < 60:
                taken = await member.take(100, engine.patience)
                assert taken
                assert sum(len(one.value) for one in taken) <= 600_000
                got += numbers(taken)
                await member.done(taken)
        assert sorted(got) == list(range(60))

    async def test_several_topics_in_one_subscription(self, engine: Engine) -> None:
        bus = await engine.open()
        topics = [await engine.topic(bus, partitions=2) for _ in range(3)]
        async with bus.subscribe(engine.unique("group"), topics) as member:
            for n, topic in enumerate(topics):
                await bus.publish([record(topic, n)])
            taken = await drain(member, 3, engine.patience)
            assert {(one.topic, int(one.value)) for one in taken} == {(topic, n) for n, topic in enumerate(topics)}
            assert member.assigned == {(topic, n) for topic in topics for n in range(2)}

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

    async def test_lag_counts_what_a_group_has_not_finished(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus, partitions=2), engine.unique("group")
        assert await bus.lag(group, [topic]) == {(topic, 0): 0, (topic, 1): 0}
        await publish(bus, topic, 0, 40)
        assert sum((await bus.lag(group, [topic])).values()) == 40
        async with bus.subscribe(group, [topic]) as member:
            await member.done(await drain(member, 40, engine.patience))
            assert await bus.lag(group, [topic]) == {(topic, 0): 0, (topic, 1): 0}
            await publish(bus, topic, 40, 45)
            assert sum((await bus.lag(group, [topic])).values()) == 5

    async def test_rewind_sets_a_group_back_to_a_time(self, engine: Engine) -> None:
        bus = await engine.open()
        topic, group = await engine.topic(bus), engine.unique("group")
        await publish(bus, topic, 0, 10)
        await asyncio.sleep(0.05)
        since = time.time()
        await publish(bus, topic, 10, 20)
        async with bus.subscribe(group, [topic]) as member:
            await member.done(await drain(member, 20, engine.patience))
            with pytest.raises(Temporary):
                await bus.rewind(group, topic, since)
        await bus.rewind(group, topic, since)
        async with bus.subscribe(group, [topic]) as member:
            assert sorted(numbers(await drain(member, 10, engine.patience))) == list(range(10, 20))
        await bus.rewind(group, topic, time.time() + 60)
        assert sum((await bus.lag(group, [topic])).values()) == 0
        fresh = engine.unique("group")
        await bus.rewind(fresh, topic, since)
        async with bus.subscribe(fresh, [topic]) as member:
            assert sorted(numbers(await drain(member, 10, engine.patience))) == list(range(10, 20))

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
