"""The ingest role: listeners for SMTP, submission and LMTP over one intake.

Built by whoever puts the components together; a `merpati.service.Service`.  Several processes may share its ports.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from ingest.carrier import LINGER, LMTP
from ingest.commits import GroupCommit
from ingest.crowd import Crowd
from ingest.doors import DOORS, Door
from ingest.edge import AcceptAll
from ingest.house import Decider, House
from ingest.intake import Intake
from ingest.limits import Limits
from ingest.reception import Reception
from ingest.security import Guarded
from ingest.transaction import Exchange
from merpati.bus.api import Bus
from merpati.clock import Clock
from merpati.directory.api import Directory
from merpati.errors import Misconfigured
from merpati.ids import Dice
from merpati.net.acceptor import Acceptor, NetEvent
from merpati.net.addresses import Endpoint, Network, parse_listener
from merpati.net.limits import ServerLimits
from merpati.objects.api import ObjectStore
from merpati.plugins.edge import EdgePipeline
from merpati.service import Tasks
from merpati.telemetry import Metrics

TICK = 1.0
"""Seconds between two looks at who has taken too long."""
DRAIN_TICK = 0.05
FAREWELL = 1.0
"""Seconds that clients have to go once all has been said to them and the service stops."""
TOO_MANY = b"421 4.7.0 too many connections\r\n"


class SmtpSession(Guarded, Exchange):
    """SMTP, for other servers or for users."""


class LmtpSession(Guarded, Exchange, LMTP):
    """LMTP (RFC 2033)."""


class IngestService:
    """Mail in.

    `listeners` maps names of `DOORS` to "address:port"; "" is off, port 0 lets the system choose.  Without
    `authenticator` nobody can log in.  `tls_context` is asked at each handshake, `reverse` for the verified name of
    each client (`ReverseNames` is one).  Large messages wait in `spool_folder`, the system's folder for temporary files
    by default.  From `proxy_networks` a PROXY header is expected.
    """

    name = "ingest"

    def __init__(
        self,
        *,
        bus: Bus,
        store: ObjectStore,
        directory: Directory,
        clock: Clock,
        dice: Dice,
        metrics: Metrics,
        hostname: str,
        listeners: Mapping[str, str],
        authenticator: Decider | None = None,
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        edge: EdgePipeline = AcceptAll(),
        reverse: Callable[[str], Awaitable[str]] | None = None,
        limits: Limits = Limits(),
        spool_folder: str | None = None,
        reuse_port: bool = False,
        proxy_networks: tuple[Network, ...] = (),
    ) -> None:
        """Raises `Misconfigured`."""
        self._bus = bus
        self._clock = clock
        self._reuse_port = reuse_port
        self._proxy_networks = proxy_networks
        self._crowd = Crowd()
        self._commits = GroupCommit(bus, clock, limits.commit_timeout)
        self._tasks = Tasks("ingest", clock, metrics)
        self._house = House(
            hostname, clock, limits, self._crowd, metrics, directory, authenticator, tls_context, spool_folder, reverse
        )
        self._listeners = {name: endpoint for name, text in listeners.items() if (endpoint := parse_listener(text))}
        intake = Intake(self._house, dice, self._commits, store, edge)
        self._receptions = {
            name: Reception(_door(name, tls_context), directory, intake, edge) for name in self._listeners
        }
        self._acceptors: dict[str, Acceptor] = {}
        self.ports: dict[str, int] = {}
        """Where each listener is, once started."""

    async def start(self) -> None:
        """Open the listeners.  Raises `Misconfigured` if a port cannot be had."""
        for name, endpoint in self._listeners.items():
            self._acceptors[name] = await self._open(DOORS[name], endpoint)
            self.ports[name] = self._acceptors[name].port
        self._tasks.loop("time", self._keep_time)

    async def _open(self, door: Door, endpoint: Endpoint) -> Acceptor:
        loop = asyncio.get_running_loop()
        make = LmtpSession if door.lmtp else SmtpSession
        pattern = make(self._receptions[door.name], door, self._house)

        async def take(client: socket.socket, peer: Endpoint) -> None:
            session = pattern.fresh()
            try:
                await loop.connect_accepted_socket(lambda: session, client, **self._tls_of(door))
            except OSError:
                client.close()
                self._observe(door.name, NetEvent("handshake-failed", peer))
                return
            except BaseException:
                client.close()
                raise
            await session.serve_client(peer)

        limits = self._house.limits
        acceptor = Acceptor(
            take,
            limits=ServerLimits(
                max_connections=limits.max_connections, max_per_client=limits.max_connections_per_client
            ),
            proxy_networks=self._proxy_networks,
            refusal=b"" if door.implicit_tls else TOO_MANY,
            observe=partial(self._observe, door.name),
        )
        await acceptor.listen(endpoint, reuse_port=self._reuse_port)
        return acceptor

    def _tls_of(self, door: Door) -> dict[str, Any]:
        """What a connection to this door begins with: TLS, or nothing."""
        house = self._house
        if not door.implicit_tls or house.tls_context is None:
            return {}
        return {
            "ssl": house.tls_context(),
            "ssl_handshake_timeout": house.limits.handshake_timeout,
            "ssl_shutdown_timeout": LINGER,
        }

    def _observe(self, door: str, event: NetEvent) -> None:
        metrics = self._house.metrics
        if event.what == "closed":
            metrics.sessions.labels(door).dec()
            return
        metrics.connections.labels(door, event.what).inc()
        if event.what == "accepted":
            metrics.sessions.labels(door).inc()

    async def _keep_time(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            self._crowd.expire(self._clock.monotonic())
            self._commits.expire()
            if self._commits.trouble:
                await self._bus.check()
                self._commits.trouble = ""

    async def stop(self, grace: float) -> None:
        """Let nobody in, send the idle away, let messages that have begun come to their end within `grace` seconds."""
        acceptors, self._acceptors = self._acceptors, {}
        for acceptor in acceptors.values():
            acceptor.stop_listening()
        self._crowd.close()
        until = self._clock.monotonic() + grace
        while self._crowd.busy and self._clock.monotonic() < until:
            await self._clock.sleep(DRAIN_TICK)
        await asyncio.gather(*(acceptor.drain(FAREWELL) for acceptor in acceptors.values()))
        await self._tasks.cancel()
        await self._commits.close(FAREWELL)

    def ready(self) -> str:
        """Empty, or why mail cannot be taken now."""
        if not self._acceptors:
            return "not listening"
        return self._commits.trouble


def _door(name: str, tls_context: Callable[[], ssl.SSLContext] | None) -> Door:
    door = DOORS.get(name)
    if door is None:
        raise Misconfigured(f"ingest has no listener {name!r}, only {', '.join(DOORS)}")
    if door.implicit_tls and tls_context is None:
        raise Misconfigured(f"ingest.{name} needs a certificate")
    return door
