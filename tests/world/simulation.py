"""A seeded world: processes write, read, compact and clean one mailbox over a bad store, and die; then it is judged.

Virtual time, one thread, one source of randomness: the same seed gives the same bytes in the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from merpati.ids import SeededDice
from tests.objects.faulty import Faults
from tests.world.judging import judged
from tests.world.leaving import Register, judged_gone
from tests.world.lives import Lives
from tests.world.missing import Missing
from tests.world.nodes import Node, Surroundings
from tests.world.told import Told
from tests.world.truth import History, Truth
from tests.world.virtual import VirtualClock, run_virtually
from tests.world.wire import Weather, Wire

BAD_DAY = Faults(
    refuse=0.03, lose=0.04, drop=0.02, late=0.02, conflict=0.02, echo=0.02, delay=3.0, latest=20.0, list_lag=60.0
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the world is like."""

    nodes: int = 3
    steps: int = 8
    """Things that each of those who live in it does."""
    faults: Faults = BAD_DAY
    weather: Weather = field(default_factory=Weather)
    stops: float = 0.002
    """How often a process is stopped in the middle of a request."""
    lives: tuple[float, float] = (20.0, 400.0)
    """Requests that a process makes before it dies, at least and at most."""
    jumps: float = 0.0
    """How often a process finds that the machine's clock was set."""
    pace: float = 1.0
    """How many times longer than usual everybody waits between two things."""
    horizon: float = 0.0
    """H, in seconds, after which large bodies that nobody needs are removed; 0: they never are."""
    ends: float = 0.0
    """Seconds after which the account is removed; 0: it is not."""
    cache: bool = False
    """Whether the first two machines are containers of one host, which share the cache on its disk."""
    missing: Missing = field(default_factory=Missing)


KINDS = {
    "bad days": Plan(lives=(20.0, 200.0)),
    "stopped for hours": Plan(stops=0.02),
    "dying all the time": Plan(lives=(8.0, 50.0)),
    "crooked clocks": Plan(jumps=0.5, stops=0.005, lives=(20.0, 150.0), cache=True),
    "two for longer": Plan(nodes=2, steps=20, lives=(50.0, 500.0), cache=True),
    "large bodies": Plan(stops=0.0, steps=14, pace=4.0, horizon=1800.0, lives=(50.0, 500.0)),
    "the account is removed": Plan(stops=0.005, lives=(50.0, 500.0), ends=2000.0),
    "a good day": Plan(faults=Faults(delay=1.0), stops=0.01, steps=12),
}
"""Worlds that differ in what is bad about them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    wrong: list[str]
    digest: str
    """Of all that is in the store at the end."""
    deaths: int
    acked: int
    commits: int
    done: Counter[str]


class World:
    """One run."""

    def __init__(self, seed: int, plan: Plan, cache: Path) -> None:
        self._plan = plan
        self._dice = SeededDice(seed)
        self._clock = VirtualClock()
        self.truth = Truth(self._clock)
        self.told = Told(History(self.truth))
        around = Surroundings(
            truth=self.truth,
            clock=self._clock,
            wire=Wire(self._throw(), plan.weather),
            belated=[],
            believed=self.told.believe,
            faults=plan.faults,
            missing=plan.missing,
            stops=plan.stops,
            lives=plan.lives,
            jumps=plan.jumps,
            horizon=plan.horizon,
        )
        caches = [cache if plan.cache and who < 2 else None for who in range(plan.nodes)]
        self._nodes = [Node(around, seed * 100 + who, caches[who]) for who in range(plan.nodes)]

    async def run(self) -> Ran:
        """Live, then be judged."""
        plan, nodes = self._plan, self._nodes
        lives = Lives(self._clock, self.told, plan.missing, plan.horizon)
        who = [(node, 600.0, lives.write) for node in nodes for _ in range(2)]
        who += [(node, 900.0, lives.read) for node in nodes]
        who += [(node, 900.0, lives.keep) for node in nodes[:2]]
        works = [lives.live(n, self._throw(), plan.steps, pause * plan.pace, step) for n, pause, step in who]
        if plan.ends:
            register = Register(self._clock, self.told, plan.ends)
            works += [register.purged(node) for node in nodes[:2]]
        await asyncio.gather(*works)
        for node in nodes:
            node.end()
        if plan.ends:
            await judged_gone(self.truth, self._clock, self.told, register)
        else:
            await judged(self.truth, self._clock, self.told)
        for node in nodes:
            node.bury()
        sums = sum(node.deaths for node in nodes), len(self.told.acked), len(self.truth.commits)
        return Ran(self.told.wrong, await self._digest(), *sums, self.told.done)

    def _throw(self) -> SeededDice:
        return SeededDice(int.from_bytes(self._dice.bytes(4), "big"))

    async def _digest(self) -> str:
        mix = hashlib.blake2b(digest_size=16)
        async for info in self.truth.list(""):
            mix.update(info.key.encode())
            mix.update(await self.truth.get(info.key))
        return mix.hexdigest()


def run(seed: int, plan: Plan | None = None) -> Ran:
    """Run a world to its end."""

    async def live(cache: str) -> Ran:
        return await World(seed, plan or Plan(), Path(cache)).run()

    with tempfile.TemporaryDirectory(prefix="world") as cache:
        return run_virtually(live(cache))
