"""How an event is written on the log: the message as the value, the event as JSON in the header `merpati`.

Used by everyone who publishes or consumes.  Never raises anything but `Unreadable` on what it reads.
"""

from __future__ import annotations

import msgspec

from merpati.bus.api import Consumed, Record
from merpati.errors import Permanent
from merpati.events.kinds import Event
from merpati.events.topics import topic_of

HEADER = "merpati"

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Unreadable(Permanent):
    """A record that is no event of a kind this version knows; it belongs on `mail.dead`."""


def encode(event: Event, value: bytes = b"", topic: str = "") -> Record:
    """The record of `event`, whose message bytes are `value`; `topic` overrides the table (retry tiers)."""
    place = topic_of(event)
    return Record(
        topic=topic or place.name,
        key=place.key(event).encode(),
        value=value,
        headers=((HEADER, _encoder.encode(event)),),
    )


def header_of(record: Record | Consumed) -> bytes | None:
    """The `merpati` header as it stands, or None."""
    return next((value for name, value in record.headers if name == HEADER), None)


def decode(record: Record | Consumed) -> Event:
    """The event of a record; its message bytes are `record.value`.  Raises `Unreadable`."""
    header = header_of(record)
    if header is None:
        raise Unreadable("no merpati header", topic=record.topic)
    try:
        return _decoder.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"not an event: {error}", topic=record.topic) from error
