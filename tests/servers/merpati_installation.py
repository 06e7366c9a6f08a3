"""Merpati itself as a server for the tests: its settings, its users, and `merpati serve` in one process or one a role.

Everything goes through the command line, as an operator's would.  Used by the live tests and by the benchmarks.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.servers.ports import free_port
from tests.servers.process import Server

DOORS = ("mx", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s")
ROLES = ("ingest", "processors", "delivery", "access")
PASSWORD = "correct-horse-7"


@dataclass
class Installation:
    """One installation.  `groups` are the roles of each process: `(ROLES,)` is one process for all."""

    folder: pathlib.Path
    domain: str = "here.test"
    bus: str = "sqlite:"
    store: str = "file:"
    prefix: str = ""
    groups: Sequence[Sequence[str]] = (ROLES,)
    sections: Mapping[str, object] = field(default_factory=dict)
    """Settings over ours, as `{"delivery.retry": ["1s"], "processors": [{…}]}`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)

    def prepare(self, users: Sequence[str] = ("alice", "bob")) -> None:
        """Write the settings, make the domain and its users; all have PASSWORD."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {door: free_port() for door in DOORS}
        self.config.write_text(self._toml())
        self.command("domain", "add", self.domain)
        for user in users:
            self.add_user(user)

    def add_user(self, user: str) -> None:
        self.command("account", "add", f"{user}@{self.domain}", given=PASSWORD + "\n")

    @property
    def config(self) -> pathlib.Path:
        return self.folder / "merpati.toml"

    @property
    def certificate(self) -> pathlib.Path:
        """The self-signed certificate that clients trust."""
        return self.folder / "data" / "tls" / "self-signed.crt"

    @property
    def pids(self) -> list[int]:
        return [server.pid for server in self.servers.values() if server.alive]

    def _toml(self) -> str:
        lines = [f'hostname = "mx.{self.domain}"', 'data = "data"']
        settings: dict[str, object] = {
            "bus.url": self.bus,
            "bus.prefix": self.prefix,
            "store.url": self.store,
            **{f"ingest.{door}": f"127.0.0.1:{self.ports[door]}" for door in DOORS[:4]},
            **{f"access.{door}": f"127.0.0.1:{self.ports[door]}" for door in DOORS[4:]},
            "ingest.max_connections_per_client": 2000,
            "access.max_connections_per_client": 10_000,
            **self.sections,
        }
        tables: dict[str, list[str]] = {}
        lists: list[str] = []
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            if isinstance(value, list) and value and isinstance(value[0], dict):
                for entry in value:
                    lists += [f"[[{key}]]", *(f"{word} = {_toml_value(item)}" for word, item in entry.items())]
            elif not section:
                lines.append(f"{name} = {_toml_value(value)}")
            else:
                tables.setdefault(section, []).append(f"{name} = {_toml_value(value)}")
        for section, body in tables.items():
            lines += [f"[{section}]", *body]
        return "\n".join([*lines, *lists]) + "\n"

    def command(self, *words: str, given: str = "", expect: int = 0) -> str:
        """Run `merpati words…` on this installation's settings; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "merpati", *words, "--config", os.fspath(self.config)],
            input=given, capture_output=True, text=True, timeout=60, env={**os.environ, **self.environment},
        )  # fmt: skip
        if done.returncode != expect:
            raise RuntimeError(f"merpati {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def command_json(self, *words: str) -> object:
        return json.loads(self.command(*words, "--json"))

    def start(self) -> None:
        """Start every process and wait until each is ready."""
        for at, roles in enumerate(self.groups):
            name = "+".join(roles) + (f"#{at}" if list(self.groups).count(roles) > 1 else "")
            port = free_port()
            self.servers[name] = Server(
                f"merpati {name}",
                [sys.executable, "-m", "merpati", "serve", "--roles", ",".join(roles), "--config", self.config],
                self.folder / f"{name}.log",
                _ready_at(port),
                environment={**self.environment, "MERPATI_HTTP__LISTEN": f"127.0.0.1:{port}"},
            )
            self.ports[f"http {name}"] = port
        for server in self.servers.values():
            server.launch()
        for server in self.servers.values():
            server.wait_ready()

    def of(self, role: str) -> Server:
        """The (first) process that has a role."""
        return next(server for name, server in self.servers.items() if role in name.split("#")[0].split("+"))

    def metrics(self, role: str) -> str:
        port = next(port for name, port in self.ports.items() if name.startswith("http ") and role in name)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def stop(self) -> None:
        for server in reversed(self.servers.values()):
            server.stop()

    def logs(self) -> str:
        """All that the processes have said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def _ready_at(port: int):
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False

    return ready


def _toml_value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml_value(item)}" for name, item in value.items()) + "}"
    return json.dumps(value)


@contextlib.contextmanager
def merpati(folder: pathlib.Path, users: Sequence[str] = ("alice", "bob"), **words) -> Iterator[Installation]:
    """An installation that runs, for the length of a block."""
    made = Installation(folder, **words)
    try:
        made.prepare(users)
        made.start()
        yield made
    finally:
        made.stop()
