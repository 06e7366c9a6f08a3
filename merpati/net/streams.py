"""A connection that carries a sans-io protocol: bytes in, bytes out, every buffer and every wait bounded.

POP3 and IMAP sessions and the SMTP client drive one of these; `server` makes them for clients that come, `dialing` for
servers we go to.  It knows TLS, time-outs and back pressure, and nothing of any mail protocol.  Only one task reads.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import cast

from merpati.net.addresses import Endpoint, plain_ip
from merpati.net.failures import (
    Disconnected,
    Draining,
    HandshakeFailed,
    InjectedPlaintext,
    PeerStalled,
    TimedOut,
    reason_of,
)
from merpati.net.limits import STREAM_LIMITS, StreamLimits
from merpati.net.tls import TlsFacts, facts_of

SLACK = 0.002
"""Seconds by which a loop's timer may come early (uvloop counts milliseconds)."""
NOWHERE = Endpoint("", 0)

FAREWELL = 1.0
"""Seconds that a peer has to take our last words when this process is being stopped; it need not answer them."""


class Connection(asyncio.Protocol):
    """One connection.  `dialing.connect` and `server.serve` hand out those that are connected."""

    __slots__ = (
        "_between",
        "_chunks",
        "_closed",
        "_closing",
        "_draining",
        "_due",
        "_ended",
        "_held_back",
        "_limits",
        "_loop",
        "_lost",
        "_reading_paused",
        "_tls",
        "_transport",
        "_unread",
        "_waiter",
        "_wake_at",
        "_writers",
        "local",
        "peer",
    )

    def __init__(self, limits: StreamLimits = STREAM_LIMITS, peer: Endpoint = NOWHERE) -> None:
        self.peer = peer
        self.local = NOWHERE
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._unread = 0
        self._ended = False
        self._lost = False
        self._closing = False
        self._draining = False
        self._reading_paused = False
        self._held_back = False
        self._between = False
        self._waiter: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._wake_at: asyncio.TimerHandle | None = None
        self._writers: list[asyncio.Future[None]] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._tls: TlsFacts | None = None

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def tls(self) -> TlsFacts | None:
        """What was agreed on, or None in clear."""
        return self._tls

    @property
    def unread(self) -> int:
        """Bytes that came and were not read yet."""
        return self._unread

    @property
    def unwritten(self) -> int:
        """Bytes that were written and the system has not taken yet."""
        return 0 if self._transport is None or self._lost else self._transport.get_write_buffer_size()

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or being closed, by either side."""
        return self._closing or self._lost

    @property
    def has_ended(self) -> bool:
        """Whether the peer will say nothing more than what is `unread`."""
        return self._ended

    @property
    def is_draining(self) -> bool:
        """Whether this process wants to stop: finish the command, then say goodbye."""
        return self._draining

    def time(self) -> float:
        """The loop's time, in seconds: what `until` of `read` is measured on."""
        return self._loop.time()

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(self, *, timeout: float | None = None, until: float | None = None, between: bool = False) -> bytes:
        """All that came since the last read, at least one byte; b"" once the peer has ended or is gone.

        Waits at most `timeout` seconds and not beyond `until` (of `time()`), then raises `TimedOut`.  With `between`
        (the session waits for a new command) raises `Draining` when this process is being stopped.  Cancelling it
        loses nothing.
        """
        if self._chunks:
            return self._take()
        if self._ended or self._lost:
            return b""
        if between and self._draining:
            raise Draining
        if self._waiter is not None:
            raise RuntimeError("two tasks read one connection")
        due = None if timeout is None else self._loop.time() + timeout
        if until is not None:
            due = until if due is None else min(due, until)
        self._waiter = self._loop.create_future()
        self._between = between
        if due is not None:
            self._wake_by(due)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._due = None
            self._between = False
        return self._take()

    def _take(self) -> bytes:
        chunks, self._chunks, self._unread = self._chunks, [], 0
        if self._reading_paused and not self._held_back and not self.is_closing:
            self._reading_paused = False
            self._live.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _wake_by(self, due: float) -> None:
        # one timer for the whole life of a connection: it looks at `_due` when it fires, so a read costs no timer
        self._due = due
        if self._wake_at is None or self._wake_at.when() > due:
            if self._wake_at is not None:
                self._wake_at.cancel()
            self._wake_at = self._loop.call_at(due, self._look_at_time)

    def _look_at_time(self) -> None:
        self._wake_at = None
        if self._due is None:
            return
        if self._loop.time() < self._due - SLACK:
            self._wake_at = self._loop.call_at(self._due, self._look_at_time)
        else:
            self._wake_reader(TimedOut())

    def _wake_reader(self, error: Exception | None = None) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes over; follow it with `drain` before the next big write.

        Raises `Disconnected`; `PeerStalled` if the peer has let `max_output` bytes pile up.
        """
        self._check_room()
        self._live.write(data)

    def writelines(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Hand several pieces over without joining them where the loop can.  Raises as `write` does."""
        self._check_room()
        self._live.writelines(pieces)

    def _check_room(self) -> None:
        if self.is_closing:
            raise Disconnected
        if self._writers is not None and self.unwritten > self._limits.max_output:
            self.abort()
            raise PeerStalled

    async def drain(self) -> None:
        """Return when the peer has taken enough of what was written.

        Raises `Disconnected`; `PeerStalled` if within `stall` seconds it has not taken `progress` bytes.
        """
        if self._lost:
            raise Disconnected
        while self._writers is not None:
            before = self.unwritten
            room = self._loop.create_future()
            self._writers.append(room)
            try:
                async with asyncio.timeout(self._limits.stall):
                    await room
            except TimeoutError:
                if before - self.unwritten < self._limits.progress:
                    self.abort()
                    raise PeerStalled from None
            if self._lost:
                raise Disconnected

    # -- TLS -----------------------------------------------------------------------------------------------------------

    async def start_tls(
        self, context: ssl.SSLContext, *, unread: int, ready: bytes = b"", server_hostname: str | None = None
    ) -> None:
        """Go over to TLS: as the server, or as the client if `server_hostname` is given.

        `unread` is how many bytes the caller's own parser still holds; with those that wait here they must be none,
        else `InjectedPlaintext` is raised and nothing was written.  `ready` is the reply that lets the peer begin
        ("220 go ahead"); it is written here, after reading has been paused, because a ClientHello that is read before
        the upgrade would be lost.  Raises `HandshakeFailed` or `Disconnected`: the connection is gone.
        """
        if self.is_closing:
            raise Disconnected
        transport = self._live
        self._held_back = True
        if not self._reading_paused:
            self._reading_paused = True
            transport.pause_reading()
        if unread or self._unread:
            # CVE-2011-0411: what came in clear must never be taken for something said under TLS
            raise InjectedPlaintext
        if self._ended:
            raise Disconnected
        if ready:
            transport.write(ready)
        upgraded = await self._shake_hands(context, server_hostname)
        self._transport = upgraded
        self._reading_paused = False
        self._held_back = False
        self._tls = facts_of(upgraded.get_extra_info("ssl_object"))
        upgraded.set_write_buffer_limits(high=self._limits.write_ahead)
        if self._lost:
            raise Disconnected

    async def _shake_hands(self, context: ssl.SSLContext, server_hostname: str | None) -> asyncio.Transport:
        try:
            # the loop's own limit raises first; ours stands for the case that it does not
            async with asyncio.timeout(self._limits.handshake + 1):
                upgraded = await self._loop.start_tls(
                    self._live,
                    self,
                    context,
                    server_side=server_hostname is None,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=self._limits.handshake,
                    ssl_shutdown_timeout=self._limits.linger,
                )
        except OSError as error:  # ssl.SSLError, TimeoutError and ConnectionError are OSErrors
            self._give_up()
            raise HandshakeFailed(reason_of(error)) from None
        except BaseException:
            self._give_up()
            raise
        if upgraded is None:  # uvloop and asyncio: the transport was closed in the meantime
            self._give_up()
            raise Disconnected
        return upgraded

    def _give_up(self) -> None:
        # after a failed handshake the loops do not always tell the protocol that the connection is lost
        self._live.abort()
        self.connection_lost(None)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let the last bytes go out, then close; what still comes in is thrown away.  Takes `linger` seconds at most.

        In clear our side is closed first and the peer's end awaited: closing with unread input would reset the
        connection, and the peer would lose our last words (RFC 2525 section 2.17).
        """
        if self.is_closing or self._transport is None:
            return
        self._closing = True
        self._chunks, self._unread = [], 0
        self._wake_reader()
        if self._tls is None and not self._ended and self._transport.can_write_eof():
            try:
                self._transport.write_eof()
            except OSError:  # asyncio: the peer has reset the connection, and the loop has not told us yet
                self.abort()
                return
            if self._reading_paused:
                self._transport.resume_reading()
        else:
            self._transport.close()
        self._due = None
        if self._wake_at is not None:
            self._wake_at.cancel()
        linger = min(self._limits.linger, FAREWELL) if self._draining else self._limits.linger
        self._wake_at = self._loop.call_later(linger, self.abort)

    def abort(self) -> None:
        """Close at once; what is not written yet is lost."""
        self._closing = True
        if self._transport is not None and not self._lost:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Return when the connection is gone."""
        if self._lost or self._transport is None:
            return
        if self._closed is None:
            self._closed = self._loop.create_future()
        await asyncio.shield(self._closed)

    def stop(self) -> None:
        """Tell the session that this process wants to stop; see `Draining`."""
        self._draining = True
        if self._between:
            self._wake_reader(Draining())

    # -- called by the loop --------------------------------------------------------------------------------------------

    @property
    def _live(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("not connected")
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_ahead)
        self.local = _endpoint(transport.get_extra_info("sockname"))
        if self.peer is NOWHERE:
            self.peer = _endpoint(transport.get_extra_info("peername"))
        ssl_object = transport.get_extra_info("ssl_object")
        self._tls = facts_of(ssl_object) if ssl_object is not None else None

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._chunks.append(data)
        self._unread += len(data)
        if self._unread > self._limits.max_input and not self._reading_paused:
            self._reading_paused = True
            self._live.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake_reader()
        # in clear the peer may have ended its side and still wait for our answers; TLS knows no such half
        return self._tls is None and not self._closing

    def pause_writing(self) -> None:
        if self._writers is None:
            self._writers = []

    def resume_writing(self) -> None:
        writers, self._writers = self._writers, None
        for room in writers or ():
            if not room.done():
                room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._ended = True
        self._due = None
        if self._wake_at is not None:
            self._wake_at.cancel()
            self._wake_at = None
        self._wake_reader()
        self.resume_writing()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def _endpoint(name: object) -> Endpoint:
    if isinstance(name, tuple) and len(name) >= 2:
        return Endpoint(plain_ip(str(name[0])), int(name[1]))
    return NOWHERE
