"""The one place that builds components from settings.  Services get what is built here; they never see the settings.

`async with Components(settings) as parts` reaches bus and store and gives them back at the end; what a command does not
ask for is not built.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Self

from merpati.auth.authenticator import Authenticator
from merpati.bus.api import Bus
from merpati.bus.open import open_bus
from merpati.bus.prefixed import with_prefix
from merpati.clock import SystemClock
from merpati.directory.log_directory import LogDirectory
from merpati.events import topic_specs
from merpati.ids import SystemDice
from merpati.mailbox.api import Mailboxes
from merpati.net.dns import Resolver
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store
from merpati.settings import Settings, seconds
from merpati.telemetry import Metrics


class Components:
    """What a process is made of."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.clock = SystemClock()
        self.dice = SystemDice()

    async def __aenter__(self) -> Self:
        await self.bus.start()
        await self.bus.ensure_topics(topic_specs(self.settings.bus.partitions, self.tiers))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def tiers(self) -> tuple[tuple[str, float], ...]:
        """The retry tiers: (name, seconds), each once, in order."""
        return tuple((span, seconds(span)) for span in dict.fromkeys(self.settings.delivery.retry))

    @cached_property
    def bus(self) -> Bus:
        wanted = self.settings.bus
        inner = open_bus(
            wanted.url, data=self.settings.data_path, kafka_options=wanted.kafka, clock=self.clock, dice=self.dice
        )
        return with_prefix(inner, wanted.prefix)

    @cached_property
    def store(self) -> ObjectStore:
        return open_store(self.settings.store.url, data=self.settings.data_path, clock=self.clock, dice=self.dice)
