"""The two servers of the demo: separate folders, settings, process groups; started, awaited and ended by pid."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from merpati import settings as settings_module
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.ids import Dice
from merpati.settings import Settings

DOORS = ("mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http")
LOWEST = 10_000
"""The lowest port that is tried."""
START_PATIENCE = 60.0
"""Seconds a server has until it is ready."""


@dataclass(slots=True)
class Server:
    """One installation: its domain, its folder, its ports, its process once it runs."""

    domain: str
    folder: Path
    ports: dict[str, int]
    plugin: str = ""
    routes: dict[str, int] = field(default_factory=dict)
    issuer: str = ""
    process: asyncio.subprocess.Process | None = None

    @property
    def hostname(self) -> str:
        return f"mx.{self.domain}"

    @property
    def config(self) -> Path:
        return self.folder / "merpati.toml"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def write_settings(self) -> Settings:
        """Write the settings file, as an operator would, and read it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(self._toml())
        return settings_module.load(str(self.config), {})

    def _toml(self) -> str:
        at = {door: json.dumps(f"127.0.0.1:{port}") for door, port in self.ports.items()}
        lines = [
            f"hostname = {json.dumps(self.hostname)}",
            'data = "data"',
            "[ingest]",
            *(f"{door} = {at[door]}" for door in ("mx", "submission", "submissions")),
            "[access]",
            *(f"{door} = {at[door]}" for door in ("imap", "imaps", "pop3", "pop3s")),
            "[http]",
            f"listen = {at['http']}",
            "[delivery.routes]",
            *(f'{json.dumps(domain)} = "127.0.0.1:{port}"' for domain, port in self.routes.items()),
        ]
        if self.issuer:
            lines += [
                "[[auth.oauth]]",
                f"issuer = {json.dumps(self.issuer)}",
                f"jwks_url = {json.dumps(self.issuer + '/jwks')}",
                'audience = "merpati"',
                'scope = "mail"',
            ]
        if self.plugin:
            lines += ["[[processors]]", f"use = {json.dumps(self.plugin)}", 'name = "invoices"', 'isolation = "inline"']
        return "\n".join(lines) + "\n"

    async def start(self) -> None:
        """Start `merpati serve` in a process group of its own, its output in `server.log`."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "merpati", "serve", "--config", str(self.config),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    async def wait_until_ready(self, clock: Clock) -> None:
        """Ask /health/ready until it says so.  Raises `Unavailable` with the end of the log if it does not."""
        url = f"http://127.0.0.1:{self.ports['http']}/health/ready"
        until = clock.monotonic() + START_PATIENCE
        async with aiohttp.ClientSession() as session:
            while clock.monotonic() < until and self.process is not None and self.process.returncode is None:
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await clock.sleep(0.05)
        raise Unavailable(f"{self.hostname} did not start", log="\n" + _end_of(self.log))

    async def stop(self) -> None:
        """SIGTERM to the group, SIGKILL after the grace period."""
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(35):
                await process.wait()
        except TimeoutError:
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()


def make_stage(folder: Path, issuer: str, dice: Dice) -> tuple[Server, Server]:
    """sender.test and receiver.test, with free ports; each knows the way to the other."""
    sender = Server("sender.test", folder / "sender", free_ports(dice))
    receiver = Server("receiver.test", folder / "receiver", free_ports(dice), issuer=issuer)
    receiver.plugin = "merpati.cli.demo.plugin:FileInvoices"
    sender.routes["receiver.test"] = receiver.ports["mx"]
    receiver.routes["sender.test"] = sender.ports["mx"]
    return sender, receiver


def free_ports(dice: Dice) -> dict[str, int]:
    """A free loopback port for each door, below those that the system gives to outgoing connections.

    One of those could be taken by anybody between our look and the server's start.
    """
    ports: list[int] = []
    while len(ports) < len(DOORS):
        port = int(dice.uniform(LOWEST, _outgoing_from()))
        if port not in ports and _is_free(port):
            ports.append(port)
    return dict(zip(DOORS, ports, strict=True))


def _outgoing_from() -> int:
    try:
        return max(LOWEST + 2000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except (OSError, ValueError):
        return 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def _end_of(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
