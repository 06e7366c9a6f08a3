"""What every bus keeps for the members of a group.  Mixed into `contract.BusContract`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from merpati.bus.api import Bus, Consumed, Subscription
from merpati.errors import Temporary
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


class GroupContract:
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

    async def test_a_new_group_begins_at_the_oldest(self, engine: Engine) -> None:
        bus = await engine.open()
        topic = await engine.topic(bus)
        await publish(bus, topic, 0, 30)
        for group in (engine.unique("group"), engine.unique("group")):
            async with bus.subscribe(group, [topic]) as member:
                assert sorted(numbers(await drain(member, 30, engine.patience))) == list(range(30))

    @pytest.mark.slow
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

    @pytest.mark.slow
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

    @pytest.mark.slow
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

    @pytest.mark.slow
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

    @pytest.mark.slow
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

    @pytest.mark.slow
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
