"""The bus on Kafka keeps the contract, with a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kafka import TopicPartition

from merpati.bus.api import Lagged
from merpati.bus.kafka import KafkaBus
from tests.bus.contract import BusContract
from tests.bus.engines import UrlEngine, closing, drain, kafka_engine, numbers, record


class TestKafka(BusContract):
    @pytest.fixture
    async def engine(self, kafka_url: str, tmp_path: Path) -> AsyncIterator[UrlEngine]:
        engine = kafka_engine(kafka_url, tmp_path)
        async with closing(engine):
            yield engine

    async def test_a_tail_whose_records_are_gone_is_told_and_goes_on_from_the_end(self, engine: UrlEngine) -> None:
        bus = await engine.open()
        assert isinstance(bus, KafkaBus)
        topic = await engine.topic(bus, partitions=1)
        for n in range(40):
            await bus.publish([record(topic, n, size=200_000)])
        async with bus.tail([topic], since=0.0) as tail:
            await bus._admin._run(lambda client: client.delete_records({TopicPartition(topic, 0): 40}))
            await bus.publish([record(topic, 40)])
            with pytest.raises(Lagged):  # after what had been fetched already
                while True:
                    assert await tail.take(10, 10.0)
            await bus.publish([record(topic, 41)])
            assert numbers(await drain(tail, 1, engine.patience))[-1] == 41
        async with bus.subscribe(engine.unique("group"), [topic]) as member:
            taken = await drain(member, 2, engine.patience)
            assert [(one.offset, int(one.value)) for one in taken] == [(40, 40), (41, 41)]
            await member.done(taken)
        assert await bus.lag("another", [topic]) == {(topic, 0): 2}
