"""The processes that write to one mailbox: started, killed, stopped, started again by their ids.  Called by tests."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
from collections.abc import Iterator

import msgspec

from tests.live.log.writers import Plan
from tests.servers import S3_ENVIRONMENT, Server
from tests.servers.installed import ROOT


class Crew:
    """Some processes; `plans` are what they are to do in their next lives."""

    def __init__(self, folder: pathlib.Path, plans: list[Plan]) -> None:
        self.folder = folder
        self.plans = plans
        self.lives = [0] * len(plans)
        self._servers: list[Server | None] = [None] * len(plans)

    def start(self, which: int, dies: tuple[str, bool, int] | None = None) -> None:
        """Begin a life of process `which`; it kills itself at the point `dies`."""
        self.lives[which] += 1
        seed = self.plans[which].seed + 1009 * self.lives[which]
        plan = msgspec.structs.replace(self.plans[which], seed=seed, dies=dies)
        command = [sys.executable, "-m", "tests.live.log.writers"]
        server = self._servers[which] = Server(
            f"writers {which}", [*command, msgspec.json.encode(plan).decode()], self.folder / f"{which}.log",
            lambda: True, environment={**S3_ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        server.launch()

    def of(self, which: int) -> Server:
        server = self._servers[which]
        assert server is not None
        return server

    def alive(self, which: int) -> bool:
        server = self._servers[which]
        return server is not None and server.alive

    def wait(self, seconds: float) -> None:
        """Until all have ended by themselves."""
        until = time.monotonic() + seconds
        while any(self.alive(which) for which in range(len(self.plans))):
            assert time.monotonic() < until, f"not done in {seconds} s:\n{self.said()}"
            time.sleep(0.05)

    def said(self) -> str:
        """What the processes have logged in all their lives: with a bug there is a traceback in it."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def kill(self) -> None:
        for server in self._servers:
            if server is not None:
                server.kill()

    def stop(self) -> None:
        """Ask all to finish what they are at, and wait for it."""
        for server in self._servers:
            if server is not None:
                server.stop()


@contextlib.contextmanager
def crew(folder: pathlib.Path, plans: list[Plan]) -> Iterator[Crew]:
    """The processes, not yet started; none outlives the block."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Crew(folder, plans)
    try:
        yield made
    finally:
        made.kill()
