"""A commit as an object: written by whoever commits, read by everyone.  Pure.

The head is an array in MessagePack: id, number, id of the commit before, time, writer, parts; each part an array of the
fold's bytes and of (length, digest) of its attachments, which stand in the payload one after another (rule B4).
Fields are only ever added at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from merpati.log.api import Attachment, Commit, Damaged, Fold, NewerFormat, Part, UnknownChange
from merpati.log.frame import PREAMBLE, Kind, head_of, sealed

C = TypeVar("C")

ID = 16
"""Bytes of a commit's id."""


class _Part(msgspec.Struct, array_like=True, frozen=True):
    changes: bytes
    attachments: list[tuple[int, bytes]] = []


class _Head(msgspec.Struct, array_like=True, frozen=True):
    id: bytes
    number: int
    after: bytes
    at: float
    writer: str
    parts: list[_Part]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def attachment_digest(body: bytes) -> bytes:
    """What a commit says of its attachments."""
    return hashlib.blake2b(body, digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Draft(Generic[C]):
    """A part before it is written: its changes, the bytes of its attachments, and where they will stand."""

    part: Part[C]
    bodies: tuple[bytes, ...]


def drafted(changes: Sequence[C], bodies: Sequence[bytes], offset: int) -> Draft[C]:
    """A part whose attachments begin at `offset` of the commit object."""
    attachments = []
    for body in bodies:
        attachments.append(Attachment(offset, len(body), attachment_digest(body)))
        offset += len(body)
    return Draft(Part(tuple(changes), tuple(attachments)), tuple(bodies))


def encoded(fold: Fold[Any, C], commit: Commit[C], drafts: Sequence[Draft[C]], writer: str) -> bytes:
    """The commit object."""
    parts = [
        _Part(fold.encode(draft.part.changes), [(a.length, a.digest) for a in draft.part.attachments])
        for draft in drafts
    ]
    head = _encoder.encode(_Head(commit.id, commit.number, commit.after, commit.at, writer, parts))
    return sealed(Kind.COMMIT, head, [body for draft in drafts for body in draft.bodies])


def decoded(fold: Fold[Any, C], data: bytes, key: str) -> Commit[C]:
    """The commit in an object; `key` is for the error.  Raises `Damaged`, `NewerFormat`.  Bodies are not checked."""
    return decoded_head(fold, head_of(Kind.COMMIT, data, key), key)


def head_in(data: bytes, key: str) -> bytes:
    """The head of a commit object as it stands there.  Raises `Damaged`, `NewerFormat`."""
    return head_of(Kind.COMMIT, data, key)


def decoded_head(fold: Fold[Any, C], raw: bytes, key: str) -> Commit[C]:
    """The commit that a head tells of.  Raises `Damaged`, `NewerFormat`."""
    try:
        head = _decoder.decode(raw)
        parts, offset = [], PREAMBLE
        for part in head.parts:
            attachments = []
            for length, digest in part.attachments:
                attachments.append(Attachment(offset, length, digest))
                offset += length
            parts.append(Part(tuple(fold.decode(part.changes)), tuple(attachments)))
    except UnknownChange as error:
        told = "a commit of a newer version, and this node does not know all that it says: upgrade it"
        raise NewerFormat(told, key=key, rule="B3", reason=str(error)) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged("a commit that cannot be read", key=key, rule="B4", reason=str(error)) from error
    return Commit(head.number, head.id, head.after, head.at, tuple(parts), head.writer)


def id_in(data: bytes, key: str) -> bytes:
    """Only the id, for a writer that wants to know whose commit it met.  Raises `Damaged`, `NewerFormat`."""
    try:
        return _decoder.decode(head_of(Kind.COMMIT, data, key)).id
    except msgspec.DecodeError as error:
        raise Damaged("a commit that cannot be read", key=key, rule="B4", reason=str(error)) from error


def time_in(raw: bytes) -> float:
    """When a commit was made, from its head; 0 if it cannot be read."""
    try:
        return _decoder.decode(raw).at
    except msgspec.DecodeError:
        return 0.0


def writer_in(raw: bytes) -> str:
    """Who wrote a commit, from its head: `role@host`, or empty."""
    return _decoder.decode(raw).writer
