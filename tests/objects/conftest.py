"""The stores that the contract suite runs against: each a fresh one, the real S3 servers included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.ids import SystemDice
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store


def store_url(request: pytest.FixtureRequest) -> str:
    match request.param:
        case "minio":
            return request.getfixturevalue("s3_url")
        case "seaweed":
            return request.getfixturevalue("seaweed_url")
    return request.param


ENGINES = [
    "memory:",
    "file:",
    pytest.param("minio", marks=pytest.mark.live),
    pytest.param("seaweed", marks=pytest.mark.live),
]


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened = open_store(store_url(request), data=tmp_path, clock=SystemClock(), dice=SystemDice())
    yield opened
    await opened.close()
