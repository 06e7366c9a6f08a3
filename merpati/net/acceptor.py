"""Taking connections: listening sockets, how many and from whom, the PROXY header, and the drain at the end.

`server` puts streams on it; a server that brings its own asyncio protocol (SMTP) uses it bare: `take` gets a connected
socket and returns when that connection is over.  It reads no byte of any mail protocol and speaks at most one line, the
refusal of a client too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from merpati.errors import Misconfigured
from merpati.net.addresses import Endpoint, Network, client_network, is_within, plain_ip
from merpati.net.limits import ServerLimits
from merpati.net.proxy import ProxyError, ProxyHeader, ProxyParser
from merpati.telemetry import logger

AT_ONCE = 64
"""Connections taken before other tasks get a turn."""
STARVED_PAUSE = 1.0
"""Seconds without accepting after the system ran out of file descriptors or memory."""
STARVED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
CANCELLED_WITHIN = 5.0
"""Seconds in which a cancelled session must end."""


class NetEvent(msgspec.Struct, frozen=True):
    """What happened to a connection, for counting.

    `what`: accepted, closed, too-many, too-many-from-client, bad-proxy-header, handshake-failed, starved, bug.
    """

    what: str
    client: Endpoint
    detail: str = ""


Observe = Callable[[NetEvent], None]
Take = Callable[[socket.socket, Endpoint], Awaitable[None]]
"""Own the socket (close it, whatever happens), serve the client at that endpoint, return when it is over."""


def unobserved(_: NetEvent) -> None:
    """Nobody counts."""


class Acceptor:
    """Sockets that listen, and a task for each connection that came."""

    def __init__(
        self,
        take: Take,
        *,
        limits: ServerLimits = ServerLimits(),
        proxy_networks: tuple[Network, ...] = (),
        refusal: bytes = b"",
        observe: Observe = unobserved,
    ) -> None:
        self.addresses: list[Endpoint] = []
        """Where it listens, with the ports that the system chose for port 0."""
        self._take = take
        self._limits = limits
        self._proxy_networks = proxy_networks
        self._refusal = refusal
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: Counter[str] = Counter()
        self._log = logger("net")

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    @property
    def port(self) -> int:
        """The port of the first listening socket."""
        return self.addresses[0].port

    async def listen(self, listener: Endpoint, *, reuse_port: bool = False) -> None:
        """Begin.  `reuse_port` lets several processes share the port.  Raises `Misconfigured`, naming the listener."""
        try:
            self._listening = await _bind(listener, reuse_port, self._limits.backlog)
        except OSError as error:
            raise Misconfigured(f"cannot listen on {listener}: {error.strerror or error}") from None
        for listening in self._listening:
            name = listening.getsockname()
            self.addresses.append(Endpoint(name[0], name[1]))
            self._loop.add_reader(listening, self._on_readable, listening)

    def _on_readable(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                client, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            client.setblocking(False)
            self._admit(client, Endpoint(plain_ip(name[0]), name[1]))

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        # level-triggered: without a pause a full table of descriptors would spin
        self._observe(NetEvent("starved", Endpoint("", 0), error.strerror or str(error)))
        if error.errno not in STARVED:
            self._log.error("cannot accept", reason=error.strerror or str(error))
        self._loop.remove_reader(listening)
        self._loop.call_later(STARVED_PAUSE, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._on_readable, listening)

    def _admit(self, client: socket.socket, peer: Endpoint) -> None:
        if len(self._tasks) >= self._limits.max_connections:
            self._refuse(client, peer, "too-many")
            return
        task = self._loop.create_task(self._serve(client, peer), name=f"connection/{peer}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, client: socket.socket, peer: Endpoint, why: str) -> None:
        self._observe(NetEvent(why, peer))
        with contextlib.suppress(OSError):
            if self._refusal:
                client.send(self._refusal)
                client.shutdown(socket.SHUT_WR)
        client.close()

    async def _serve(self, client: socket.socket, peer: Endpoint) -> None:
        try:
            peer = await self._real_client(client, peer)
        except (ProxyError, OSError) as error:
            client.close()
            self._observe(NetEvent("bad-proxy-header", peer, str(error)))
            return
        except BaseException:
            client.close()
            raise
        key = client_network(peer.host)
        if self._clients[key] >= self._limits.max_per_client:
            self._refuse(client, peer, "too-many-from-client")
            return
        self._clients[key] += 1
        try:
            await self._served(client, peer)
        finally:
            self._clients[key] -= 1
            if not self._clients[key]:
                del self._clients[key]

    async def _served(self, client: socket.socket, peer: Endpoint) -> None:
        self._observe(NetEvent("accepted", peer))
        with contextlib.suppress(OSError):
            # a client that vanished from an idle connection is noticed within hours, not never
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            await self._take(client, peer)
        except Exception:
            # rule 12: a bug ends the task it happened in, and no other
            self._observe(NetEvent("bug", peer))
            self._log.exception("session ended by a bug", client=str(peer))
        finally:
            self._observe(NetEvent("closed", peer))

    async def _real_client(self, client: socket.socket, peer: Endpoint) -> Endpoint:
        if not is_within(peer.host, self._proxy_networks):
            return peer
        async with asyncio.timeout(self._limits.proxy_header):
            header = await _read_header(self._loop, client)
        return header.source or peer

    def stop_listening(self) -> None:
        """Take no new connection."""
        listening, self._listening = self._listening, []
        for each in listening:
            self._loop.remove_reader(each)
            each.close()

    async def drain(self, seconds: float) -> int:
        """Take nothing new, wait for what is open, cancel the rest; how many were cancelled.  Idempotent."""
        self.stop_listening()
        if self._tasks and seconds > 0:
            await asyncio.wait(self._tasks, timeout=seconds)
        rest = list(self._tasks)
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=CANCELLED_WITHIN)
        return len(rest)


async def _read_header(loop: asyncio.AbstractEventLoop, client: socket.socket) -> ProxyHeader:
    parser = ProxyParser()
    while True:
        await _readable(loop, client)
        try:
            # looked at first: the bytes behind the header belong to whoever reads next, TLS perhaps
            seen = client.recv(4096, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not seen:
            raise ProxyError("connection ended in the PROXY header")
        client.recv(parser.feed(seen))
        if parser.header is not None:
            return parser.header


async def _readable(loop: asyncio.AbstractEventLoop, client: socket.socket) -> None:
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(client, wake)
    try:
        await ready
    finally:
        loop.remove_reader(client)


async def _bind(listener: Endpoint, reuse_port: bool, backlog: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listening: list[socket.socket] = []
    port = listener.port
    try:
        for family, kind, protocol, _, name in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                    continue  # a machine without IPv6
                raise
            listening.append(one)
            _prepare(one, reuse_port)
            one.bind((name[0], port, *name[2:]))
            one.listen(backlog)
            port = port or one.getsockname()[1]  # port 0: all families get the port that the first one got
    except BaseException:
        for one in listening:
            one.close()
        raise
    return listening


def _prepare(one: socket.socket, reuse_port: bool) -> None:
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
