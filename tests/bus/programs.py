"""Programs that the tests run as processes of their own: `python programs.py NAME URL DATA OPTIONS ARGUMENT...`.

Each says on its standard output what it did, a line at a time, so that a test can kill it anywhere.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
import time
from pathlib import Path

from merpati.bus.api import Bus, Record
from merpati.bus.open import open_bus
from merpati.clock import SystemClock
from merpati.errors import Unavailable
from merpati.ids import SystemDice
from merpati.telemetry import configure_logging


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


async def hold(bus: Bus, group: str, topic: str) -> None:
    """Take all there is, finish nothing."""
    async with bus.subscribe(group, [topic]) as member:
        say("joined")
        while True:
            if taken := await member.take(1000, 1.0):
                say([int(record.value) for record in taken])


async def work(bus: Bus, group: str, topic: str) -> None:
    """Take, say what was taken, and finish it: so what nobody has said is not finished."""
    async with bus.subscribe(group, [topic]) as member:
        say("joined")
        while True:
            if taken := await member.take(20, 1.0):
                say([int(record.value) for record in taken])
                await member.done(taken)


async def publish(bus: Bus, topic: str, first: str, count: str, tasks: str) -> None:
    """Publish numbers, several at once; say each that was acknowledged.  What is unavailable is tried again."""
    pending = iter(range(int(first), int(first) + int(count)))

    async def one() -> None:
        for n in pending:
            record = Record(topic, f"key{n % 7}".encode(), f"{n}".encode().ljust(8192))
            while True:
                try:
                    await bus.publish([record])
                    break
                except Unavailable:
                    await asyncio.sleep(0.2)
            say(n)

    say("started")
    await asyncio.gather(*(one() for _ in range(int(tasks))))
    say("finished")


async def follow(bus: Bus, topic: str) -> None:
    """Say how many seconds each record took; a record's value is the time at which it was published."""
    async with bus.tail([topic]) as tail:
        say("joined")
        while True:
            taken = await tail.take(100, 60.0)
            say([time.time() - float(record.value) for record in taken])


async def fill(bus: Bus, topic: str) -> None:
    """Publish with no room left for files to grow, then with room again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    n = 0
    try:
        for n in range(1000):
            await bus.publish([Record(topic, b"k", f"{n}".encode().ljust(8192))])
            say(n)
    except Unavailable as failure:
        say({"full": str(failure)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await bus.publish([Record(topic, b"k", b"5000")])
    say(5000)


async def main(name: str, url: str, data: str, options: str, *arguments: str) -> None:
    configure_logging()  # to standard error: what is said stands alone
    bus = open_bus(url, data=Path(data), kafka_options=json.loads(options), clock=SystemClock(), dice=SystemDice())
    await bus.start()
    await {"hold": hold, "work": work, "publish": publish, "follow": follow, "fill": fill}[name](bus, *arguments)  # type: ignore[operator]
    await bus.close()


asyncio.run(main(*sys.argv[1:]))
