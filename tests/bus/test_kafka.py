"""The bus on Kafka keeps the contract, with a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bus.contract import BusContract
from tests.bus.engines import UrlEngine, closing, kafka_engine


class TestKafka(BusContract):
    @pytest.fixture
    async def engine(self, kafka_url: str, tmp_path: Path) -> AsyncIterator[UrlEngine]:
        engine = kafka_engine(kafka_url, tmp_path)
        async with closing(engine):
            yield engine
