"""The one door to aiosmtpd: its SMTP class with another way of reading and writing, and one set-up for many sessions.

`Session` (session.py) is built on it.  aiosmtpd reads through an asyncio stream, line by line, and makes its tables of
commands and hooks anew for each connection; here the bytes go straight to the parsers of `framing`, replies to commands
that came together leave together, and the tables are made once for each listener.  It knows nothing of mail or policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import MISSING, SMTP, Envelope, syntax
from aiosmtpd.smtp import Session as Greeting

from ingest.framing import DotBody, LineReader
from ingest.limits import INFINITY, Limits
from merpati.clock import Clock
from merpati.errors import Unknown
from merpati.net.tls import facts_of
from merpati.telemetry import logger

__all__ = ["LINGER", "LMTP", "MISSING", "Carrier", "Envelope", "Gone", "Greeting", "syntax"]

READ_AHEAD = 64 * 1024
"""Bytes that are read before anyone has asked for them."""
WRITE_AHEAD = 100
"""Replies that are gathered before they are written."""
LINGER = 10.0
"""Seconds a client has to take the last reply and close its side."""
T = TypeVar("T")

_log = logger("ingest")


class Gone(Exception):
    """The client is not there any more, or is not to be listened to any more."""


class Carrier(SMTP):
    """One connection: `serve` returns when it is over."""

    lines: LineReader
    body: DotBody | None
    """The message that is being read, if one is: the bytes go there and not to `lines`."""
    deadline: float
    """When this has taken too long (monotonic): whoever keeps the time calls `expire` then."""
    eof: bool
    """Whether the client has ended its side; it may still be reading."""
    deaf: bool
    """Whether the client is not listened to any more."""
    lost: bool
    """Whether the connection is gone in both directions."""
    reset: bool
    """Whether it broke off: what was written last may not have been read."""
    talking: bool
    """Whether the conversation goes on; the connection may outlive it, and it the connection."""
    tls: str
    """Protocol version and cipher, or empty."""

    def __init__(self, handler: Any, *, hostname: str, clock: Clock, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(handler, hostname=hostname, loop=loop, enable_SMTPUTF8=True, data_size_limit=limits.max_size)
        self.clock = clock
        self.limits = limits
        names = [name for name in dir(type(self)) if name.startswith("smtp_")]
        self.verbs: dict[str, Callable[..., Any]] = {name[5:]: getattr(type(self), name) for name in names}

    def fresh(self) -> Self:
        """Another session with the same tables, at a fraction of the cost of making them."""
        session = type(self).__new__(type(self))
        session.__dict__.update(self.__dict__)
        asyncio.StreamReaderProtocol.__init__(session, cast(asyncio.StreamReader, None), loop=self.loop)
        session.lines = LineReader(self.limits.max_auth_line)
        session.body = None
        session.deadline = INFINITY
        session.eof = session.deaf = session.lost = session.reset = session._held_back = session._overdue = False
        session.talking = True
        session.tls = ""
        session._waiting = None
        session._replies = []
        return session

    _task: asyncio.Task[Any]
    _held_back: bool
    _overdue: bool
    _waiting: asyncio.Future[None] | None
    _replies: list[bytes]

    async def converse(self) -> None:
        """The session from the first byte to the last; to be said by the subclass."""
        raise Gone

    def store(self, lines: bytes) -> bool:
        """Take bytes of the message that is being read; true if no more should come until they have been put away."""
        raise Gone

    async def serve(self) -> None:
        """The conversation, then the end of the connection."""
        await self._handle_client()
        await self._get_close_waiter(None)

    async def _handle_client(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        try:
            await self.converse()
        except Gone:
            pass
        except Exception:
            _log.exception("session failed")
            self.reply("421 4.3.0 closing connection")
        finally:
            self.talking = False
            self._close()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._note_tls()

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        if self.body is not None:
            self._read_body(self.body, data)
            return
        self.lines.feed(data)
        if len(self.lines) > READ_AHEAD:
            self._hold_back()
        self._wake()

    def _read_body(self, body: DotBody, data: bytes) -> None:
        full = self.store(body.feed(data))
        self.deadline += len(data) / self.limits.data_rate
        if body.done:
            self.body = None
            self.lines.feed(body.rest)
        if full:
            self._hold_back()
        if full or body.done or body.wire > 2 * self.limits.max_size:
            self._wake()

    def eof_received(self) -> bool:
        # A client may close its half after the final dot and wait for the reply: what is under way goes on
        self.eof = True
        self._wake()
        return not (self.tls or self.deaf)

    def connection_lost(self, error: Exception | None) -> None:
        if self.lost:
            return
        self.eof = self.lost = True
        self.reset = error is not None
        asyncio.StreamReaderProtocol.connection_lost(self, None)
        self._wake()

    # Reading

    async def next_line(self, seconds: float) -> bytes:
        """The next line without its CRLF.  The client has `seconds` for all of it, however it drips.

        Raises `Gone`, or what `LineReader.next_line` raises.
        """
        line = self.lines.next_line()
        if line is None:
            self.deadline = self.clock.monotonic() + seconds
            while line is None:
                await self.more()
                line = self.lines.next_line()
        self.our_turn()
        return line

    def our_turn(self) -> None:
        """The client has said what it had to: from now on the time is ours, and is limited as well."""
        self.deadline = self.clock.monotonic() + self.limits.accept_timeout

    async def more(self) -> None:
        """Write the replies, then wait until there is more to read.  Raises `Gone`."""
        self._flush()
        if self._paused and not self.lost:
            # A client that does not read its replies is not read from
            with contextlib.suppress(ConnectionError):
                await self._drain_helper()
        if self.eof or self.deaf:
            raise Gone
        if self._held_back:
            self._held_back = False
            self.transport.resume_reading()
        self._waiting = self.loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn."""
        return self._waiting is not None

    def _hold_back(self) -> None:
        if not self._held_back and not self.lost:
            self._held_back = True
            self.transport.pause_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # Writing

    async def push(self, status: str | bytes) -> None:
        """aiosmtpd's way to answer."""
        self.reply(status if isinstance(status, str) else status.decode("ascii", "replace"))

    def reply(self, line: str) -> None:
        """Answer with a line; it leaves when the client is next waited for."""
        # Whatever a stranger's words have put into it, it is one line
        text = line if line.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in line)
        self._replies.append(text.encode("ascii", "replace"))
        if len(self._replies) > WRITE_AHEAD:
            self._flush()

    def _flush(self) -> None:
        if self._replies and not (self.lost or self.transport.is_closing()):
            self._replies.append(b"")
            self.transport.write(b"\r\n".join(self._replies))
        self._replies.clear()

    # The end

    def dismiss(self, farewell: str) -> None:
        """Say a last word and stop listening; what is being done for the client goes on to its end."""
        if not self.deaf:
            self.deaf = True
            self.reply(farewell)
        self._wake()
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def in_time(self, work: Awaitable[T]) -> T:
        """Wait for `work`; raise `Unknown` when `expire` finds it too slow."""
        try:
            return await work
        except asyncio.CancelledError:
            if not self._overdue:
                raise
            self._overdue = False
            self._task.uncancel()
            raise Unknown("try again later", reason="took too long") from None

    def expire(self) -> None:
        """The time is over, for the client or for us."""
        self.deadline = INFINITY
        if not self.talking:
            self.transport.abort()
        elif self._waiting is not None or self._drain_waiters:
            self.dismiss("421 4.4.2 timeout, closing connection")
        else:
            self._overdue = True
            self._task.cancel()

    def _close(self) -> None:
        self._flush()
        self.deaf = True
        if self.lost:
            return
        self.deadline = self.clock.monotonic() + LINGER
        if self.tls or self.eof or self.transport.is_closing():
            self.transport.close()
            return
        # RFC 2525 section 2.17: to close with input unread would reset the connection, and the client would lose our
        # last words.  So our side ends, and the client's end is awaited.
        try:
            self.transport.write_eof()
        except OSError:
            # Reset in this very moment
            self.transport.abort()
            return
        if self._held_back:
            self.transport.resume_reading()

    # TLS

    async def upgrade(self, context: ssl.SSLContext) -> None:
        """TLS from here on.  Raises `Gone` if the client cannot.  Nothing may have been read ahead.

        The replies leave here, and nothing is awaited before the loop stops reading: a ClientHello cannot be lost.
        """
        self._flush()
        if self.lost or self.eof or self.transport.is_closing():
            raise Gone
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.limits.handshake_timeout,
                ssl_shutdown_timeout=LINGER,
            )
        except OSError as error:
            self._drop()
            raise Gone from error
        if transport is None:
            self._drop()
            raise Gone
        self.transport = transport
        self._note_tls()

    def _note_tls(self) -> None:
        facts = facts_of(self.transport.get_extra_info("ssl_object"))
        if facts is not None:
            self.tls = f"{facts.version} {facts.cipher}"

    def _drop(self) -> None:
        # After a handshake that failed, the loops do not tell the protocol that its connection is gone
        self.transport.abort()
        self.connection_lost(None)
