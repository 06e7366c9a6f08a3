"""The messages of the world: made from their number, so that each can be told and checked by its bytes alone."""

from __future__ import annotations

from functools import lru_cache

from merpati.ids import digest_of
from merpati.mailbox.api import Append, Large

TWINS = (900_001, 900_002, 900_004)
"""Messages that clients append again and again, byte for byte and without a cause: each time is one more."""


@lru_cache(maxsize=4096)
def letter(number: int) -> bytes:
    """The message of that number."""
    text = f"From: a@b.test\r\nSubject: {number}\r\n\r\nbody of {number}\r\n".encode()
    return text + b"x" * (number * 37 % 900) + b"\r\n"


def number_of(body: bytes) -> int:
    """Which message it is."""
    return int(body.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0])


def victim(number: int) -> bool:
    """Whether the message may be expunged; the others must all be there at the end."""
    return number % 3 == 0


def prodigal(number: int) -> bool:
    """Whether an expunged message may be brought back, any number of times."""
    return number % 6 == 0


def large(number: int) -> bool:
    """Whether the message is put into the store as an object of its own."""
    return number % 5 == 1


def large_part(number: int) -> tuple[bytes, bytes, tuple[tuple[int, int], ...]]:
    """A large message in pieces: what stands before the object, the object, and what of it does not count."""
    whole = letter(number)
    prefix, rest = (whole[:16], whole[16:]) if number % 2 else (b"", whole)
    if number % 3 == 1:
        return prefix, rest[:20] + b"Bcc: nobody\r\n" + rest[20:], ((20, 33),)
    return prefix, rest, ()


def as_large(number: int, stored: Large, cause: str) -> Append:
    """A delivery of a message whose object is in the store."""
    prefix, data, without = large_part(number)
    assert (stored.digest, stored.size) == (digest_of(data), len(data))
    return Append("INBOX", Large(stored.key, stored.digest, stored.size, prefix, without), cause=cause)
