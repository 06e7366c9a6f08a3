"""Objects of the format: found in a folder of files, held against their digests, and taken apart.

For the second reader, so nothing here comes from merpati: written from `docs/mailbox-log.md` and `PROTOCOL.md` alone
(rules in brackets are of the latter).  Nothing is ever written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import msgspec

VERSION = 1
PREAMBLE = 16
TRAILER = 36


class Refused(Exception):
    """An object is damaged, foreign or missing; names the key and the rule."""


class TooNew(Exception):
    """An object is of a version that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where it stands in its commit, and what it must hash to."""

    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What the head of a commit says."""

    number: int
    id: bytes
    before: bytes
    time: float
    parts: tuple[tuple[bytes, tuple[Attachment, ...]], ...]
    """Changes, as their kind of log writes them, and attachments."""


def digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def unpacked(data: bytes) -> bytes:
    return bytes(cramjam.zstd.decompress(data))


class Bucket:
    """A store whose objects are files: each key is a path under the root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> bytes | None:
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> list[str]:
        """Keys in the order of their bytes."""
        folder = self._root / prefix
        return sorted(f"{prefix}{path.name}" for path in folder.iterdir()) if folder.is_dir() else []

    def head(self, key: str, kind: bytes) -> tuple[Any, bytes]:
        """The head of an object, and all of its bytes."""
        data = self.get(key)
        if data is None:
            raise Refused(f"{key} is missing")
        return opened(key, data, kind), data

    def chunk(self, prefix: str, name: str) -> bytes:
        """A piece of a snapshot."""
        key = f"{prefix}/chunk/{name}"
        data = self.get(key)
        if data is None or digest(data).hex() != name.partition("_")[0]:
            raise Refused(f"{key} is missing or not what its name says [S3]")
        _check_preamble(key, data, b"K")
        plain = unpacked(data[PREAMBLE + 8 :])
        if len(plain) != int.from_bytes(data[PREAMBLE : PREAMBLE + 8], "big"):
            raise Refused(f"{key} is not as long as it says [B2]")
        return plain


def opened(key: str, data: bytes, kind: bytes) -> Any:
    """The head of an object, after its digest was held against it [B1]."""
    _check_preamble(key, data, kind)
    length = int.from_bytes(data[-TRAILER : -TRAILER + 4], "big")
    head = data[len(data) - TRAILER - length : -TRAILER]
    if digest(data[:PREAMBLE] + head + data[-TRAILER : -TRAILER + 4]) != data[-32:]:
        raise Refused(f"{key} is damaged [B2]")
    return msgspec.msgpack.decode(head)


def commit_in(head: Any) -> Commit:
    """[B4]"""
    id, number, before, time, _, parts, *_ = head
    offset, found = PREAMBLE, []
    for changes, attachments, *_ in parts:
        places = []
        for length, expected, *_ in attachments:
            places.append(Attachment(offset, length, expected))
            offset += length
        found.append((changes, tuple(places)))
    return Commit(number, id, before, time, tuple(found))


def _check_preamble(key: str, data: bytes, kind: bytes) -> None:
    if data[:9] != b"MERPATI\n" + kind:
        raise Refused(f"{key} is no such object [B2]")
    if data[9] > VERSION:
        raise TooNew(f"{key} is of a newer version [B3]")
