"""Writers, keeper and store of a mailbox are killed and stopped in the middle: nothing is lost or doubled.

Beside the writers a process takes snapshots, compacts, truncates and cleans, with a grace period of seconds: a process
that is stopped for longer than that wakes to a log whose numbers have been deleted under it.
"""

from __future__ import annotations

import asyncio
import pathlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from merpati.ids import AccountId, SystemDice, new_account_id
from tests.live.log.crew import Crew, crew
from tests.live.log.judge import ledgers, wrong_in_log, wrong_in_mailbox
from tests.live.log.raw import BucketObjects, raw_log
from tests.live.log.writers import Plan
from tests.servers import S3_ENVIRONMENT, ObjectStoreServer, minio, seaweedfs
from tests.servers.object_stores import client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PROCESSES, EACH = 3, 3
TENDER = PROCESSES
GRACE = 4.0
"""Seconds: twice what a store that tells whole seconds may be wrong by, and more."""
PATIENCE = 3.0
POINTS = [("create", True), ("create", False), ("put", True), ("put", False), ("delete", True), ("delete", False)]
"""Where a process may kill itself: before and after each kind of write.  The last four are the tender's."""


@dataclass(frozen=True)
class Scene:
    """A store of its own, and the processes on it."""

    server: ObjectStoreServer
    url: str
    who: AccountId
    crew: Crew

    @property
    def objects(self) -> BucketObjects:
        return BucketObjects(client(self.server.endpoint), self.url.removeprefix("s3://").partition("?")[0])


@pytest.fixture(params=[minio, seaweedfs], ids=["minio", "seaweed"])
def scene(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with request.param(tmp_path) as server:
        url, who, folder = server.bucket_url(), new_account_id(SystemDice()), str(tmp_path / "crew")
        words = {"grace": GRACE, "patience": PATIENCE}
        plans = [
            Plan(url, who, folder, tuple(f"w{each}x{writer}" for writer in range(EACH)), seed=each, **words)
            for each in range(PROCESSES)
        ]
        plans.append(Plan(url, who, folder, tends=True, seed=99, node="tender", **words))
        with crew(tmp_path / "crew", plans) as running:
            yield Scene(server, url, who, running)


class Fate:
    """What happens to whom, by a seed."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._dice = random.Random(seed)
        self.done: Counter[str] = Counter()

    def start(self, which: int, *, mortal: bool = True) -> None:
        operation, before = self._dice.choice(POINTS[:2] if which < TENDER else POINTS)
        dies = (operation, before, self._dice.randint(5, 60)) if mortal else None
        self._scene.crew.start(which, dies)

    def revive(self) -> None:
        for which in range(PROCESSES + 1):
            if not self._scene.crew.alive(which):
                self.done["died at a point"] += 1
                self.start(which)

    def happen(self) -> None:
        acts: list[Callable[[], None]] = [self.kill_process, self.stop_process, self.kill_store, self.pause_store]
        act = self._dice.choices(acts, weights=(5, 2, 2, 2))[0]
        self.done[act.__name__] += 1
        act()

    def kill_process(self) -> None:
        which = self._dice.randrange(PROCESSES + 1)
        self._scene.crew.of(which).kill()
        self.start(which)

    def stop_process(self) -> None:
        """For longer than the grace period: what it knew is gone when it wakes."""
        process = self._scene.crew.of(self._dice.randrange(PROCESSES))
        process.pause()
        time.sleep(GRACE + 1)
        process.resume()

    def kill_store(self) -> None:
        self._scene.server.kill()
        time.sleep(self._dice.uniform(0.0, PATIENCE))
        self._scene.server.restart()

    def pause_store(self) -> None:
        self._scene.server.pause()
        time.sleep(PATIENCE + 1)
        self._scene.server.resume()


def test_whatever_is_killed_or_stopped_nothing_acknowledged_is_lost(scene: Scene, tmp_path: pathlib.Path) -> None:
    fate = Fate(scene, 20)
    for which in range(PROCESSES + 1):
        fate.start(which)
    until = time.monotonic() + 40
    for act in (fate.kill_store, fate.pause_store, fate.stop_process, fate.kill_process):
        act()  # each at least once, whatever the seed says
        time.sleep(1)
    while time.monotonic() < until:
        time.sleep(0.5)
        fate.revive()
        fate.happen()
    fate.revive()
    scene.crew.stop()
    for which in range(PROCESSES + 1):  # what was left unanswered is asked for again; and then it is still
        fate.start(which, mortal=False)
    time.sleep(GRACE + 2)
    scene.crew.stop()
    assert "Traceback" not in scene.crew.said()
    told = ledgers(tmp_path / "crew")
    log = raw_log(scene.objects, f"accounts/{scene.who}")
    tended = (tmp_path / "crew" / "tended").read_text()
    made = {name: len(ledger.appended) + len(ledger.counted) for name, ledger in told.items()}
    deleted = sum(int(line.split(" ")[3]) for line in tended.splitlines() if line.startswith("compacted"))
    print(f"{dict(fate.done)}, lives {scene.crew.lives}, {sum(made.values())} acknowledged, "
          f"{log.commits[-1].number - 1} commits, {deleted} truncated, {log.objects} left")  # fmt: skip
    assert wrong_in_log(log, told) == []
    assert asyncio.run(wrong_in_mailbox(scene.url, tmp_path, scene.who, told)) == []
    assert set(made) == {f"w{each}x{writer}" for each in range(PROCESSES) for writer in range(EACH)}
    assert min(made.values()) > 0
    # the kills were in the middle of something: commits were deleted under the writers, and not only once
    assert deleted > 0 and log.objects < len(log.commits)
    assert fate.done["died at a point"] > 0
