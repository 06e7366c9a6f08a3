"""The changes that a mailbox's commits are made of, and how they are written.  Values only; `state` says what they do.

Each is an array in MessagePack that begins with a letter for its kind.  Arrays grow at their end only, each new element
with a default; a new meaning is a new letter, which older versions refuse (PROTOCOL.md rule B3).  UIDs are named by
ranges: [first, last] stands for those UIDs between them that the folder has.  What a change does to a folder's sums
stands in it, so that the sums can be kept without the folder's columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from merpati.log.api import UnknownChange

Ranges = tuple[tuple[int, int], ...]
"""UIDs, [first, last] each, ascending."""


class Born(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """The account's first change: INBOX and the folders with a special use come to be."""

    folders: tuple[tuple[str, str, int], ...]
    """Name, special use, UIDVALIDITY of each; the first is INBOX."""


class LargeBody(msgspec.Struct, frozen=True, array_like=True):
    """A body that is an object of its own: what follows the attachment, which is the prefix."""

    key: str
    digest: bytes
    size: int
    without: tuple[tuple[int, int], ...] = ()


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One message that is appended."""

    flags: int
    date: int
    size: int
    summary: bytes
    """As `summaries` packs it."""
    body: int
    """The attachment, by its index in the part; -1 if a large body has no prefix."""
    large: LargeBody | None = None
    cause: bytes = b""
    """16 bytes, or nothing."""
    uid: int = 0
    """0 is the folder's UIDNEXT; an import that keeps UIDs names a greater one."""


class Added(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Messages appended to a folder, in the order of their UIDs."""

    folder: int
    rows: tuple[Row, ...]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One message that the log has already, to stand in another folder too."""

    flags: int
    date: int
    size: int
    commit: int
    offset: int
    check: int
    origin: tuple[int, int]
    """Folder and UID that it is copied from: where its summary is."""
    summary: bytes = b""
    """Only if the origin has gone."""
    large: tuple[int, int, LargeBody] | None = None
    """Offset and length of the prefix, and the body; only if the origin has gone."""


class Copied(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Messages copied into a folder, in the order of their new UIDs."""

    folder: int
    rows: tuple[Kept, ...]


class Flagged(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """Flags of messages: `remove` goes, then `add` comes."""

    folder: int
    uids: Ranges
    add: int
    remove: int
    unseen: int
    """What this adds to the folder's count of messages without \\Seen."""
    deleted: int
    deleted_size: int


class Keyworded(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """The folder's table of keywords grows by these."""

    folder: int
    names: tuple[str, ...]


class Expunged(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """Messages removed from a folder, and what they had made of its sums."""

    folder: int
    uids: Ranges
    count: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int


class Made(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """A new folder; its id is the account's next."""

    name: str
    uidvalidity: int
    special_use: str = ""
    uidnext: int = 1


class Removed(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """A folder and its messages."""

    folder: int


class Renamed(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A folder's new name; and its new UIDVALIDITY, if the old one had been seen under that name before."""

    folder: int
    name: str
    uidvalidity: int = 0


class Subscribed(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A name is subscribed, or no longer."""

    name: str
    on: bool


class Annotated(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Annotations of a folder (0: of the account); None removes one."""

    folder: int
    entries: tuple[tuple[str, bytes | None], ...]


class Placed(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """A folder that an import has filled gets its name, UIDVALIDITY, UIDNEXT and special use, whatever it had."""

    folder: int
    name: str
    uidvalidity: int
    uidnext: int
    special_use: str = ""


class Closed(msgspec.Struct, frozen=True, array_like=True, tag="z"):
    """The account's last change: nothing of it is left, and no commit follows (PROTOCOL.md rule D2)."""

    at: float


Change = (
    Born
    | Added
    | Copied
    | Flagged
    | Keyworded
    | Expunged
    | Made
    | Removed
    | Renamed
    | Subscribed
    | Annotated
    | Placed
    | Closed
)

KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(Change))
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[tuple[Change, ...]] = msgspec.msgpack.Decoder(tuple[Change, ...])
_letters: msgspec.msgpack.Decoder[list[list[Any]]] = msgspec.msgpack.Decoder(list[list[Any]])


def encode(changes: Sequence[Change]) -> bytes:
    """The changes as they stand in a commit."""
    return _encoder.encode(changes)


def decode(data: bytes) -> Sequence[Change]:
    """ValueError if these are none; `UnknownChange` if one is of a kind that this version does not know."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        if strange := _unknown(data):
            raise UnknownChange(f"a change of kind {strange!r}") from error
        raise ValueError(f"no changes of a mailbox: {error}") from error


def _unknown(data: bytes) -> str:
    """The first letter that we have no change for; empty if there is none, or these are no changes at all."""
    try:
        letters = [str(each[0]) for each in _letters.decode(data)]
    except (msgspec.DecodeError, IndexError):
        return ""
    return next((letter for letter in letters if letter not in KINDS), "")


def ranges_of(present: Sequence[int], rows: Sequence[int]) -> Ranges:
    """The ranges that stand for the messages at `rows` (ascending) of a folder whose UIDs are `present`."""
    ranges = []
    start = before = -2
    for row in rows:
        if row != before + 1:
            if before >= 0:
                ranges.append((present[start], present[before]))
            start = row
        before = row
    if before >= 0:
        ranges.append((present[start], present[before]))
    return tuple(ranges)
