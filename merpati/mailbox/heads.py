"""The head of a mailbox's snapshot and its smaller chunks, as they are written: shared by `dumping` and `loading`.

Arrays in MessagePack; new fields only at the end, each with a default.
"""

from __future__ import annotations

import struct

import msgspec

from merpati.ids import Digest
from merpati.mailbox.bodies import LargePlace
from merpati.mailbox.changes import LargeBody

CAUSE = struct.Struct("<16sIId")
"""A cause, its folder and UID, and the time of its commit."""


class FolderHead(msgspec.Struct, array_like=True, frozen=True):
    """A folder but for its messages."""

    id: int
    name: str
    uidvalidity: int
    modseq: int
    uidnext: int
    special_use: str
    keywords: tuple[str, ...]
    exists: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int
    runs: tuple[tuple[int, Digest, Digest], ...]
    """Number of messages, the chunk of what never changes of them, the chunk of their flags and MODSEQs."""
    summaries: tuple[tuple[int, Digest], ...]
    """Number of messages, and the chunk that their summaries are in."""
    vanished: Digest
    """The chunk of (MODSEQ, first UID, last UID); empty if there are none."""
    vanished_since: int


class Tree(msgspec.Struct, array_like=True, frozen=True):
    """What belongs to no folder."""

    next_folder: int
    last_uidvalidity: int
    retired: dict[str, int]
    retired_all: int
    subscriptions: tuple[str, ...]
    metadata: dict[int, dict[str, bytes]]


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What a snapshot object carries as its state."""

    number: int
    folders: tuple[FolderHead, ...]
    tree: Digest
    causes: tuple[Digest, ...]
    recent: int
    """How many of the causes, the last ones, are in the small table."""
    larges: tuple[Digest, ...]
    closed: float = 0.0
    """When the account was closed for good: then there is nothing else, and no chunk is named (rule D3)."""


class PlaceEntry(msgspec.Struct, array_like=True, frozen=True):
    """A large body."""

    commit: int
    number: int
    offset: int
    length: int
    body: LargeBody


def place_entry(place: LargePlace) -> PlaceEntry:
    """As it is written."""
    return PlaceEntry(place.commit, place.number, place.offset, place.length, place.body)


def place_of(entry: PlaceEntry) -> LargePlace:
    """As it is used."""
    return LargePlace(entry.commit, entry.number, entry.offset, entry.length, entry.body)
