"""The door through which both Kafka clients' exceptions leave.

Called wherever a client is.  Whatever time, an operator or a broker's return can mend is `Unavailable`, a refused login
included: mail waits for it and is not bounced.  Only a record that no broker will ever take is `Permanent`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import aiokafka.errors
import kafka.errors

from merpati.errors import Permanent, Unavailable

CLIENT_ERRORS = (kafka.errors.KafkaError, aiokafka.errors.KafkaError)
TOO_LARGE = (
    kafka.errors.MessageSizeTooLargeError,
    kafka.errors.RecordListTooLargeError,
    aiokafka.errors.MessageSizeTooLargeError,
    aiokafka.errors.RecordListTooLargeError,
)
PRODUCER_IS_LOST = (
    aiokafka.errors.OutOfOrderSequenceNumber,
    aiokafka.errors.ProducerClosed,
    aiokafka.errors.ProducerFenced,
    aiokafka.errors.InvalidProducerEpoch,
    aiokafka.errors.UnknownProducerId,
    aiokafka.errors.InvalidProducerIdMapping,
)
"""After one of these a producer never works again: its place in the brokers' sequence is gone (aiokafka #1017)."""
GROUP_MOVED = (
    kafka.errors.CommitFailedError,
    kafka.errors.RebalanceInProgressError,
    kafka.errors.IllegalGenerationError,
    kafka.errors.UnknownMemberIdError,
)
"""A commit that came while the group was sharing out its partitions anew."""
OUT_OF_RANGE = aiokafka.errors.OffsetOutOfRangeError


def mapped(error: BaseException) -> BaseException:
    """`error` as the rest of the project knows it."""
    if isinstance(error, TOO_LARGE):
        # RFC 3463 section 3.4: message too big for system
        return Permanent("the record is too large for its topic", enhanced="5.3.4", says=str(error))
    if isinstance(error, (*CLIENT_ERRORS, OSError, asyncio.TimeoutError)):
        return Unavailable("Kafka cannot be used", error=type(error).__name__, says=str(error)[:200])
    return error


@contextlib.contextmanager
def door() -> Iterator[None]:
    """Raises what goes wrong inside as `mapped` says."""
    try:
        yield
    except Exception as error:
        known = mapped(error)
        if known is error:
            raise
        raise known from error
