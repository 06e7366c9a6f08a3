"""The frame around every object of a log: what kind it is, which version wrote it, and whether it is whole.

    preamble   8 bytes `MERPATI` LF, 1 byte kind, 1 byte version, 6 bytes zero
    payload    bytes that the head tells of by offset and digest
    head       MessagePack
    trailer    4 bytes length of the head (big-endian), 32 bytes BLAKE2b-256 of preamble, head and that length

The payload stands before the head so that its offsets are known while the head is being made (rule B1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import Enum

from merpati.log.api import Damaged, NewerFormat

MAGIC = b"MERPATI\n"
PREAMBLE = 16
TRAILER = 36


class Kind(Enum):
    """What an object is: its byte in the preamble, and the newest version of it that we read and write."""

    COMMIT = (b"C", 1)
    SNAPSHOT = (b"S", 1)
    FLOOR = (b"F", 1)
    CHUNK = (b"K", 1)
    PACK = (b"P", 1)
    PAST = (b"H", 1)

    @property
    def preamble(self) -> bytes:
        letter, version = self.value
        return MAGIC + letter + bytes([version]) + bytes(6)


def sealed(kind: Kind, head: bytes, payload: Sequence[bytes] = ()) -> bytes:
    """The whole object."""
    return b"".join((kind.preamble, *payload, head, trailer(kind.preamble, head)))


def trailer(preamble: bytes, head: bytes) -> bytes:
    """What stands at the end of an object."""
    length = len(head).to_bytes(4, "big")
    return length + _digest(preamble, head, length)


def head_of(kind: Kind, data: bytes, key: str) -> bytes:
    """The head of a whole object.  Raises `Damaged` (rule B2) or `NewerFormat` (rule B3)."""
    preamble = data[:PREAMBLE]
    check_preamble(kind, preamble, key)
    length = int.from_bytes(data[-TRAILER : -TRAILER + 4], "big")
    start = len(data) - TRAILER - length
    if start < PREAMBLE:
        raise Damaged("the object is torn", key=key, rule="B2")
    head = data[start:-TRAILER]
    if trailer(preamble, head) != data[-TRAILER:]:
        raise Damaged("the object is not what was written", key=key, rule="B2")
    return head


def check_preamble(kind: Kind, preamble: bytes, key: str) -> int:
    """The version in a preamble.  Raises `Damaged` if this is no object of the kind, `NewerFormat` if it is too new."""
    letter, known = kind.value
    if len(preamble) < PREAMBLE or preamble[:8] != MAGIC or preamble[8:9] != letter:
        raise Damaged("not an object of this kind", key=key, rule="B2")
    version = preamble[9]
    if version > known:
        told = f"an object of format version {version}, and this node reads up to {known}: upgrade it"
        raise NewerFormat(told, key=key, rule="B3")
    return version


def _digest(*pieces: bytes) -> bytes:
    mix = hashlib.blake2b(digest_size=32)
    for piece in pieces:
        mix.update(piece)
    return mix.digest()
