"""The bus between the nodes, as far as mailboxes are concerned: pushes get lost, late, doubled and out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from merpati.errors import Unavailable
from merpati.events import Changed
from merpati.ids import SeededDice

Push = tuple[Changed, bytes]
Ear = Callable[[Push], float]
"""Takes a push; or says for how many seconds it cannot."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How often (0 to 1) a push meets with what."""

    away: float = 0.05
    lost: float = 0.15
    doubled: float = 0.15
    late: float = 0.05
    soon: float = 15.0
    """Seconds that a push takes, at most."""
    latest: float = 9000.0
    """Seconds that a late one takes, at most."""


class Wire:
    """Everybody hears of everybody's commits, more or less."""

    def __init__(self, dice: SeededDice, weather: Weather) -> None:
        self._dice = dice
        self._weather = weather
        self._loop = asyncio.get_running_loop()
        self.ears: list[Ear] = []

    async def publish(self, speaker: Ear, pushes: Sequence[Push]) -> None:
        """As `Publisher`, for the node whose ear it is."""
        if self._happens(self._weather.away):
            raise Unavailable("the bus is away")
        for push in pushes:
            for ear in self.ears:
                if ear is not speaker and not self._happens(self._weather.lost):
                    for _ in range(1 + self._happens(self._weather.doubled)):
                        self._loop.call_later(self._delay(), self._arrive, ear, push)

    def _delay(self) -> float:
        return self._dice.uniform(
            0.0, self._weather.latest if self._happens(self._weather.late) else self._weather.soon
        )

    def _arrive(self, ear: Ear, push: Push) -> None:
        wait = ear(push)
        if wait > 0:
            self._loop.call_later(wait, self._arrive, ear, push)

    def _happens(self, chance: float) -> bool:
        return self._dice.uniform(0.0, 1.0) < chance
