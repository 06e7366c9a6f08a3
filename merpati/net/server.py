"""A server of streams: each client gets a `Connection` and a run of the handler.

POP3, IMAP and ManageSieve start here.  It speaks no protocol and writes nothing of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from merpati.net.acceptor import Acceptor, NetEvent, Observe, unobserved
from merpati.net.addresses import Endpoint, Network
from merpati.net.failures import Disconnected, HandshakeFailed, reason_of
from merpati.net.limits import STREAM_LIMITS, ServerLimits, StreamLimits
from merpati.net.streams import Connection

Handler = Callable[[Connection], Awaitable[None]]
"""Serve one client.  When it returns the connection is closed; it may let `Disconnected` through."""


class Server:
    """A listener at work; `serve` makes it."""

    def __init__(
        self,
        handler: Handler,
        tls: Callable[[], ssl.SSLContext] | None,
        streams: StreamLimits,
        observe: Observe,
    ) -> None:
        self._handler = handler
        self._tls = tls
        self._streams = streams
        self._observe = observe
        self._open: set[Connection] = set()
        self._draining = False
        self.acceptor: Acceptor

    @property
    def addresses(self) -> list[Endpoint]:
        """Where it listens, with the ports that the system chose for port 0."""
        return self.acceptor.addresses

    @property
    def port(self) -> int:
        """The port of the first listening socket."""
        return self.acceptor.port

    @property
    def connections(self) -> int:
        """How many are open, those in a handshake included."""
        return self.acceptor.connections

    async def drain(self, seconds: float) -> int:
        """Take nothing new, tell the sessions (see `Draining`), give `seconds`, cancel the rest; how many those were.

        A session that waits between commands ends at once; one that works may finish its command.  Idempotent.
        """
        self._draining = True
        self.acceptor.stop_listening()
        for connection in list(self._open):
            connection.stop()
        return await self.acceptor.drain(seconds)

    async def take(self, client: socket.socket, peer: Endpoint) -> None:
        """Called by the acceptor: TLS if it comes first, then the handler, then the end."""
        connection = await self._connected(client, peer)
        if connection is None:
            return
        self._open.add(connection)
        if self._draining:
            connection.stop()
        try:
            await self._handler(connection)
            connection.close()
            await connection.wait_closed()
        except Disconnected as error:
            if isinstance(error, HandshakeFailed):
                self._observe(NetEvent("handshake-failed", peer, str(error.facts.get("reason", ""))))
            connection.close()
            await connection.wait_closed()
        finally:
            self._open.discard(connection)
            connection.abort()

    async def _connected(self, client: socket.socket, peer: Endpoint) -> Connection | None:
        loop = asyncio.get_running_loop()
        limits = self._streams
        # made here: with TLS uvloop's answer names its own protocol, not ours
        connection = Connection(limits, peer)
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._tls() if self._tls else None,
                ssl_handshake_timeout=limits.handshake if self._tls else None,
                ssl_shutdown_timeout=limits.linger if self._tls else None,
            )
        except OSError as error:
            client.close()
            self._observe(NetEvent("handshake-failed", peer, reason_of(error)))
            return None
        except BaseException:
            client.close()
            raise
        return connection


async def serve(
    listener: Endpoint,
    handler: Handler,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
    limits: ServerLimits = ServerLimits(),
    streams: StreamLimits = STREAM_LIMITS,
    proxy_networks: tuple[Network, ...] = (),
    reuse_port: bool = False,
    refusal: bytes = b"",
    observe: Observe = unobserved,
) -> Server:
    """Listen and run `handler` for each client; TLS from the start if `tls` gives contexts (`ServerTls.context`).

    `refusal` is the protocol's line for a client too many; it is said in clear only.  `proxy_networks` are where a
    PROXY header is expected from.  `observe` hears what happens to connections.  Raises `Misconfigured`.
    """
    server = Server(handler, tls, streams, observe)
    server.acceptor = Acceptor(
        server.take,
        limits=limits,
        proxy_networks=proxy_networks,
        refusal=b"" if tls else refusal,
        observe=observe,
    )
    await server.acceptor.listen(listener, reuse_port=reuse_port)
    return server
