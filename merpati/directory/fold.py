"""How a directory log is written and folded: the `Fold` that `merpati.log` asks for.  Pure, save for the chunks.

Changes and snapshots are JSON: a directory is small, and an operator with a bucket browser can read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar, get_args

import msgspec

from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, RemovedEntry
from merpati.directory.names import key_of
from merpati.directory.state import DirectoryChange, DirectoryState, apply
from merpati.directory.table import Table
from merpati.ids import Digest
from merpati.log.api import Chunks, Commit, UnknownChange

E = TypeVar("E")

CHUNK = 1000
"""Entries in one chunk of a snapshot: one that did not change is not written again."""


AT_ONCE = 32
"""Chunks fetched at once."""


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run of entries of a snapshot, in the order they were added."""

    domains: tuple[DomainEntry, ...] = ()
    accounts: tuple[AccountEntry, ...] = ()
    aliases: tuple[AliasEntry, ...] = ()
    removed: tuple[RemovedEntry, ...] = ()
    former: tuple[str, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """A snapshot: the digests of its pieces, in order."""

    pieces: tuple[Digest, ...]


class _Kind(msgspec.Struct):
    """What any change says of itself."""

    kind: str


KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(DirectoryChange))
_encoder = msgspec.json.Encoder()
_changes: msgspec.json.Decoder[tuple[DirectoryChange, ...]] = msgspec.json.Decoder(tuple[DirectoryChange, ...])
_kinds: msgspec.json.Decoder[list[_Kind]] = msgspec.json.Decoder(list[_Kind])
_piece = msgspec.json.Decoder(Piece)
_head = msgspec.json.Decoder(Head)


class DirectoryFold:
    """`merpati.log.api.Fold` of directories."""

    name = "directory"

    def empty(self) -> DirectoryState:
        return DirectoryState()

    def apply(self, state: DirectoryState, commit: Commit[DirectoryChange]) -> DirectoryState:
        for part in commit.parts:
            for change in part.changes:
                state = apply(state, change)
        return state

    def encode(self, changes: Sequence[DirectoryChange]) -> bytes:
        return _encoder.encode(list(changes))

    def decode(self, data: bytes) -> Sequence[DirectoryChange]:
        try:
            return _changes.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if strange := _unknown(data):
                raise UnknownChange(f"a change of kind {strange!r}") from error
            raise ValueError(f"no changes of a directory: {error}") from error

    async def dump(self, state: DirectoryState, chunks: Chunks) -> bytes:
        pieces = [Piece(domains=tuple(run)) for run in _runs(list(state.domains.values()))]
        pieces += [Piece(accounts=tuple(run)) for run in _runs(list(state.accounts.values()))]
        pieces += [Piece(aliases=tuple(run)) for run in _runs(list(state.aliases.values()))]
        pieces += [Piece(removed=tuple(run)) for run in _runs(list(state.removed.values()))]
        pieces += [Piece(former=tuple(run)) for run in _runs(sorted(state.former))]
        return _encoder.encode(Head(tuple([await chunks.put(_encoder.encode(piece)) for piece in pieces])))

    async def load(self, head: bytes, chunks: Chunks) -> DirectoryState:
        domains: dict[str, DomainEntry] = {}
        accounts: dict[str, AccountEntry] = {}
        aliases: dict[str, AliasEntry] = {}
        removed: dict[str, RemovedEntry] = {}
        former: set[str] = set()
        try:
            for data in await _gathered(chunks, _head.decode(head).pieces):
                piece = _piece.decode(data)
                domains |= {entry.name: entry for entry in piece.domains}
                accounts |= {key_of(entry.address): entry for entry in piece.accounts}
                aliases |= {key_of(entry.address): entry for entry in piece.aliases}
                removed |= {entry.id: entry for entry in piece.removed}
                former |= set(piece.former)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"no snapshot of a directory: {error}") from error
        return DirectoryState(Table(domains), Table(accounts), Table(aliases), Table(removed), frozenset(former))


def _unknown(data: bytes) -> str:
    """The first kind that we have no change for; empty if there is none, or these are no changes at all."""
    try:
        return next((each.kind for each in _kinds.decode(data) if each.kind not in KINDS), "")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


async def _gathered(chunks: Chunks, names: Sequence[Digest]) -> list[bytes]:
    """The chunks in their order, several fetched at once."""
    found: list[bytes] = []
    for start in range(0, len(names), AT_ONCE):
        found += await asyncio.gather(*map(chunks.get, names[start : start + AT_ONCE]))
    return found


def _runs(entries: list[E]) -> list[list[E]]:
    return [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
