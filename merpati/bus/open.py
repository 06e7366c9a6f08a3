"""Which engine a URL means.  Called where components are built; knows the engines' constructors and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from merpati.bus.api import Bus
from merpati.bus.memory import MemoryBus
from merpati.bus.sqlite import SqliteBus
from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.ids import Dice


def open_bus(url: str, *, data: Path, kafka_options: Mapping[str, str], clock: Clock, dice: Dice) -> Bus:
    """The bus that `url` names, not started: `sqlite:` (in `data`), `kafka://host:port,host:port`, or `memory:`.

    Raises `Misconfigured`.
    """
    if url == "sqlite:":
        return SqliteBus(data / "bus", clock, dice)
    if url == "memory:":
        return MemoryBus(clock, dice)
    if url.startswith("kafka://"):
        # imported here: whoever runs the embedded engine does not pay for two Kafka clients
        from merpati.bus.kafka import KafkaBus, addresses_of

        return KafkaBus(addresses_of(url), kafka_options, clock, dice)
    raise Misconfigured(f"bus.url is not sqlite: or kafka://host:port,host:port but {url}")
