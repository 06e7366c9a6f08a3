"""The state of a mailbox: taken from a snapshot, and led on by the changes of commits.

For the second reader, so nothing here comes from merpati: written from `docs/mailbox-log.md` alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.second_reader.objects import Attachment, Commit, TooNew

Address = tuple[int, int]
"""Commit, and offset in the commit object."""
LARGE = 1 << 31
NOTHING = Attachment(0, 0, b"")
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")


@dataclass(slots=True)
class Row:
    """A message of a folder."""

    flags: int
    modseq: int
    date: int
    size: int
    address: Address
    check: int
    summary: bytes | None = None
    """None: it stands in a chunk of summaries, under the address.  Empty: it is lost."""


@dataclass(slots=True)
class FolderState:
    """A folder."""

    id: int
    name: str
    uidvalidity: int
    modseq: int
    uidnext: int
    special_use: str
    keywords: list[str] = field(default_factory=list)
    sums: list[int] = field(default_factory=lambda: [0] * 5)
    """Messages, unseen, deleted, bytes, deleted bytes."""
    rows: dict[int, Row] = field(default_factory=dict)
    vanished: list[tuple[int, int, int]] = field(default_factory=list)
    """MODSEQ, first, last."""
    vanished_since: int = 0
    """Complete for what went after this commit."""

    def uids(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Those that the folder has."""
        return [uid for uid in self.rows if any(first <= uid <= last for first, last in ranges)]

    def add(self, uid: int, row: Row) -> None:
        self.rows[uid] = row
        self.uidnext = uid + 1
        deleted = row.flags >> 3 & 1
        grown = (1, 1 - (row.flags & 1), deleted, row.size, deleted * row.size)
        self.sums = [known + more for known, more in zip(self.sums, grown, strict=True)]
        self.modseq = row.modseq


@dataclass(frozen=True, slots=True)
class LargeBody:
    """What stands before an object of its own, and the object."""

    prefix_offset: int
    prefix_length: int
    key: str
    digest: bytes
    size: int
    without: tuple[tuple[int, int], ...]


class State:
    """An account's mailbox as of one commit."""

    def __init__(self) -> None:
        self.number = 1  # [C1]
        self.next_folder = 1
        self.folders: dict[int, FolderState] = {}
        self.subscriptions: set[str] = set()
        self.annotations: dict[int, dict[str, bytes]] = {}
        self.large: dict[Address, LargeBody] = {}
        self.summaries: list[str] = []
        """Chunks of summaries, of whichever folder: what is copied has its summary where its origin was."""
        self.causes: dict[bytes, tuple[int, int, float]] = {}
        """Folder, UID and time of what each has brought."""
        self.closed = False

    def apply(self, commit: Commit) -> None:
        """Everything that the commit says, in its order."""
        self.number = commit.number
        larges = 0
        for changes, attachments in commit.parts:
            for letter, *fields in msgspec.msgpack.decode(changes):
                if letter != "a" and letter not in VERBS:
                    raise TooNew(f"commit {commit.number} has a change {letter!r} [B3]")
                if letter == "a":
                    larges = self._append(fields, attachments, larges, commit.time)
                else:
                    VERBS[letter](self, fields)

    def _append(self, fields: list[Any], attachments: tuple[Attachment, ...], larges: int, at: float) -> int:
        folder = self.folders[fields[0]]
        for flags, date, size, summary, body, large, cause, uid, *_ in fields[1]:
            there = attachments[body] if body >= 0 else NOTHING
            address, check = (self.number, there.offset), int.from_bytes(there.digest[:8], "big")
            if large is not None:
                address, check, larges = (self.number, LARGE + larges), 0, larges + 1
                self.large[address] = _large(there.offset, there.length, large)
            uid = uid or folder.uidnext
            folder.add(uid, Row(flags, self.number, date, size, address, check, summary))
            if cause:
                self.causes[cause] = (folder.id, uid, at)
        return larges

    def _copy(self, fields: list[Any]) -> None:
        folder = self.folders[fields[0]]
        for flags, date, size, commit, offset, check, origin, summary, large, *_ in fields[1]:
            if large is not None:
                self.large[commit, offset] = _large(large[0], large[1], large[2])
            folder.add(
                folder.uidnext,
                Row(flags, self.number, date, size, (commit, offset), check, summary or self._origin(origin)),
            )

    def _origin(self, origin: list[int]) -> bytes | None:
        folder, uid = origin
        if folder == 0:
            return b""
        return self.folders[folder].rows[uid].summary

    def _flag(self, fields: list[Any]) -> None:
        folder, ranges, add, remove, unseen, deleted, size = fields[:7]
        here = self.folders[folder]
        for uid in here.uids(ranges):
            here.rows[uid].flags = here.rows[uid].flags & ~remove | add
            here.rows[uid].modseq = self.number
        here.sums = [n + m for n, m in zip(here.sums, (0, unseen, deleted, 0, size), strict=True)]
        here.modseq = self.number

    def _expunge(self, fields: list[Any]) -> None:
        folder, ranges, *sums = fields[:7]
        here = self.folders[folder]
        for uid in here.uids(ranges):
            del here.rows[uid]
        here.vanished += [(self.number, first, last) for first, last in ranges]
        here.sums = [n - m for n, m in zip(here.sums, sums, strict=True)]
        here.modseq = self.number

    def _begin(self, fields: list[Any]) -> None:
        for name, special_use, uidvalidity in fields[0]:
            self._make([name, uidvalidity, special_use, 1])
            self.subscriptions.add(name)

    def _make(self, fields: list[Any]) -> None:
        name, uidvalidity, special_use, uidnext = fields[:4]
        id, self.next_folder = self.next_folder, self.next_folder + 1
        self.folders[id] = FolderState(id, name, uidvalidity, self.number, uidnext, special_use)

    def _remove(self, fields: list[Any]) -> None:
        del self.folders[fields[0]]
        self.annotations.pop(fields[0], None)

    def _rename(self, fields: list[Any]) -> None:
        here = self.folders[fields[0]]
        here.name = fields[1]
        here.uidvalidity = fields[2] or here.uidvalidity

    def _place(self, fields: list[Any]) -> None:
        here = self.folders[fields[0]]
        here.name, here.uidvalidity, here.uidnext, here.special_use = fields[1:5]

    def _keywords(self, fields: list[Any]) -> None:
        self.folders[fields[0]].keywords += fields[1]

    def _subscribe(self, fields: list[Any]) -> None:
        (self.subscriptions.add if fields[1] else self.subscriptions.discard)(fields[0])

    def _annotate(self, fields: list[Any]) -> None:
        known = self.annotations.setdefault(fields[0], {})
        for name, value in fields[1]:
            if value is None:
                known.pop(name, None)
            else:
                known[name] = value

    def _close(self, fields: list[Any]) -> None:
        number = self.number
        self.__init__()  # type: ignore[misc]
        self.number, self.closed = number, True


