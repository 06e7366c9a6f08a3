"""A line on the operator's terminal that tells how far long work has come.  Nothing is written elsewhere.

On standard error, for standard output is for what was asked; gone when the work has ended.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from merpati.cli.common import err
from merpati.clock import Clock
from merpati.telemetry import Metrics

QUIET = 1.0
"""Seconds for which nothing is said: most commands end sooner."""
EVERY = 0.5


@asynccontextmanager
async def progress(says: Callable[[], str], clock: Clock) -> AsyncIterator[None]:
    """For the time of a block, what `says` says."""
    if not sys.stderr.isatty():
        yield
        return
    ticking = asyncio.create_task(_tick(says, clock))
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
        _write("")


def requests_in(metrics: Metrics) -> str:
    """How often the store was asked."""
    samples = (sample for family in metrics.store_seconds.collect() for sample in family.samples)
    count = sum(sample.value for sample in samples if sample.name.endswith("_count"))
    return f"{int(count):,} request{'s' * (count != 1)} to the store"


async def _tick(says: Callable[[], str], clock: Clock) -> None:
    began = clock.monotonic()
    await clock.sleep(QUIET)
    while True:
        _write(f"{clock.monotonic() - began:.0f} s, {says()} …")
        await clock.sleep(EVERY)


def _write(line: str) -> None:
    sys.stderr.write(f"\r\x1b[K{line[: err.width - 1]}")
    sys.stderr.flush()
