"""Every test of a door runs on both event loops; a session that ends in a bug fails its test."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import structlog
import uvloop

from ingest.limits import Limits
from tests.ingest.world import World, world


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def log_lines() -> list[str]:
    """All that was logged."""
    return []


@pytest.fixture(autouse=True)
def bugs(log_lines: list[str]) -> Iterator[list[str]]:
    """Log lines with a traceback; a test that means one to be there empties the list."""
    found: list[str] = []

    def keep(_: object, __: str, line: dict[str, object]) -> dict[str, object]:
        log_lines.append(repr(line))
        if line.get("exc_info"):
            found.append(f"{line} {traceback.format_exc()}")
        raise structlog.DropEvent

    class Asyncio(logging.Handler):
        """What the loop complains of: exceptions that nobody asked for."""

        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    loop_log = Asyncio(logging.ERROR)
    logging.getLogger("asyncio").addHandler(loop_log)
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    try:
        yield found
    finally:
        structlog.configure(processors=before)
        logging.getLogger("asyncio").removeHandler(loop_log)
    assert not found, "\n".join(found)


@pytest.fixture
async def shared_world(tmp_path: Path) -> AsyncIterator[World]:
    """One service for all examples of a property."""
    async with world(tmp_path, limits=Limits(greet_wait=0, max_connections_per_client=10_000)) as here:
        yield here
