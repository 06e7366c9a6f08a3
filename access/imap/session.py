"""One IMAP connection from greeting to BYE: reads commands, finds their slice, answers, tells what has changed.

Called by the service for each connection.  It knows states, tags and the order of responses; what a command does stands
in `commands/`, what the client was told of a mailbox in `selected`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from access.conversation import Conversation
from access.imap.capabilities import capabilities
from access.imap.failures import no_for
from access.imap.selected import Selected
from access.imap.table import LOGGED_IN, TABLE, Refusal, Reply, Slice, State
from access.imap.wire import codes, responses
from access.imap.wire.commands import Idle, Logout, Unknown, Verb
from access.imap.wire.events import Bad, Command, Event, Fatal, NeedLiteral
from access.imap.wire.limits import AFTER_LOGIN, BEFORE_LOGIN, Limits
from access.imap.wire.reader import Reader
from access.standing import entry_of
from merpati.errors import MerpatiError
from merpati.mailbox.api import Account, NoSuchFolder
from merpati.net.failures import Disconnected, Draining, TimedOut
from merpati.net.limits import Pace
from merpati.net.streams import Connection
from merpati.telemetry import logger

if TYPE_CHECKING:
    from access.imap.context import ImapContext
    from merpati.auth.credentials import Principal

PACE = Pace()
"""How slowly a command that has begun may come."""


class Session(Conversation):
    """A client's state.  Commands read and replace the public attributes."""

    def __init__(self, context: ImapContext, connection: Connection) -> None:
        super().__init__(connection)
        self.context = context
        self.reader = Reader(BEFORE_LOGIN)
        self.principal: Principal | None = None
        self.account: Account | None = None
        self.selected: Selected | None = None
        self.enabled: frozenset[str] = frozenset()
        self.silenced: dict[int, int] = {}
        """UIDs, and the flag bits that the client believes them to have as it just set them: not to be told back."""
        self.tag = b""
        """The tag of the command at work: ESEARCH names it."""
        self._bad = 0
        self._began = self._command_began = connection.time()
        self.log = logger("access/imap").bind(client=connection.peer.host)

    @property
    def state(self) -> State:
        if self.account is None:
            return State.GREETED
        return State.AUTHENTICATED if self.selected is None else State.SELECTED

    @property
    def mailbox(self) -> Account:
        """The logged-in user's account."""
        assert self.account is not None, "the table lets no command here before login"
        return self.account

    @property
    def utf8(self) -> bool:
        """Whether mailbox names go as UTF-8 (RFC 6855)."""
        return "UTF8=ACCEPT" in self.enabled

    @property
    def condstore(self) -> bool:
        """Whether a change of flags is told with its MODSEQ (RFC 7162 section 3.1)."""
        return "CONDSTORE" in self.enabled

    def capabilities(self) -> tuple[str, ...]:
        """What CAPABILITY says now: it differs before and after TLS and login."""
        connection = self.connection
        may_start_tls = self.context.tls is not None and connection.tls is None
        return capabilities(
            self.state,
            starttls=may_start_tls,
            login=self.context.door.may_login(connection),
            mechanisms=self.context.door.mechanisms(connection),
            max_message=self.context.limits.max_message,
        )

    # Input

    async def run(self) -> None:
        """Serve the client until one of the two ends it.  Raises nothing but what ends the connection anyway."""
        self.write(responses.ok(f"{self.context.hostname} Merpati ready", codes.capability(self.capabilities())))
        try:
            while not self.over:
                event = self.reader.next()
                if event is not None:
                    await self._handle(event)
                elif not await self.receive():
                    return
            await self.flush()
        finally:
            self.context.present.discard(self)

    async def receive(self) -> bool:
        """More input; False if there will be none."""
        await self.flush()
        limits = self.context.limits
        logged_in = self.state in LOGGED_IN
        patience, until = (limits.idle, None) if logged_in else (limits.before_login, self._began + limits.login_within)
        in_command = self.reader.in_command
        if in_command:
            until = PACE.until(self._command_began, self.reader.held)
        try:
            data = await self.connection.read(timeout=patience, until=until, between=not in_command)
        except TimedOut:
            self.bye("Autologout; idle for too long")
            return True
        except Draining:
            self.farewell()
            return True
        if not in_command:
            self._command_began = self.connection.time()
        self.reader.feed(data)
        return bool(data)

    async def _handle(self, event: Event) -> None:
        match event:
            case Command(tag, verb):
                self._bad = 0
                await self._perform(tag, verb)
            case NeedLiteral():
                self.write(event.continuation)
            case Bad():
                self._bad += 1
                self.write(event.line)
                if self._bad >= self.context.limits.max_bad:
                    self.bye("Too many commands that make no sense")
            case Fatal():
                self.write(event.line)
                self.over = True

    async def _perform(self, tag: bytes, verb: Verb) -> None:
        if self._dismissed:
            self.farewell()
            return
        self.tag = tag
        place = TABLE.get(type(verb))
        began = self.context.clock.monotonic()
        reply: Reply | None
        if place is None:
            name = verb.name if isinstance(verb, Unknown) else verb.word
            reply = Reply(f"{name[:32]} is not known here", status=b"BAD")
        elif not place.states & self.state:
            reply = Reply(f"{verb.word} cannot be used in this state", status=b"BAD")
        else:
            reply = await self._run(place, verb)
        if reply is None:
            return
        if not self.over:
            await self.tell(expunges=place is None or place.tells_expunges(verb))
        if not self.over or isinstance(verb, Logout):
            self.write(responses.tagged(tag, reply.status, reply.text, reply.code))
        self._count(verb, reply, began)

    async def _run(self, place: Slice, verb: Verb) -> Reply | None:
        try:
            return await place.run(self, verb)
        except Disconnected:
            raise
        except Refusal as refusal:
            return refusal.reply
        except MerpatiError as failure:
            self.log.info("command failed", command=verb.word, failure=str(failure))
            return no_for(failure, verb)
        except Exception:
            self.log.exception("bug in a command", command=verb.word)
            return Reply("Internal error; it is in the log", codes.SERVERBUG, b"NO")

    def _count(self, verb: Verb, reply: Reply, began: float) -> None:
        word = verb.word or "unknown"
        metrics = self.context.metrics
        metrics.commands.labels("imap", word, reply.status.decode()).inc()
        if not isinstance(verb, Idle):
            metrics.command_seconds.labels("imap", word).observe(self.context.clock.monotonic() - began)

    # Output

    async def tell(self, *, expunges: bool) -> bool:
        """Tell what has changed in the selected mailbox; whether that could be found out.

        If the mailbox is gone the session ends: RFC 2180 section 3.3 leaves that to us.
        """
        silent, self.silenced = self.silenced, {}
        if self.selected is None:
            return True
        try:
            self.write(await self.selected.news(expunges=expunges, modseq=self.condstore, silent=silent))
        except NoSuchFolder:
            self.bye("The selected mailbox was deleted")
        except Disconnected:
            raise
        except MerpatiError as failure:
            self.log.info("no news", failure=str(failure))  # the client hears of it with a later command
            return False
        return True

    def bye(self, text: str, code: bytes = b"") -> None:
        """End the session after what was written."""
        self.write(responses.bye(text, code))
        self.over = True

    def farewell(self) -> None:
        """The goodbye that is ours to say: the user may not be here any more, or this process is being stopped."""
        if self._dismissed:
            # RFC 5530 section 3: the server's word for a passphrase that lets nobody in any more
            self.bye("The account has changed; log in again", codes.EXPIRED)
        else:
            self.bye("This server is being restarted; come again")  # RFC 9051 section 7.1.5

    # State

    def log_in(self, principal: Principal) -> None:
        """Enter the authenticated state."""
        self.principal = principal
        self.account = self.context.mailboxes.account(principal.account_id)
        self.context.present.add(self)
        self.reader.limits = _after_login(self.context.limits.max_message)
        self.log = self.log.bind(account=principal.account_id)

    async def quota(self) -> int:
        """The bytes that the user's mail may take in all, by what the directory says now; 0 is any.

        Raises `Unavailable`; `Refusal` if the login counts no more.
        """
        assert self.principal is not None, "the table lets no command here before login"
        entry = await entry_of(self.context.accounts, self.principal)
        if entry is None:
            self.dismiss()
            raise Refusal("The account has changed; log in again", codes.EXPIRED)
        return entry.quota

    def forget_client(self) -> None:
        """Before TLS nothing the client said counts (RFC 9051 section 6.2.1)."""
        self.reader = Reader(BEFORE_LOGIN)
        self.enabled = frozenset()
        self._bad = 0


def _after_login(max_message: int) -> Limits:
    return msgspec.structs.replace(AFTER_LOGIN, max_message=max_message, max_nonsync=max_message)
