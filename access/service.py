"""The access role: listeners for IMAP and POP3 over the mailboxes, and the tail that tells sessions of changes.

Built by whoever puts the components together; a `merpati.service.Service`.  It keeps nothing of its own: any process
may serve any account, several may share the ports.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial

from access.imap import commands as _commands  # noqa: F401  (fills the table)
from access.imap.context import ImapContext, ImapLimits
from access.imap.session import Session as ImapSession
from access.login import Decider, Door
from access.pop3.context import Pop3Context, Pop3Limits
from access.pop3.session import Session as Pop3Session
from access.standing import Accounts, Guest, Standing
from merpati.bus.api import Bus, Consumed, Lagged, Tail
from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.events import Changed, decode
from merpati.events.codec import Unreadable
from merpati.events.topics import TOPICS
from merpati.mailbox.api import Mailboxes
from merpati.net.acceptor import NetEvent
from merpati.net.addresses import Endpoint, Network, parse_listener
from merpati.net.limits import STREAM_LIMITS, ServerLimits, StreamLimits
from merpati.net.server import Handler, Server, serve
from merpati.net.streams import Connection
from merpati.service import Tasks
from merpati.telemetry import Metrics, logger

LISTENERS = {"imap": False, "imaps": True, "pop3": False, "pop3s": True}
"""Names, and whether TLS comes first (RFC 8314)."""
REFUSALS = {"imap": b"* BYE Too many connections\r\n", "pop3": b"-ERR [SYS/TEMP] too many connections\r\n"}
CHANGES = TOPICS[Changed].name
TAKE = 500
"""Changes taken from the bus at once."""
WITHIN = 30.0
"""Seconds a take waits for the first."""


class AccessService:
    """Mail read.

    `accounts` is the directory.  `listeners` maps names of `LISTENERS` to "address:port"; "" is off, port 0 lets the
    system choose.  `tls_context` is asked at each handshake.  `server_limits` holds for each listener.
    """

    name = "access"

    def __init__(
        self,
        *,
        mailboxes: Mailboxes,
        authenticator: Decider,
        accounts: Accounts,
        bus: Bus,
        clock: Clock,
        metrics: Metrics,
        hostname: str,
        listeners: Mapping[str, str],
        tls_context: Callable[[], ssl.SSLContext] | None = None,
        imap_limits: ImapLimits = ImapLimits(),
        pop3_limits: Pop3Limits = Pop3Limits(),
        server_limits: ServerLimits = ServerLimits(),
        stream_limits: StreamLimits = STREAM_LIMITS,
        proxy_networks: tuple[Network, ...] = (),
        reuse_port: bool = False,
    ) -> None:
        """Raises `Misconfigured`."""
        self._listeners = _chosen(listeners, with_tls=tls_context is not None)
        self._tls = tls_context
        self._bus = bus
        self._mailboxes = mailboxes
        self._metrics = metrics
        self._serve = partial(
            serve, limits=server_limits, streams=stream_limits, proxy_networks=proxy_networks, reuse_port=reuse_port
        )
        self._tasks = Tasks("access", clock, metrics)
        self._log = logger("access")
        self._following = False
        self._servers: dict[str, Server] = {}
        self.ports: dict[str, int] = {}
        """Where each listener is, once started."""
        shared = (tls_context, hostname, clock, metrics)
        self._imap = ImapContext(mailboxes, Door("imap", authenticator, metrics), accounts, *shared, imap_limits)
        self._pop3 = Pop3Context(mailboxes, Door("pop3", authenticator, metrics), *shared, pop3_limits)
        present: dict[str, AbstractSet[Guest]] = {"imap": self._imap.present, "pop3": self._pop3.present}
        self._standing = Standing(accounts, present, clock, metrics)

    async def start(self) -> None:
        """Open the listeners and follow the changes.  Raises `Misconfigured` if a port cannot be had."""
        for name, endpoint in self._listeners.items():
            protocol = name.removesuffix("s")
            self._servers[name] = await self._serve(
                endpoint,
                self._handler(protocol),
                tls=self._tls if LISTENERS[name] else None,
                refusal=REFUSALS[protocol],
                observe=partial(self._observe, name),
            )
            self.ports[name] = self._servers[name].port
        self._tasks.loop("changes", self._follow)
        self._tasks.loop("standing", self._standing.watch)

    def _handler(self, protocol: str) -> Handler:
        async def imap(connection: Connection) -> None:
            await ImapSession(self._imap, connection).run()

        async def pop3(connection: Connection) -> None:
            await Pop3Session(self._pop3, connection).run()

        return imap if protocol == "imap" else pop3

    def _observe(self, name: str, event: NetEvent) -> None:
        if event.what == "closed":
            self._metrics.sessions.labels(name).dec()
            return
        self._metrics.connections.labels(name, event.what).inc()
        if event.what == "accepted":
            self._metrics.sessions.labels(name).inc()

    # Changes that others made

    async def _follow(self) -> None:
        try:
            async with self._bus.tail([CHANGES]) as tail:
                # what was said while nobody listened
                self._mailboxes.missed()
                self._following = True
                while True:
                    await self._feed(tail)
        finally:
            self._following = False

    async def _feed(self, tail: Tail) -> None:
        try:
            records = await tail.take(TAKE, WITHIN)
        except Lagged:
            self._mailboxes.missed()
            return
        for record in records:
            self._feed_one(record)

    def _feed_one(self, record: Consumed) -> None:
        try:
            event = decode(record)
        except Unreadable as failure:
            self._log.warning("a change nobody can read", failure=str(failure), offset=record.offset)
            return
        if isinstance(event, Changed):
            self._mailboxes.feed(event, record.value)

    async def stop(self, grace: float) -> None:
        """Let nobody in, say goodbye to the idle, let commands come to their end within `grace` seconds."""
        servers, self._servers = self._servers, {}
        await asyncio.gather(*(server.drain(grace) for server in servers.values()))
        await self._tasks.cancel()

    def ready(self) -> str:
        """Empty, or why mail cannot be read now."""
        if not self._servers:
            return "not listening"
        return "" if self._following else "not following mailbox.changes"


def _chosen(listeners: Mapping[str, str], *, with_tls: bool) -> dict[str, Endpoint]:
    chosen = {name: endpoint for name, text in listeners.items() if (endpoint := parse_listener(text))}
    for name in chosen:
        if name not in LISTENERS:
            raise Misconfigured(f"access has no listener {name!r}, only {', '.join(LISTENERS)}")
        if LISTENERS[name] and not with_tls:
            raise Misconfigured(f"access.{name} needs a certificate")
    return chosen
