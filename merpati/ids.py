"""Identities and randomness: the one module that throws the dice.

A message id is a UUIDv7 (RFC 9562 section 5.7): the time is in it, so a trace can seek in a log by it.  Ids of outputs
are derived from the id of their input, so running a handler twice says the same thing twice and every sink drops the
second.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import uuid
from typing import NewType, Protocol

from merpati.clock import Clock

MessageId = NewType("MessageId", str)
"""A UUIDv7 in its canonical form of 36 characters, lower case."""

EventId = NewType("EventId", str)
"""32 hexadecimal digits: random for an event that begins something, else derived from its cause."""

AccountId = NewType("AccountId", str)
"""26 characters of lower-case base32 (RFC 4648 section 6): safe as a path component on every store."""

Digest = NewType("Digest", str)
"""BLAKE2b-256 of some bytes, 64 hexadecimal digits."""


class Dice(Protocol):
    """Where a component gets randomness from."""

    def bytes(self, n: int) -> bytes:
        """`n` random bytes, unguessable outside the tests."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high): for jitter."""
        ...


class SystemDice:
    """The operating system's randomness."""

    def bytes(self, n: int) -> bytes:
        return os.urandom(n)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


class SeededDice:
    """The same throws for the same seed: for simulations and tests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bytes(self, n: int) -> bytes:
        return self._random.randbytes(n)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def new_message_id(clock: Clock, dice: Dice) -> MessageId:
    """A fresh UUIDv7 of this millisecond."""
    milliseconds = int(clock.time() * 1000) & ((1 << 48) - 1)
    rest = int.from_bytes(dice.bytes(10), "big")
    # RFC 9562 section 5.7: 48 bits of time, version 7, 12 random bits, variant 2, 62 random bits
    value = milliseconds << 80 | 7 << 76 | (rest >> 68 & 0xFFF) << 64 | 2 << 62 | rest & ((1 << 62) - 1)
    return MessageId(str(uuid.UUID(int=value)))


def time_of(message_id: MessageId) -> float:
    """The time in a message id, seconds since 1970.  Raises ValueError if it is no UUIDv7."""
    value = uuid.UUID(message_id)
    if value.version != 7:
        raise ValueError(f"not a UUIDv7: {message_id!r}")
    return (value.int >> 80) / 1000


def new_event_id(dice: Dice) -> EventId:
    """An id for an event that nothing on the log caused."""
    return EventId(dice.bytes(16).hex())


def derived_event_id(cause: str, *labels: str) -> EventId:
    """The id of an output of the event `cause`: the same for the same labels, however often it is asked."""
    return EventId(hashlib.blake2b("\0".join((cause, *labels)).encode(), digest_size=16).hexdigest())


def derived_message_id(cause: MessageId, *labels: str) -> MessageId:
    """The message id of a message that the message `cause` brings about (a bounce): same cause and labels, same id.

    It carries the time of its cause, so a trace of either finds both.
    """
    head = uuid.UUID(cause).int >> 80
    rest = int.from_bytes(hashlib.blake2b("\0".join((cause, *labels)).encode(), digest_size=10).digest(), "big")
    value = head << 80 | 7 << 76 | (rest >> 68 & 0xFFF) << 64 | 2 << 62 | rest & ((1 << 62) - 1)
    return MessageId(str(uuid.UUID(int=value)))


def new_account_id(dice: Dice) -> AccountId:
    """A fresh random account id (128 bits)."""
    return AccountId(base64.b32encode(dice.bytes(16)).decode().rstrip("=").lower())


def derived_account_id(*labels: str) -> AccountId:
    """An account id that follows from `labels`: for logs found without a look-up, such as a domain's directory."""
    raw = hashlib.blake2b("\0".join(labels).encode(), digest_size=16).digest()
    return AccountId(base64.b32encode(raw).decode().rstrip("=").lower())


def digest_of(data: bytes | memoryview) -> Digest:
    """The digest that names immutable bytes in the store."""
    return Digest(hashlib.blake2b(data, digest_size=32).hexdigest())
