"""The stream runner while its broker is killed, frozen, or not there yet: it waits, says so, goes on, loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from merpati.errors import Temporary
from merpati.events import encode
from tests.processors.site import RAW
from tests.processors.test_stream import Lane, running
from tests.servers.kafka_cluster import Cluster, kafka

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("kafka")
    with kafka(folder) as cluster:
        yield cluster


@pytest.fixture
async def lane(cluster: Cluster, unique: str) -> AsyncIterator[Lane]:
    lane = await Lane(cluster.url, unique).open()
    yield lane
    await lane.bus.close()


async def send(lane: Lane, n: int) -> set[str]:
    """As `lane.send`, however often the bus must be asked."""
    events = [lane.site.received() for _ in range(n)]
    for _ in range(200):
        try:
            await lane.bus.publish([encode(event, RAW) for event in events])
            return {event.message for event in events}
        except Temporary:
            await asyncio.sleep(0.5)
    raise TimeoutError


async def test_a_killed_broker_loses_nothing_and_the_runner_goes_on_when_it_is_back(
    lane: Lane, cluster: Cluster
) -> None:
    sent = await send(lane, 200)
    async with running(lane.runner()):
        await lane.until_stored(sent)
        for _ in range(5):
            sent |= await send(lane, 100)
        await asyncio.to_thread(cluster.kill)
        await asyncio.sleep(3)
        await asyncio.to_thread(cluster.restart)
        sent |= await send(lane, 100)
        stored = await lane.until_stored(sent, 120)
    assert sum(stored.values()) < 2 * len(sent)


async def test_a_frozen_broker_loses_nothing(lane: Lane, cluster: Cluster) -> None:
    sent = await send(lane, 100)
    async with running(lane.runner()):
        await lane.until_stored(sent)
        sent |= await send(lane, 200)
        cluster.pause()
        await asyncio.sleep(20)
        cluster.resume()
        sent |= await send(lane, 100)
        await lane.until_stored(sent, 120)


async def test_a_runner_that_starts_before_its_broker_waits_for_it(lane: Lane, cluster: Cluster) -> None:
    sent = await send(lane, 20)
    await asyncio.to_thread(cluster.kill)
    runner = lane.runner()
    async with running(runner):
        await asyncio.sleep(5)
        assert runner.trouble
        await asyncio.to_thread(cluster.restart)
        await lane.until_stored(sent, 120)
        assert runner.trouble == ""
