"""A process that runs the stream runner over a pipeline without processors, until it is killed or told to stop.

Started by test_stream.py: `python -m tests.processors.stream_program KAFKA_URL PREFIX`.
"""

import asyncio
import signal
import sys

import uvloop

from merpati.bus.kafka import KafkaBus, addresses_of
from merpati.bus.prefixed import PrefixedBus
from merpati.clock import SystemClock
from merpati.ids import SystemDice
from processors.runners.stream import KafkaPlace, StreamRunner
from tests.processors.site import Site


async def main(url: str, prefix: str) -> None:
    clock = SystemClock()
    site = await Site(clock).open()
    bus = PrefixedBus(KafkaBus(addresses_of(url), {}, clock, SystemDice()), prefix)
    await bus.start()
    place = KafkaPlace(addresses_of(url), {}, prefix)
    runner = StreamRunner(place, "processors", "mail.received", site.working(), bus, clock)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop, 10.0)
    await runner.run()
    await bus.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
