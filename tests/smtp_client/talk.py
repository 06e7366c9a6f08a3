"""A client and a server of the test's own, without a network: what the server says goes in, what is done comes out."""

from __future__ import annotations

from delivery.smtp.actions import Action, Close, Done, Failed, Ready, Send, SendBody, StartTls
from delivery.smtp.body import Stuffer
from delivery.smtp.client import Client
from delivery.smtp.envelope import Envelope, envelope_of
from delivery.smtp.opening import Options
from delivery.smtp.outcome import Outcome, Trouble
from merpati.events import Recipient

OPTIONS = Options("mx.example.org")
MESSAGE = b"Subject: x\r\n\r\n.hi\r\n"
STUFFED = b"Subject: x\r\n\r\n..hi\r\n.\r\n"


def recipients(*addresses: str) -> tuple[Recipient, ...]:
    return tuple(map(Recipient, addresses))


def envelope(*addresses: str, sender: str = "a@b.test", message: bytes = MESSAGE, **more: object) -> Envelope:
    return envelope_of(message, sender, recipients(*(addresses or ("c@d.test",))), **more)  # type: ignore[arg-type]


class Wire:
    """Does what the client asks for, and keeps count."""

    def __init__(self, options: Options = OPTIONS, message: bytes = MESSAGE) -> None:
        self.client = Client(options)
        self.message = message
        self.sent = b""
        self.handshakes = 0
        self.ready = False
        self.closed = False
        self.trouble: Trouble | None = None
        self.outcomes: tuple[Outcome, ...] | None = None

    def say(self, data: bytes, cut: int = 0) -> bytes:
        """The server says `data`, in pieces of `cut` bytes; what the client sends then."""
        before = len(self.sent)
        step = cut or max(len(data), 1)
        for at in range(0, len(data), step):
            self.do(self.client.feed(data[at : at + step]))
        return self.sent[before:]

    def deliver(self, wanted: Envelope) -> bytes:
        before = len(self.sent)
        self.outcomes = None
        self.do(self.client.deliver(wanted))
        return self.sent[before:]

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self.closed, f"{action} behind Close"
            match action:
                case Send(data):
                    self.sent += data
                case SendBody():
                    stuffer = Stuffer()
                    self.sent += stuffer.feed(self.message) + stuffer.end()
                    self.do(self.client.body_sent())
                case StartTls():
                    self.handshakes += 1
                    self.do(self.client.tls_started())
                case Ready():
                    self.ready = True
                case Done(outcomes):
                    assert self.outcomes is None, "two ends of one message"
                    self.outcomes = outcomes
                case Failed(trouble):
                    self.trouble = trouble
                case Close():
                    self.closed = True


def opened(offer: bytes = b"PIPELINING", options: Options = OPTIONS, message: bytes = MESSAGE) -> Wire:
    """A wire whose opening is over; `offer` are the lines of EHLO's answer."""
    wire = Wire(options, message)
    wire.say(b"220 hi\r\n")
    lines = [b"mx", *offer.splitlines()]
    wire.say(b"".join(b"250-%b\r\n" % line for line in lines[:-1]) + b"250 %b\r\n" % lines[-1])
    assert wire.ready
    return wire
