"""The one table of kind → topic, key, retention.  The bus creates topics from it; nobody else names a topic.

Retry tiers are settings, so their topics are made by `retry_topic`; everything else stands in `TOPICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from merpati.events.kinds import Changed, Dead, Event, Happened, Local, Outbound, Received

DAY = 86_400.0
WEEK = 7 * DAY
INLINE_LIMIT = 256 * 1024
"""Bytes up to which a message rides in its event; a larger one is an object in the store."""
MAX_RECORD = 1024 * 1024
"""Bytes of a whole record, on every topic: the inline limit, our prefix and the header (a thousand recipients)."""

PROCESSING_TIER = ("processing", 120.0)
"""The retry tier of messages on which a processor failed: name, seconds."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Where events of a kind go: name, the key that orders them, seconds they are kept."""

    name: str
    key: Callable[..., str]
    keeps: float
    max_record: int = MAX_RECORD


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What the bus needs to create a topic."""

    name: str
    partitions: int
    keeps: float
    """Seconds."""
    max_record: int = MAX_RECORD
    """Bytes."""


TOPICS: dict[type, Topic] = {
    Received: Topic("mail.received", lambda e: e.message, 7 * DAY),
    Local: Topic("mail.local", lambda e: e.account, 7 * DAY),
    Outbound: Topic("mail.outbound", lambda e: e.domain, 7 * DAY),
    Happened: Topic("mail.events", lambda e: e.message, 4 * WEEK),
    Changed: Topic("mailbox.changes", lambda e: e.account, 600.0),
    Dead: Topic("mail.dead", lambda e: e.message, 4 * WEEK, 2 * MAX_RECORD),  # the largest record, and why
}


def topic_of(event: Event) -> Topic:
    """The topic that events of this kind belong on (an `Outbound` that waits belongs on a retry topic instead)."""
    return TOPICS[type(event)]


def retry_topic(tier: str) -> str:
    """The topic of a retry tier such as `5m`."""
    return f"mail.retry.{tier}"


def topic_specs(partitions: int, tiers: Iterable[tuple[str, float]]) -> list[TopicSpec]:
    """Every topic of an installation: those of the table, and one for each retry tier `(name, seconds)`.

    A retry topic keeps its records a week beyond its tier: an outage of the workers must not lose mail.
    """
    fixed = [TopicSpec(topic.name, partitions, topic.keeps, topic.max_record) for topic in TOPICS.values()]
    return fixed + [TopicSpec(retry_topic(name), partitions, seconds + WEEK) for name, seconds in tiers]


def longest_reference(tiers: Iterable[tuple[str, float]] = ()) -> float:
    """Seconds after which no event names an object any more that was put into the store for it, or for its cause.

    The longest way an event can go, each topic keeping it to the end: received, put off to be processed again, received
    again; then to a mailbox, or out and through the longest retry tier; then dead.
    """
    retry = max((seconds + WEEK for _, seconds in (PROCESSING_TIER, *tiers)))
    arriving = 2 * TOPICS[Received].keeps + PROCESSING_TIER[1] + WEEK
    leaving = max(TOPICS[Local].keeps, TOPICS[Outbound].keeps + retry)
    return arriving + leaving + TOPICS[Dead].keeps
