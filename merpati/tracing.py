"""A message's way, put together from `mail.events`: what `merpati trace` and the demo show.

Reading is one scan of one partition from the time in the message id on.  Nothing here prints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from merpati.bus.api import Bus, Consumed
from merpati.events import TOPICS, Happened, Unreadable, What, decode
from merpati.ids import MessageId, time_of

SLACK = 120.0
"""Seconds that the clocks of two machines may differ by."""
FINAL = frozenset({What.STORED, What.RELAYED, What.BOUNCED, What.QUARANTINED, What.DISCARDED, What.PARKED})
"""Each recipient ends in exactly one of these."""


class Hop(msgspec.Struct, frozen=True):
    """One thing that happened, `after` seconds since the first."""

    after: float
    event: Happened


class Trace(msgspec.Struct, frozen=True):
    """All that is known of one message, in the order of its times."""

    message: MessageId
    hops: tuple[Hop, ...]
    related: tuple[MessageId, ...] = ()
    """Messages that this one brought about: bounces."""

    @property
    def ends(self) -> dict[str, What]:
        """How each recipient ended, for those that have."""
        return {
            recipient: hop.event.what
            for hop in self.hops
            if hop.event.what in FINAL
            for recipient in hop.event.recipients or ("",)
        }


def assemble(message: MessageId, events: Iterable[Happened]) -> Trace:
    """The trace of `message` from its events: each event id once, in the order of time."""
    unique = {event.id: event for event in events if event.message == message}
    ordered = sorted(unique.values(), key=lambda event: event.at)
    first = ordered[0].at if ordered else 0.0
    related = dict.fromkeys(
        MessageId(event.detail["bounce"])
        for event in ordered
        if event.what is What.BOUNCED and "bounce" in event.detail
    )
    hops = tuple(Hop(round(event.at - first, 6), event) for event in ordered)
    return Trace(message, hops, tuple(related))


async def trace(bus: Bus, message: MessageId) -> Trace:
    """The trace of one message.  Raises ValueError if `message` is no message id."""
    since = time_of(message) - SLACK
    topic = TOPICS[Happened].name
    records = bus.scan(topic, since=since, key=message.encode())
    return assemble(message, [event async for event in _happened(records)])


async def find(bus: Bus, *, since: float, sender: str = "", recipient: str = "") -> list[Trace]:
    """Traces of the messages since `since` from `sender` to `recipient`; an empty one asks for any."""
    by_message: dict[MessageId, list[Happened]] = {}
    async for event in _happened(bus.scan(TOPICS[Happened].name, since=since)):
        by_message.setdefault(event.message, []).append(event)
    found = [assemble(message, events) for message, events in by_message.items()]
    return sorted(
        (one for one in found if _about(one, sender.lower(), recipient.lower())), key=lambda one: one.hops[0].event.at
    )


def _about(one: Trace, sender: str, recipient: str) -> bool:
    senders = {hop.event.sender.lower() for hop in one.hops}
    recipients = {address.lower() for hop in one.hops for address in hop.event.recipients}
    return (not sender or sender in senders) and (not recipient or recipient in recipients)


async def _happened(records: AsyncIterator[Consumed]) -> AsyncIterator[Happened]:
    async for record in records:
        try:
            event = decode(record)
        except Unreadable:
            continue  # a newer version's event: others can read it, we pass it over
        if isinstance(event, Happened):
            yield event
