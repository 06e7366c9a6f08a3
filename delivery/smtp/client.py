"""The SMTP client (RFC 5321), sans-io: what a server says goes in, what to do comes out.

Called by the driver: `feed` after every read, `deliver` for each message once `Ready` or `Done` has come, `quit` at the
end.  Every method gives actions to be done in order.  No socket, no await, no clock: `phase` names what is waited for,
the driver knows how long.
"""

from __future__ import annotations

from delivery.smtp.actions import Action, Close, Done, Failed, Send, SendBody, StartTls
from delivery.smtp.envelope import Envelope
from delivery.smtp.extensions import Extensions
from delivery.smtp.opening import QUIT, Opening, Options
from delivery.smtp.outcome import Cause, Phase, Verdict
from delivery.smtp.replies import Broken, Reply, ReplyReader
from delivery.smtp.transaction import Transaction, everyone


class Client:
    """One connection to one server; it carries any number of messages, one after the other."""

    def __init__(self, options: Options) -> None:
        self.replies_taken = 0
        """How many whole replies came: the driver's clock starts anew with each."""
        self._options = options
        self._opening = Opening(options)
        self._replies = ReplyReader()
        self._transaction: Transaction | None = None
        self._phase: Phase | None = None
        self._clean = True

    @property
    def phase(self) -> Phase:
        """What is waited for."""
        if self._phase is not None:
            return self._phase
        return self._opening.phase if self._transaction is None else self._transaction.phase

    @property
    def usable(self) -> bool:
        """Whether `deliver` may be called."""
        return self.phase is Phase.IDLE

    @property
    def offered(self) -> Extensions:
        """What the server can do."""
        return self._opening.offered

    # What happens

    def feed(self, data: bytes) -> list[Action]:
        """Bytes came."""
        actions: list[Action] = []
        if self.phase is Phase.CLOSED:
            return actions
        self._replies.feed(data)
        if self.phase is Phase.HANDSHAKE:
            return self._seen(self._injected())
        while self.phase is not Phase.CLOSED and (reply := self._replies.next()) is not None:
            actions += self._seen(self._in_step(self._heard(reply)))
        return actions

    def tls_started(self) -> list[Action]:
        """The handshake is done."""
        self._replies = ReplyReader()
        return self._opening.tls_started()

    def tls_failed(self, reason: str) -> list[Action]:
        """The handshake failed; the connection is gone."""
        return self._seen(self._opening.trouble(Cause.HANDSHAKE, f"TLS handshake failed: {reason}", "4.7.5"))

    def body_sent(self) -> list[Action]:
        """The message was written, with its final dot."""
        return [] if self._transaction is None else self._transaction.body_sent()

    def body_failed(self, reason: str) -> list[Action]:
        """The message cannot be had to its end; without a dot the server has nothing."""
        return self._seen(self._give_up(Cause.LOST, reason, "4.3.0"))

    def lost(self, reason: str = "connection lost") -> list[Action]:
        """The connection is gone."""
        return self._seen(self._give_up(Cause.LOST, f"{reason}, waiting for {self.phase.value}", "4.4.2"))

    def timed_out(self) -> list[Action]:
        """The server did not answer in time."""
        return self._seen(self._give_up(Cause.TIMEOUT, f"timeout, waiting for {self.phase.value}", "4.4.2"))

    # What is wanted

    def deliver(self, envelope: Envelope) -> list[Action]:
        """Send a message; when `Done` has come, another may follow if the client is still `usable`."""
        if not self.usable:
            text = "the session is over"
            return [Done(everyone(envelope, Verdict.TEMPORARY, "4.4.2", text, Phase.CLOSED))]
        self._transaction = Transaction(
            envelope, self.offered, pipelining=self._options.pipelining, reset=not self._clean
        )
        return self._seen(self._transaction.begin())

    def quit(self) -> list[Action]:
        """End the session in the way of RFC 5321 section 4.1.1.10."""
        if not self.usable:
            self._phase = Phase.CLOSED
            return [Close()]
        self._phase = Phase.QUIT
        return [Send(QUIT)]

    # Inside

    def _heard(self, reply: Reply | Broken) -> list[Action]:
        if isinstance(reply, Broken):
            return self._give_up(Cause.PROTOCOL, reply.why, "4.5.0")
        self.replies_taken += 1
        if self._phase is Phase.QUIT:
            return [Close()]
        if self.phase is Phase.IDLE:
            return [Close()]  # 421 most likely (RFC 5321 section 3.8): nothing was asked, so nothing is lost
        stage = self._opening if self._transaction is None else self._transaction
        return stage.reply(reply)

    def _in_step(self, actions: list[Action]) -> list[Action]:
        """`actions`, unless the server said more than it was asked: then no reply is surely that of its command."""
        if not self._replies.unread or not actions:
            return actions
        if isinstance(actions[-1], StartTls):
            return self._injected()
        if isinstance(actions[-1], Send | SendBody):
            return self._give_up(Cause.PROTOCOL, "replies to what was not said yet", "4.5.0")
        return actions

    def _give_up(self, cause: Cause, text: str, status: str) -> list[Action]:
        if self._phase is not None or self.usable:
            return [Close()]
        if self._transaction is not None:
            return self._transaction.fail(text, status)
        return self._opening.trouble(cause, text, status)

    def _injected(self) -> list[Action]:
        # CVE-2011-0411: who puts bytes behind the answer to STARTTLS wants them taken for the server's words under TLS
        return self._opening.trouble(Cause.INJECTION, "bytes in clear behind the answer to STARTTLS", "4.7.0")

    def _seen(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, Done) and self._transaction is not None:
                self._clean = self._transaction.clean
            elif isinstance(action, Close | Failed):
                self._phase = Phase.CLOSED
        return actions
