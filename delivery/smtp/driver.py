"""The SMTP client on a socket: does what `Client` asks for, one connection after another, and decides nothing.

Called by remote delivery: `open_session`, then `deliver` for each message, then `quit`.  What the peer does or fails to
do comes back as values; only a session that cannot be had is raised.  One task uses a session at a time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator

from msgspec.structs import replace

from delivery.smtp.actions import Action, Close, Done, Failed, Send, SendBody, StartTls
from delivery.smtp.body import PIECE, Stuffer, pieces
from delivery.smtp.client import Client
from delivery.smtp.envelope import Envelope
from delivery.smtp.extensions import Extensions
from delivery.smtp.opening import Options
from delivery.smtp.outcome import Cause, Outcome, Phase, Trouble
from delivery.smtp.timeouts import TIMEOUTS, Timeouts
from merpati.errors import MerpatiError, Temporary
from merpati.net.dialing import connect
from merpati.net.failures import Disconnected, HandshakeFailed, InjectedPlaintext, PeerStalled, TimedOut
from merpati.net.limits import STREAM_LIMITS
from merpati.net.streams import Connection
from merpati.net.tls import TlsFacts

Message = bytes | AsyncIterable[bytes]
"""A message at hand, or in pieces of any size as they come from a store."""


class NoSession(Temporary):
    """The server cannot be had; `trouble` says why, and whether it never will be."""

    def __init__(self, trouble: Trouble, host: str) -> None:
        super().__init__(trouble.text, enhanced=trouble.status, host=host, phase=trouble.phase.value)
        self.trouble = trouble


class Session:
    """A connection to a server that has greeted us and takes mail.  `open_session` makes it."""

    def __init__(
        self, host: str, stream: Connection, client: Client, context: ssl.SSLContext | None, timeouts: Timeouts
    ):
        self.host = host
        """The name that was connected to."""
        self._stream = stream
        self._client = client
        self._context = context
        self._timeouts = timeouts
        self._message: Message = b""
        self._heard = b""
        self._outcomes: tuple[Outcome, ...] | None = None
        self._trouble: Trouble | None = None

    @property
    def usable(self) -> bool:
        """Whether another message may be handed over."""
        stream = self._stream
        return self._client.usable and not (stream.is_closing or stream.has_ended or stream.unread)

    @property
    def tls(self) -> TlsFacts | None:
        """What TLS was agreed on, None in clear."""
        return self._stream.tls

    @property
    def offered(self) -> Extensions:
        return self._client.offered

    async def deliver(self, envelope: Envelope, message: Message) -> tuple[Outcome, ...]:
        """Send one message; an outcome for each recipient, in their order.  Cancelled, it closes the connection."""
        self._message, self._outcomes = message, None
        try:
            if not self.usable:
                self.abort()  # what came while nobody listened is a 421 or an end
            await self._perform(self._client.deliver(envelope))
            while self._outcomes is None:
                await self._perform(await self._hear())
        except BaseException:
            self._stream.abort()
            self._client.lost()
            raise
        finally:
            self._message = b""
        return self._outcomes

    async def quit(self) -> None:
        """Say goodbye and close; never raises."""
        await self._perform(self._client.quit())
        while self._client.phase is Phase.QUIT:
            await self._perform(await self._hear())

    def abort(self) -> None:
        """Close at once, without a word."""
        self._stream.abort()
        self._client.lost()

    async def open(self) -> None:
        """Go from the greeting to readiness.  Raises `NoSession`; the connection is closed then."""
        try:
            while not self._client.usable and self._client.phase is not Phase.CLOSED:
                await self._perform(await self._hear())
        except BaseException:
            self._stream.abort()
            raise
        if not self._client.usable:
            # ready, and in the same breath not any more
            ended = Trouble(Cause.LOST, Phase.IDLE, "the server ended the session at once")
            raise NoSession(self._trouble or ended, self.host)

    # Hearing

    async def _hear(self) -> list[Action]:
        """What to do once the server has said something, or has not."""
        client, stream = self._client, self._stream
        if client.phase is Phase.CLOSED:
            raise RuntimeError("nobody is there to be heard")  # a bug must not go round in circles
        taken = client.replies_taken
        # a deadline, not a pause: a reply that drips in must be whole by then
        until = stream.time() + self._timeouts.of(client.phase)
        actions: list[Action] = []
        while not actions and client.replies_taken == taken and client.phase is not Phase.CLOSED:
            try:
                data = self._heard or await stream.read(until=until)
                self._heard = b""
            except TimedOut:
                return client.timed_out()
            actions = client.feed(data) if data else client.lost()
        return actions

    # Doing

    async def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(data):
                    self._write(data)
                case SendBody():
                    await self._perform(await self._send_body())
                case StartTls():
                    await self._perform(await self._start_tls())
                case Done(outcomes):
                    self._outcomes = outcomes
                case Failed(trouble):
                    self._trouble = trouble
                case Close():
                    self._stream.close()
                case _:
                    pass  # ready: whoever waits sees it

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except Disconnected:
            pass  # the next read says so, behind what the server said before

    async def _start_tls(self) -> list[Action]:
        context = self._context
        if context is None:
            return self._client.tls_failed("no TLS here")
        try:
            await self._stream.start_tls(context, unread=0, server_hostname=_certified(self.host))
        except ValueError:
            return self._client.tls_failed("not a host name")
        except InjectedPlaintext:
            return self._client.feed(b"\0")  # whatever it was, it came in clear behind the answer to STARTTLS
        except Disconnected as failure:
            return self._client.tls_failed(str(failure.facts.get("reason", failure.public)))
        return self._client.tls_started()

    async def _send_body(self) -> list[Action]:
        """Write the message; stop where the server has no more ears for it."""
        stuffer, message = Stuffer(), self._message
        if isinstance(message, bytes) and len(message) <= PIECE:
            return self._send_at_once([stuffer.feed(message), stuffer.end()])
        try:
            async for piece in _pieces(message):
                interruption = await self._write_piece(stuffer.feed(piece))
                if interruption is not None:
                    return interruption
        except MerpatiError as failure:
            # our own store; without the dot the server has nothing
            return self._client.body_failed(failure.public)
        return self._send_at_once([stuffer.end()])

    def _send_at_once(self, data: list[bytes]) -> list[Action]:
        try:
            self._stream.writelines(data)
        except Disconnected:
            return self._client.lost()  # the dot is not out
        return self._client.body_sent()

    async def _write_piece(self, data: bytes) -> list[Action] | None:
        """What to do if the server speaks up, hangs up, or takes nothing any more; None if it takes the piece."""
        stream = self._stream
        try:
            stream.write(data)
            # always: the loop must come round between two pieces, to see an end as well as to serve others
            await self._drain_and_listen()
        except PeerStalled:
            return self._client.timed_out()
        except Disconnected:
            return await self._hear()
        return await self._hear() if self._heard or stream.unread or stream.has_ended else None

    async def _drain_and_listen(self) -> None:
        """Wait until the server has taken what was written, or has something to say.  Raises `Disconnected`."""
        draining = asyncio.ensure_future(self._stream.drain())
        listening = asyncio.ensure_future(self._stream.read())
        try:
            await asyncio.wait({draining, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                self._heard = listening.result()
            elif draining.done():
                draining.result()
        finally:
            draining.cancel()
            listening.cancel()
            await asyncio.gather(draining, listening, return_exceptions=True)
            if not self._heard and listening.done() and not listening.cancelled():
                self._heard = listening.result()


async def _pieces(message: Message) -> AsyncIterator[bytes | memoryview]:
    if isinstance(message, bytes):
        for view in pieces(message):
            yield view
    else:
        async for piece in message:
            for view in pieces(piece):
                yield view


async def open_session(
    address: str,
    port: int,
    *,
    host: str,
    options: Options,
    context: ssl.SSLContext | None,
    timeouts: Timeouts = TIMEOUTS,
    source: str = "",
) -> Session:
    """A session with the server at `address` that is called `host` (the name its certificate should have).

    `context` is for STARTTLS, or for TLS from the start if `options.under_tls`.  Raises `NoSession`.
    """
    limits = replace(STREAM_LIMITS, stall=timeouts.block, progress=1, handshake=timeouts.handshake)
    try:
        stream = await connect(
            address,
            port,
            limits=limits,
            timeout=timeouts.connect,
            source=source,
            tls=context if options.under_tls else None,
            server_hostname=_certified(host),
        )
    except Disconnected as failure:
        raise NoSession(_unreached(failure), host) from None
    session = Session(host, stream, Client(options), context, timeouts)
    await session.open()
    return session


def _certified(host: str) -> str:
    """The name that `host` proves with its certificate."""
    return host.strip("[]").rstrip(".")


def _unreached(failure: Disconnected) -> Trouble:
    reason = str(failure.facts.get("reason", ""))
    text = f"{failure.public}: {reason}" if reason else failure.public
    if isinstance(failure, HandshakeFailed):
        return Trouble(Cause.HANDSHAKE, Phase.HANDSHAKE, text, failure.enhanced_code)
    cause = Cause.TIMEOUT if reason == "timeout" else Cause.LOST
    return Trouble(cause, Phase.CONNECT, text, "4.4.1")
