"""Giving up on a record: how it goes to `mail.dead`, with its reason, so that an operator can look and send it again.

Used by every consumer; the outputs are published before the record is acknowledged.
"""

from __future__ import annotations

from merpati.bus.api import Consumed, Record
from merpati.clock import Clock
from merpati.events import Dead, Happened, Unreadable, What, decode, encode
from merpati.events.codec import header_of
from merpati.ids import MessageId, derived_event_id

MAX_REASON = 1000
"""Characters."""


def dead_letter(record: Consumed, reason: str, service: str, clock: Clock, host: str = "") -> list[Record]:
    """The records to publish for a record that nobody can work on: the letter itself, and `parked` for the trace.

    The same record gives the same ids, however often it is given up on.
    """
    cause = f"{record.topic}/{record.partition}/{record.offset}"
    message = message_of(record)
    dead = Dead(
        id=derived_event_id(cause, "dead"),
        message=message,
        at=clock.time(),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason[:MAX_REASON],
        service=service,
        key=record.key.decode("latin-1"),
        header=(header_of(record) or b"").decode("latin-1"),
    )
    letters = [encode(dead, record.value)]
    if message:
        parked = Happened(
            id=derived_event_id(cause, "parked"),
            message=MessageId(message),
            at=clock.time(),
            what=What.PARKED,
            service=service,
            host=host,
            detail={"reason": reason[:200], "topic": record.topic},
        )
        letters.append(encode(parked))
    return letters


def message_of(record: Consumed) -> str:
    """The message id of a record's event, or empty if it cannot be read or has none."""
    try:
        return str(getattr(decode(record), "message", ""))
    except Unreadable:
        return ""