VERBS: dict[str, Callable[[State, list[Any]], None]] = {
    "b": State._begin,
    "c": State._copy,
    "f": State._flag,
    "k": State._keywords,
    "x": State._expunge,
    "n": State._make,
    "p": State._place,
    "d": State._remove,
    "r": State._rename,
    "s": State._subscribe,
    "m": State._annotate,
    "z": State._close,
}


def _large(offset: int, length: int, large: list[Any]) -> LargeBody:
    key, digest, size, without = large[:4]
    return LargeBody(offset, length, key, digest, size, tuple((begin, end) for begin, end in without))


def state_of(packed: bytes, chunk: Callable[[str], bytes]) -> State:
    """The state that a snapshot has."""
    state = State()
    state.number, folders, tree, causes, _, larges, closed, *_ = msgspec.msgpack.decode(packed)
    if closed:
        state.closed = True
        return state
    state.next_folder, _, _, _, subscribed, annotations, *_ = msgspec.msgpack.decode(chunk(tree))
    state.subscriptions, state.annotations = set(subscribed), annotations
    for name in causes:
        state.causes |= {cause: tuple(place) for cause, *place in struct.iter_unpack("<16sIId", chunk(name))}
    for name in larges:
        for commit, offset, prefix, length, large, *_ in msgspec.msgpack.decode(chunk(name)):
            state.large[commit, offset] = _large(prefix, length, large)
    for each in folders:
        folder = _folder(each, chunk)
        state.folders[folder.id] = folder
        state.summaries += [name for _, name, *_ in each[13]]
    return state


def _folder(packed: list[Any], chunk: Callable[[str], bytes]) -> FolderState:
    id, name, uidvalidity, modseq, uidnext, use, keywords, *sums, runs, _, vanished, since = packed[:16]
    here = FolderState(id, name, uidvalidity, modseq, uidnext, use, keywords, sums, vanished_since=since)
    for count, fixed, changing in runs:
        here.rows.update(_run(count, chunk(fixed), chunk(changing)))
    here.vanished = [tuple(each) for each in msgspec.msgpack.decode(chunk(vanished))] if vanished else []
    return here


def _run(count: int, fixed: bytes, changing: bytes) -> dict[int, Row]:
    uids, sizes, dates, commits, offsets, checks = _columns(fixed, count, "IIqQIQ")
    flags, modseqs = _columns(changing, count, "QQ")
    columns = zip(flags, modseqs, dates, sizes, zip(commits, offsets, strict=True), checks, strict=True)
    return {uid: Row(*row) for uid, row in zip(uids, columns, strict=True)}


def _columns(data: bytes, count: int, kinds: str) -> list[tuple[int, ...]]:
    """Columns one after another, little-endian."""
    at, found = 0, []
    for kind in kinds:
        found.append(struct.unpack_from(f"<{count}{kind}", data, at))
        at += struct.calcsize(f"<{count}{kind}")
    return found


def summaries_in(chunk: bytes) -> dict[Address, bytes]:
    """The summaries of a run, by address."""
    (count,) = struct.unpack_from("<I", chunk)
    commits, offsets, lengths = _columns(chunk[4:], count, "QII")
    at, found = 4 + 16 * count, {}
    for address, length in zip(zip(commits, offsets, strict=True), lengths, strict=True):
        found[address] = chunk[at : at + length]
        at += length
    return found
