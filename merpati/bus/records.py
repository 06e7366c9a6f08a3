"""What every engine knows of a record before it is written: its size, its limit, its partition.

Called by the engines' `publish` and `scan`.  Pure; never touches a log.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from merpati.bus.api import Headers, Record
from merpati.errors import Permanent

MAX_PARTITIONS = 1024
"""Of one topic."""


def size_of(key: bytes, value: bytes, headers: Headers) -> int:
    """Bytes of a record: what `TopicSpec.max_record` limits."""
    return len(key) + len(value) + sum(len(name) + len(content) for name, content in headers)


def partition_of(key: bytes, partitions: int) -> int:
    """Where records of `key` go on the embedded engines.  It must never change: a log outlives its program."""
    return zlib.crc32(key) % partitions


def admit(record: Record, max_record: int) -> None:
    """Raises `Permanent` if `record` is larger than its topic allows, `TypeError` if it is not made of bytes.

    A value of a wrong type is its writer's bug; on the log it would be everyone's.
    """
    contents = [record.key, record.value, *(content for _, content in record.headers)]
    if not all(isinstance(content, bytes) for content in contents):
        raise TypeError(f"a record is made of bytes: {record.topic}")
    size = size_of(record.key, record.value, record.headers)
    if size > max_record:
        raise Permanent(
            "the record is too large for its topic",
            enhanced="5.3.4",  # RFC 3463 section 3.4: message too big for system
            topic=record.topic,
            size=size,
            limit=max_record,
        )


def no_such_topic(topic: str) -> Permanent:
    """The failure of whoever names a topic that was never created."""
    return Permanent("no such topic", enhanced="5.3.5", topic=topic)


def topics_of(records: Sequence[Record]) -> set[str]:
    """The topics that `records` go to."""
    return {record.topic for record in records}
