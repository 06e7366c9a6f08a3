"""One message to one server: MAIL, RCPT, DATA, the message, the dot; an outcome for each recipient.

Called by the client with one reply at a time, in the order of the commands.  With PIPELINING (RFC 2920) the commands go
out together, else one by one; what is decided is the same.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from delivery.smtp.actions import Action, Close, Done, Send, SendBody
from delivery.smtp.envelope import Envelope, mail_command, objection, objection_to, rcpt_command
from delivery.smtp.extensions import Extensions
from delivery.smtp.outcome import Outcome, Phase, Verdict, verdict_of
from delivery.smtp.replies import Reply
from merpati.events import Recipient
from merpati.message.wire import END_OF_DATA

GO_AHEAD = 354
SHUTTING_DOWN = 421


class _Step(Struct, frozen=True, gc=False):
    """A command, and what its reply is about; `at` is the recipient's place."""

    phase: Phase
    command: bytes
    at: int = -1


class Transaction:
    """One message.  `phase` is what is waited for; `clean` says that the next MAIL needs no RSET."""

    def __init__(self, envelope: Envelope, offered: Extensions, *, pipelining: bool, reset: bool) -> None:
        self.phase = Phase.MAIL
        self.clean = not reset
        self._envelope = envelope
        self._offered = offered
        self._pipelining = pipelining and offered.pipelining
        self._reset = reset
        self._outcomes: list[Outcome | None] = [None] * len(envelope.recipients)
        self._accepted: list[int] = []
        self._mail_refused: Reply | None = None
        self._to_send: deque[_Step] = deque()
        self._awaited: deque[_Step] = deque()

    def begin(self) -> list[Action]:
        """The first commands; or the end, if there is nothing to send to anybody."""
        if (why := objection(self._envelope, self._offered)) is not None:
            self._decide_rest(Verdict.PERMANENT, *why, Phase.MAIL)
            return self._done()
        self._plan()
        if all(self._outcomes):
            return self._done()
        self.clean = False
        return self._go_on()

    def reply(self, reply: Reply) -> list[Action]:
        """What to do on `reply` to the oldest command that has none yet."""
        if self.phase is Phase.BODY:
            return self._answered_too_early(reply)
        step = self._awaited.popleft()
        if reply.code == SHUTTING_DOWN:
            self._decide_rest(Verdict.TEMPORARY, reply.status, str(reply), step.phase, reply.code)
            return [*self._done(), Close()]
        yes = reply.code == GO_AHEAD if step.phase is Phase.DATA else reply.kind == 2
        if not yes and reply.kind not in (4, 5) and step.command:
            return self.fail(f"unexpected reply to {step.phase.value}: {reply}", "4.5.0")
        match step.phase:
            case Phase.RSET:
                return self._reset_answered(reply)
            case Phase.MAIL:
                if reply.kind != 2:
                    self._mail_refused = reply
                    self._decide_rest(verdict_of(reply, step.phase), reply.status, str(reply), step.phase, reply.code)
            case Phase.RCPT:
                self._rcpt_answered(step.at, reply)
            case Phase.DATA:
                return self._data_answered(reply)
            case _:
                return self._dot_answered(step, reply)
        return self._go_on()

    def body_sent(self) -> list[Action]:
        self._awaited.append(_Step(Phase.DOT, END_OF_DATA))
        self.phase = Phase.DOT
        return []

    def fail(self, text: str, status: str) -> list[Action]:
        """The connection is of no more use: what is undecided can be tried again."""
        # RFC 1047: the dot is out and no answer came. Perhaps they have it
        verdict = Verdict.UNKNOWN if self.phase is Phase.DOT and self._accepted else Verdict.TEMPORARY
        self._decide_rest(verdict, status, text, self.phase)
        return [*self._done(), Close()]

    # Sending

    def _plan(self) -> None:
        """All commands, in order."""
        named = []
        for at, recipient in enumerate(self._envelope.recipients):
            self._outcomes[at] = objection_to(recipient, self._offered)
            if self._outcomes[at] is None:
                named.append((at, recipient))
        internationalized = self._envelope.smtputf8 or not self._envelope.sender.isascii()
        smtputf8 = internationalized or any(not recipient.address.isascii() for _, recipient in named)
        if self._reset:
            self._to_send.append(_Step(Phase.RSET, b"RSET\r\n"))
        self._to_send.append(_Step(Phase.MAIL, mail_command(self._envelope, self._offered, smtputf8=smtputf8)))
        self._to_send.extend(_Step(Phase.RCPT, rcpt_command(who, self._offered), at) for at, who in named)
        self._to_send.append(_Step(Phase.DATA, b"DATA\r\n"))

    def _go_on(self) -> list[Action]:
        """Send what may be sent now; end if nothing is to be said or heard any more."""
        actions: list[Action] = []
        if not self._awaited:
            if all(self._outcomes) and self._to_send:
                self._to_send.clear()  # nobody is left: no DATA
            count = len(self._to_send) if self._pipelining else 1
            batch = [self._to_send.popleft() for _ in range(min(count, len(self._to_send)))]
            if not batch:
                return self._done()
            self._awaited.extend(batch)
            actions.append(Send(b"".join(step.command for step in batch)))
        self.phase = self._awaited[0].phase
        return actions

    # Replies

    def _reset_answered(self, reply: Reply) -> list[Action]:
        return self._go_on() if reply.kind == 2 else self.fail(f"RSET was refused: {reply}", "4.5.0")

    def _rcpt_answered(self, at: int, reply: Reply) -> None:
        if self._outcomes[at] is not None:
            return  # MAIL was refused; what is said of recipients then means nothing
        if reply.kind == 2:
            self._accepted.append(at)
        else:
            self._decide(at, verdict_of(reply, Phase.RCPT), reply.status, str(reply), Phase.RCPT, reply.code)

    def _data_answered(self, reply: Reply) -> list[Action]:
        if reply.code == GO_AHEAD and self._accepted and self._mail_refused is None:
            self.phase = Phase.BODY
            return [SendBody()]
        if reply.code == GO_AHEAD:
            # RFC 2920 section 3.1: nobody took the message and the server waits for it all the same: a lone dot
            self._awaited.append(_Step(Phase.DOT, b""))
            self.phase = Phase.DOT
            return [Send(END_OF_DATA)]
        self._decide_rest(verdict_of(reply, Phase.DATA), reply.status, str(reply), Phase.DATA, reply.code)
        return self._done()

    def _dot_answered(self, step: _Step, reply: Reply) -> list[Action]:
        if not step.command:
            return self._done()  # what is said of an empty message to nobody does not matter
        if reply.kind == 2:
            self.clean = True
            self._decide_rest(Verdict.ACCEPTED, reply.status, str(reply), Phase.DOT, reply.code)
        else:
            self._decide_rest(verdict_of(reply, Phase.DOT), reply.status, str(reply), Phase.DOT, reply.code)
        return self._done()

    def _answered_too_early(self, reply: Reply) -> list[Action]:
        """The server did not wait for the message's end; only a new connection gets back into step."""
        if reply.kind not in (4, 5):
            return self.fail(f"reply before the end of the message: {reply}", "4.5.0")
        verdict = Verdict.TEMPORARY if reply.code == SHUTTING_DOWN else verdict_of(reply, Phase.BODY)
        self._decide_rest(verdict, reply.status, str(reply), Phase.BODY, reply.code)
        return [*self._done(), Close()]

    # Outcomes

    def _decide(self, at: int, verdict: Verdict, status: str, text: str, phase: Phase, code: int = 0) -> None:
        recipient = self._envelope.recipients[at]
        if verdict is Verdict.TEMPORARY and status.startswith("5"):
            status = f"4{status[1:]}"  # RFC 3463 section 2: the class says whether to try again
        passed_on = verdict is Verdict.ACCEPTED and self._offered.dsn
        self._outcomes[at] = Outcome(recipient, verdict, status, text, phase, code, passed_on)

    def _decide_rest(self, verdict: Verdict, status: str, text: str, phase: Phase, code: int = 0) -> None:
        for at, outcome in enumerate(self._outcomes):
            if outcome is None:
                self._decide(at, verdict, status, text, phase, code)

    def _done(self) -> list[Action]:
        self.phase = Phase.IDLE
        return [Done(tuple(outcome for outcome in self._outcomes if outcome is not None))]


def everyone(envelope: Envelope, verdict: Verdict, status: str, text: str, phase: Phase) -> tuple[Outcome, ...]:
    """The same outcome for all recipients of a message that was not begun."""

    def outcome(recipient: Recipient) -> Outcome:
        return Outcome(recipient, verdict, status, text, phase)

    return tuple(map(outcome, envelope.recipients))
