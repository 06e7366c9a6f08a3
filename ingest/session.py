"""A client's session: the greeting, the loop over its commands, and the limits on what it may ask for.

Built on `carrier`; the verbs of a transaction are added by `transaction`, those of TLS and logging in by `security`.
aiosmtpd's HELO, EHLO, LHLO, NOOP, RSET and EXPN are used as they are.  All policy is the handler's (`reception`).
"""

# ruff: noqa: N802  aiosmtpd finds a verb by the name of its method

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ingest.carrier import Carrier, Gone
from ingest.commands import MAIL_EXTRA, RCPT_EXTRA
from ingest.doors import Door
from ingest.framing import BareLineFeed, TooLong
from ingest.house import House
from ingest.intake import Receipt
from ingest.visit import Farewell, Transaction, Visitor
from merpati.errors import MerpatiError
from merpati.net.addresses import Endpoint
from merpati.telemetry import logger

FOREIGN = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"}
"""First words of HTTP: somebody's browser or proxy was made to talk to us."""
JUNK = {"NOOP", "RSET", "VRFY", "HELP", "HELO", "EHLO", "LHLO"}
STATUS = {"500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1"}
"""Enhanced status codes (RFC 2034) for the replies that aiosmtpd words itself."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_log = logger("ingest")


class Session(Carrier):
    """One connection at one door."""

    session: Visitor
    envelope: Transaction

    def __init__(self, handler: Any, door: Door, house: House) -> None:
        super().__init__(handler, hostname=house.hostname, clock=house.clock, limits=house.limits)
        self._auth_required = door.users
        self.door = door
        self.house = house
        self.crowd = house.crowd
        self.ip = ""
        self.reverse_name = ""
        self.errors = 0
        self.junk = 0
        self.failed_logins = 0
        self.held = 0
        """Bytes of the message in memory, as the crowd counts them."""
        self.verb = ""
        """The command that is being obeyed."""
        self.receipt: Receipt | None = None
        """The last message that was accepted, until the client's next command shows that it knows."""
        self.receiving = False
        """Whether a message is on its way in."""

    def _create_session(self) -> Visitor:
        return Visitor(self.loop)

    def _create_envelope(self) -> Transaction:
        return Transaction()

    def _set_post_data_state(self) -> None:
        self.count_held(-self.held)
        self.envelope.close()
        super()._set_post_data_state()

    def count_held(self, size: int) -> None:
        """So many bytes more (or less) are in memory."""
        self.held += size
        self.crowd.held += size

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.session = self._create_session()
        self.envelope = self._create_envelope()
        super().connection_made(transport)

    async def serve_client(self, peer: Endpoint) -> None:
        """The whole session of the client at `peer`."""
        self.ip = peer.host
        self.session.peer = (peer.host, peer.port)
        looking_up = self._look_up_name()
        self.crowd.enter(self)
        try:
            await self.serve()
        finally:
            self.crowd.leave(self)
            if looking_up is not None:
                looking_up.cancel()

    def _look_up_name(self) -> asyncio.Task[None] | None:
        if self.house.reverse is None:
            return None
        return self.loop.create_task(self._remember_name(self.house.reverse))

    async def _remember_name(self, reverse: Callable[[str], Awaitable[str]]) -> None:
        # Nothing waits for this: a name that is not there when the message is, is left out
        try:
            self.reverse_name = await reverse(self.ip)
        except MerpatiError as failure:
            _log.debug("no reverse name", client=self.ip, failure=str(failure))

    @property
    def idle(self) -> bool:
        """Whether nothing is being done for the client but waiting for its next command."""
        return self.waits and not self.receiving

    # The conversation

    async def converse(self) -> None:
        try:
            await self._greet()
            while True:
                await self._obey(await self._next_command())
        except Farewell as last:
            self.reply(last.reply)
        finally:
            self._set_post_data_state()
            if self.receipt is not None and self.reset:
                self.event_handler.unanswered(self.receipt)

    async def _greet(self) -> None:
        if self.door.watches:
            # Whoever talks before it is greeted follows a script and reads nothing (RFC 5321 section 3.1)
            await self.clock.sleep(self.limits.greet_wait)
            self.alone()
        self.reply(f"220 {self.hostname} {self.door.protocol} Merpati")

    async def _next_command(self) -> bytes:
        while True:
            try:
                line = await self.next_line(self.limits.command_timeout)
                self.receipt = None
                return line
            except TooLong as fault:
                # RFC 4954 section 4 has a status of its own for an AUTH command that is too long
                self.reply("500 5.5.6 line too long" if fault.start[:5].upper() == b"AUTH " else fault.reply)
                self._check_patience()
            except BareLineFeed as fault:
                code = 501 if fault.line[:4].upper() in (b"MAIL", b"RCPT") else 500
                raise Farewell(fault.public, code=code, enhanced="5.5.2") from None

    async def more(self) -> None:
        if self.crowd.closing and not (self.receiving or self.deaf):
            raise Farewell("shutting down", code=421, enhanced="4.3.2")
        await super().more()

    async def _obey(self, line: bytes) -> None:
        first, _, rest = line.rstrip(b" \t").partition(b" ")
        self.verb = verb = first.decode("ascii", "replace").upper()
        command = self.verbs.get(verb)
        if verb in FOREIGN:
            raise Farewell("this is not HTTP")
        if _CONTROL.search(line):
            self.reply("501 5.5.2 control character in command")
        elif len(line) + 2 > self._longest(verb):
            self.reply("500 5.5.2 line too long")
        elif command is None:
            self.reply("500 5.5.2 command not recognized")
        else:
            if verb in JUNK:
                self.junk += 1
            await self._perform(command, rest.strip(b" ").decode("utf-8", "surrogateescape"))
        self._check_patience()

    async def _perform(self, command: Callable[..., Any], argument: str) -> None:
        try:
            await self.in_time(command(self, argument))
        except (Farewell, Gone):
            raise
        except MerpatiError as failure:
            self.reply(self.reply_for(failure))
        except Exception as bug:
            self.reply(await self.handle_exception(bug))

    def reply_for(self, failure: MerpatiError) -> str:
        """The words for the client; what is more than that goes to the log."""
        if failure.facts:
            _log.warning("failed", door=self.door.name, client=self.ip, verb=self.verb, failure=str(failure))
        return failure.reply

    def _longest(self, verb: str) -> int:
        if verb == "MAIL":
            return self.limits.max_command + MAIL_EXTRA
        if verb == "RCPT":
            return self.limits.max_command + RCPT_EXTRA
        return self.limits.max_auth_line if verb == "AUTH" else self.limits.max_command

    def _check_patience(self) -> None:
        if self.errors >= self.limits.max_errors:
            raise Farewell("too many errors", code=421, enhanced="4.7.0")
        if self.junk > self.limits.max_junk:
            raise Farewell("too many commands without a message", code=421, enhanced="4.7.0")

    def alone(self) -> None:
        """The client must not have sent more before it knows the answer (RFC 2920 section 3.1)."""
        if len(self.lines):
            raise Farewell("protocol synchronization error: wait for the reply")

    # Replies

    def reply(self, line: str) -> None:
        if line[0] in "45":
            self.house.metrics.refused.labels(self.door.name, line[:3]).inc()
            if line[0] == "5":
                self.errors += 1
            _log.info("refused", door=self.door.name, client=self.ip, verb=self.verb, reply=line)
        super().reply(line)

    async def push(self, status: str | bytes) -> None:
        line = status if isinstance(status, str) else status.decode("ascii", "replace")
        if line == "250 OK":
            line = "250 2.0.0 OK"
        elif line[:3] in STATUS and line[5:6] != ".":
            line = f"{line[:4]}{STATUS[line[:3]]} {line[4:].removeprefix('Error: ')}"
        self.reply(line)

    async def smtp_HELP(self, arg: str) -> None:
        self.reply("214 2.0.0 see RFC 5321")

    async def smtp_VRFY(self, arg: str) -> None:
        # RFC 5321 section 7.3: who is there is nobody's business
        self.reply("252 2.1.5 send some mail, I will try" if arg else "501 5.5.4 VRFY needs an address")

    async def smtp_QUIT(self, arg: str) -> None:
        raise Farewell("bye", code=221, enhanced="2.0.0")
