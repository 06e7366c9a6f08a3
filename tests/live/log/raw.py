"""A second reader of the log, written from docs/mailbox-log.md: it shares no code with the one that it judges.

Called by `judge`.  Reads commits where they are, and the heads of those that were truncated from the pasts; a bucket is
read through `minio`, which the log itself never uses for its objects.
"""

from __future__ import annotations

import hashlib
import itertools
import pathlib
from dataclasses import dataclass
from typing import Any, Protocol

import cramjam
import msgspec
from minio import Minio
from minio.error import S3Error

MAGIC = b"MERPATI\n"
TRAILER = 36
FIRST = 2
"""The number of the first commit of a log (rule C1)."""


class Objects(Protocol):
    """The objects of a store, as anybody can read them."""

    def keys(self, prefix: str) -> list[str]:
        """Ascending."""
        ...

    def read(self, key: str) -> bytes | None: ...


class FolderObjects:
    """Of the files engine."""

    def __init__(self, root: pathlib.Path) -> None:
        self._root = root

    def keys(self, prefix: str) -> list[str]:
        folder = self._root / prefix
        return sorted(f"{prefix}{path.name}" for path in folder.iterdir()) if folder.is_dir() else []

    def read(self, key: str) -> bytes | None:
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError:
            return None


class BucketObjects:
    """Of a bucket."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def keys(self, prefix: str) -> list[str]:
        return sorted(str(found.object_name) for found in self._client.list_objects(self._bucket, prefix))

    def read(self, key: str) -> bytes | None:
        try:
            answer = self._client.get_object(self._bucket, key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        try:
            return bytes(answer.read())
        finally:
            answer.close()
            answer.release_conn()


@dataclass(frozen=True, slots=True)
class RawCommit:
    """A commit as it stands in the store; `changes` are those of all its parts."""

    number: int
    id: bytes
    after: bytes
    at: float
    changes: list[list[Any]]


@dataclass(frozen=True, slots=True)
class RawLog:
    """What is left of a log: `commits` is without gap, and `wrong` says what is not as it must be."""

    commits: list[RawCommit]
    objects: int
    """Commits that are objects of their own still."""
    wrong: list[str]

    @property
    def first(self) -> int:
        return self.commits[0].number if self.commits else FIRST


def raw_log(objects: Objects, prefix: str) -> RawLog:
    """All commits that can be read, held against each other (rules B1, B4, C1, C2, P2)."""
    wrong: list[str] = []
    heads = _past_heads(objects, prefix)
    newest_past = max(heads, default=0)
    standing = [int(key.rpartition("/")[2]) for key in objects.keys(f"{prefix}/log/")]
    for number in standing:
        if number > newest_past:  # P2: of an older one the past tells
            heads[number] = head_in(objects.read(f"{prefix}/log/{number:020}") or b"", b"C")[1]
    commits = [_commit(heads[number]) for number in sorted(heads)]
    for number, commit in zip(sorted(heads), commits, strict=True):
        if commit.number != number:
            wrong.append(f"commit {commit.number} stands at {number}")
    for before, commit in itertools.pairwise(commits):
        if commit.number != before.number + 1:
            wrong.append(f"a gap between {before.number} and {commit.number}")
        elif commit.after != before.id:
            wrong.append(f"commit {commit.number} does not follow {before.number}")
        if commit.at < before.at:
            wrong.append(f"commit {commit.number} is older than the one before it")
    if len({commit.id for commit in commits}) != len(commits):
        wrong.append("an id stands twice")
    return RawLog(commits, len(standing), wrong)


def head_in(data: bytes, letter: bytes) -> tuple[bytes, bytes]:
    """Payload and head of an object of this kind (rule B1); ValueError if it is not whole."""
    length = int.from_bytes(data[-TRAILER : -TRAILER + 4], "big")
    start = len(data) - TRAILER - length
    if data[:10] != MAGIC + letter + b"\1" or start < 16:
        raise ValueError(f"no object of kind {letter!r}: {data[:16]!r}")
    head = data[start:-TRAILER]
    if hashlib.blake2b(data[:16] + head + data[-TRAILER : -TRAILER + 4], digest_size=32).digest() != data[-32:]:
        raise ValueError("torn, or not what was written")
    return data[16:start], head


def _past_heads(objects: Objects, prefix: str) -> dict[int, bytes]:
    snapshots = objects.keys(f"{prefix}/snap/")
    if not snapshots:
        return {}
    _, newest = head_in(objects.read(snapshots[0]) or b"", b"S")
    found: dict[int, bytes] = {}
    for name, first, last, *_ in msgspec.msgpack.decode(newest)[7]:
        payload, head = head_in(objects.read(f"{prefix}/past/{name}") or b"", b"H")
        begin, end, lengths, _ = msgspec.msgpack.decode(head)
        if (begin, end) != (first, last):
            raise ValueError(f"past {name} holds {begin} to {end} and not {first} to {last}")
        joined = bytes(cramjam.zstd.decompress(payload))
        start = 0
        for number, length in enumerate(lengths, first):
            found[number] = joined[start : start + length]
            start += length
    return found


def _commit(head: bytes) -> RawCommit:
    identity, number, after, at, _, parts = msgspec.msgpack.decode(head)[:6]
    changes = [change for part in parts for change in msgspec.msgpack.decode(part[0])]
    return RawCommit(number, identity, after, at, changes)
