"""One POP3 connection from greeting to QUIT: reads commands, finds their slice, sends what they answer.

Called by the service for each connection.  What the commands do stands in `logging_in` and `transaction`.  A connection
that ends without QUIT deletes nothing (RFC 1939 section 6).
"""

from __future__ import annotations

from access.conversation import Conversation
from access.pop3 import logging_in as _login  # noqa: F401  (fills the table)
from access.pop3 import transaction as _transaction  # noqa: F401
from access.pop3 import wire
from access.pop3.context import Pop3Context
from access.pop3.maildrop import Maildrop
from access.pop3.table import TABLE, Sorry, State
from access.pop3.wire import Bad, Event, Fatal, Line, Reader, Verb
from merpati.auth.credentials import Principal
from merpati.errors import MerpatiError, Temporary
from merpati.net.failures import Disconnected, Draining, TimedOut
from merpati.net.streams import Connection
from merpati.telemetry import logger

GONE = Sorry("the account has changed; log in again", wire.AUTH)
"""RFC 3206 section 4: what the client has to log in with is not good any more."""


class Session(Conversation):
    """A client's state.  Commands read and replace the public attributes."""

    def __init__(self, context: Pop3Context, connection: Connection) -> None:
        super().__init__(connection)
        self.context = context
        self.reader = Reader()
        self.user = ""
        """The name that USER gave."""
        self.drop: Maildrop | None = None
        self.principal: Principal | None = None
        """Who has logged in."""
        self.log = logger("access/pop3").bind(client=connection.peer.host)
        self._began = connection.time()
        self._bad = 0

    @property
    def state(self) -> State:
        return State.AUTHORIZATION if self.drop is None else State.TRANSACTION

    @property
    def maildrop(self) -> Maildrop:
        """The messages of who has logged in."""
        assert self.drop is not None, "the table lets no command here before login"
        return self.drop

    async def run(self) -> None:
        """Serve the client until one of the two ends it."""
        self.write(wire.ok(f"{self.context.hostname} Merpati ready"))
        try:
            while not self.over:
                event = self.reader.next()
                if event is not None:
                    await self._handle(event)
                elif not await self.receive():
                    return
            await self.flush()
        finally:
            self._unlock()

    async def receive(self) -> bool:
        """More input; False if there will be none."""
        await self.flush()
        limits = self.context.limits
        before = self.state is State.AUTHORIZATION
        patience, until = (limits.before_login, self._began + limits.login_within) if before else (limits.idle, None)
        try:
            data = await self.connection.read(timeout=patience, until=until, between=True)
        except TimedOut:
            return False  # RFC 1939 section 3: the connection is closed without a word
        except Draining:
            if self._dismissed:
                self._sorry(GONE)
            else:
                self.write(wire.err("this server is being restarted; come again", wire.SYS_TEMP))
            await self.flush()
            return False
        self.reader.feed(data)
        return bool(data)

    async def _handle(self, event: Event) -> None:
        if self._dismissed:
            # RFC 1939 section 6: what was marked stays, for the session does not come to its UPDATE state
            self._sorry(GONE)
            self.over = True
            return
        match event:
            case Verb():
                await self._perform(event)
            case Bad(text):
                self._sorry(Sorry(text))
            case Fatal(text):
                self._sorry(Sorry(text))
                self.over = True
            case Line():
                raise AssertionError("a line that nobody asked for")

    async def _perform(self, verb: Verb) -> None:
        began = self.context.clock.monotonic()
        place = TABLE.get(type(verb))
        if place is None:
            sorry: Sorry | None = Sorry("not offered here")
        elif not place.states & self.state:
            sorry = Sorry("not now")
        else:
            try:
                sorry = await place.run(self, verb)
            except Disconnected:
                raise
            except MerpatiError as failure:
                self.log.warning("command failed", command=type(verb).__name__, failure=str(failure))
                sorry = Sorry(failure.public, wire.SYS_TEMP if isinstance(failure, Temporary) else wire.SYS_PERM)
            except Exception:
                self.log.exception("bug in a command", command=type(verb).__name__)
                sorry = Sorry("internal error; it is in the log", wire.SYS_TEMP)
        if sorry is None:
            self._bad = 0
        else:
            self._sorry(sorry)
        self._count(verb, sorry, began)

    def _sorry(self, sorry: Sorry) -> None:
        self.write(wire.err(sorry.text, sorry.code))
        self._bad += 1
        if self._bad >= self.context.limits.max_bad:
            self.over = True

    def _count(self, verb: Verb, sorry: Sorry | None, began: float) -> None:
        word = type(verb).__name__.upper()
        metrics = self.context.metrics
        metrics.commands.labels("pop3", word, "OK" if sorry is None else "ERR").inc()
        metrics.command_seconds.labels("pop3", word).observe(self.context.clock.monotonic() - began)

    # State

    async def log_in(self, principal: Principal) -> Sorry | None:
        """Enter the transaction state, alone in the maildrop."""
        account = principal.account_id
        if account in self.context.locked:
            # RFC 1939 section 4; RFC 2449 section 8.1.2
            return Sorry("another session has this maildrop", wire.IN_USE)
        self.context.locked.add(account)
        self.principal = principal
        try:
            self.drop = await Maildrop.open(self.context.mailboxes.account(account))
        except BaseException:
            self._unlock()
            raise
        self.context.present.add(self)
        self.log = self.log.bind(account=account)
        count, octets = self.drop.totals()
        self.write(wire.ok(f"{count} messages, {octets} octets"))
        return None

    def _unlock(self) -> None:
        self.context.present.discard(self)
        if self.drop is not None:
            self.drop.close()
        principal, self.principal = self.principal, None
        if principal is not None:
            self.context.locked.discard(principal.account_id)

    def forget_client(self) -> None:
        """After STLS nothing counts that was said before (RFC 2595 section 4)."""
        self.reader = Reader()
        self.user = ""
        self._bad = 0
