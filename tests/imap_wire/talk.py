"""How the tests of the IMAP wire code talk to a reader."""

from __future__ import annotations

from access.imap.wire.commands import Verb
from access.imap.wire.events import Bad, Command, Event, NeedLiteral
from access.imap.wire.limits import AFTER_LOGIN, Limits
from access.imap.wire.reader import Reader


def events(data: bytes, *, limits: Limits = AFTER_LOGIN, utf8: bool = False, cut: int = 0) -> list[Event]:
    """All events of `data`, fed at once or in pieces of `cut` bytes."""
    reader = Reader(limits, utf8=utf8)
    found: list[Event] = []
    step = cut or max(len(data), 1)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        found.extend(drain(reader))
    return found


def drain(reader: Reader) -> list[Event]:
    found = []
    while (event := reader.next()) is not None:
        found.append(event)
    return found


def one(text: bytes, *, limits: Limits = AFTER_LOGIN, utf8: bool = False) -> Event:
    """The one event of one command without its tag and CRLF, leave to send literals aside."""
    found = [
        event
        for event in events(b"a " + text + b"\r\n", limits=limits, utf8=utf8)
        if not isinstance(event, NeedLiteral)
    ]
    assert len(found) == 1, found
    return found[0]


def verb(text: bytes, *, utf8: bool = False) -> Verb:
    event = one(text, utf8=utf8)
    assert isinstance(event, Command), event
    assert event.tag == b"a"
    return event.verb


def refusal(text: bytes, *, limits: Limits = AFTER_LOGIN, utf8: bool = False) -> Bad:
    event = one(text, limits=limits, utf8=utf8)
    assert isinstance(event, Bad), event
    return event
