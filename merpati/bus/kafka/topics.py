"""What a topic of ours looks like on Kafka.  Pure: it decides, `admin` does.

The limit of a topic is of whole batches on Kafka, of single records with us; so the brokers are told to allow more than
a record, and the record's own limit is kept before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

BATCH_BYTES = 512 * 1024
"""Of records that are sent as one."""
OVERHEAD_BYTES = 16 * 1024
"""What a batch adds to its records: its head, and lengths and times of up to a thousand headers."""
MOST_REPLICAS = 3
FOREVER = str(2**63 - 1)
OPERATORS = frozenset({"flush.messages"})
"""Settings that a new topic gets and an operator may change: his disk may be one that loses nothing."""


@dataclass(frozen=True, slots=True)
class KnownTopic:
    """A topic as the brokers know it."""

    name: str
    partitions: int
    replicas: int


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic to create."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What brings the brokers into line: topics to create, and settings to change by topic."""

    create: Sequence[TopicPlan]
    alter: Mapping[str, Mapping[str, str]]


def batch_limit(max_record: int) -> int:
    """`max.message.bytes` of a topic whose records may have `max_record` bytes."""
    return max(max_record, BATCH_BYTES) + OVERHEAD_BYTES


def replicas_of(brokers: int) -> int:
    """How many copies of a new topic there are to be."""
    return min(brokers, MOST_REPLICAS)


def settings_of(spec: TopicSpec, replicas: int) -> dict[str, str]:
    """The settings of a topic with so many copies."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(int(spec.keeps * 1000)),
        # Only whole segments are deleted: a quarter of the time in each, at least a minute, at most a day.
        "segment.ms": str(int(min(max(spec.keeps / 4, 60.0), 86_400.0) * 1000)),
        "max.message.bytes": str(batch_limit(spec.max_record)),
        "min.insync.replicas": "2" if replicas >= MOST_REPLICAS else "1",
        # A lone copy is only as good as its disk: without this the broker acknowledges what a power cut can take back.
        "flush.messages": FOREVER if replicas > 1 else "1",
    }


def plan(
    specs: Sequence[TopicSpec],
    known: Mapping[str, KnownTopic],
    settings: Mapping[str, Mapping[str, str]],
    brokers: int,
) -> Plan:
    """What is to be created, and which settings of topics that are there are not as they should be.

    Partitions are never added: they decide which records keep their order.
    """
    create, alter = [], {}
    for spec in specs:
        if spec.name not in known:
            replicas = replicas_of(brokers)
            create.append(TopicPlan(spec.name, spec.partitions, replicas, settings_of(spec, replicas)))
            continue
        wanted = settings_of(spec, known[spec.name].replicas)
        actual = settings.get(spec.name, {})
        different = {
            name: value for name, value in wanted.items() if actual.get(name) != value and name not in OPERATORS
        }
        if different:
            alter[spec.name] = different
    return Plan(create, alter)
