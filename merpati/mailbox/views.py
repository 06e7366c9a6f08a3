"""What the doors see of a state: `AccountView` and `FolderView` of `api`.  Values, made when asked for, then kept.

A folder's arrays are cut to its own length once for each state of the folder, and shared by all views of that state:
nobody sees what was appended later.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from merpati.log.api import Damaged
from merpati.mailbox.bodies import LARGE, Address
from merpati.mailbox.columns import Columns
from merpati.mailbox.flags import bits_of, names_of
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import INBOX, normalised
from merpati.mailbox.runs import Key, SummaryRun
from merpati.mailbox.runs import Summary as KnownSummary
from merpati.mailbox.state import MailState
from merpati.mailbox.summaries import envelope_in, structure_in, unpacked
from merpati.mailbox.types import SeqNum, Uid
from merpati.mailbox.values import FolderInfo
from merpati.message.summary import Summary

Render = Callable[[Address], Awaitable[bytes]]
"""Makes the packed summary of a message from its bytes."""

MAX_TEXTS = 10_000
"""Combinations of flags whose text a view remembers."""


class _Arrays:
    """The columns of one state of a folder, cut to its length; shared by all views of it."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.texts: dict[int, bytes] = {}

    @cached_property
    def uids(self) -> array[int]:
        return self._columns.uids[: self._columns.length]

    @cached_property
    def flags(self) -> array[int]:
        return self._columns.flags[: self._columns.length]

    @cached_property
    def modseqs(self) -> array[int]:
        return self._columns.modseqs[: self._columns.length]

    @cached_property
    def sizes(self) -> array[int]:
        return self._columns.sizes[: self._columns.length]

    @cached_property
    def dates(self) -> array[int]:
        return self._columns.dates[: self._columns.length]


class FolderAt:
    """`FolderView`: a folder's messages at one commit."""

    def __init__(self, folder: Folder, state: MailState, render: Render, before: FolderAt | None = None) -> None:
        """`before` lends its arrays, if it is a view of the same messages; `render` makes a summary of a message."""
        self._render = render
        self.info: FolderInfo = folder.info(subscribed=folder.name in state.subscriptions)
        self.number = state.number
        self.keywords = folder.keywords
        self._columns = folder.columns
        self._vanished = folder.vanished
        self._larges = state.larges
        same = before is not None and before._columns is folder.columns and before.keywords == folder.keywords
        self._arrays: _Arrays = before._arrays if before is not None and same else _Arrays(folder.columns)

    @property
    def exists(self) -> int:
        return self._columns.length

    @property
    def uids(self) -> array[int]:
        return self._arrays.uids

    @property
    def flags(self) -> array[int]:
        return self._arrays.flags

    @property
    def modseqs(self) -> array[int]:
        return self._arrays.modseqs

    @property
    def sizes(self) -> array[int]:
        return self._arrays.sizes

    @property
    def dates(self) -> array[int]:
        return self._arrays.dates

    def row(self, uid: int) -> int:
        return self._columns.row(uid)

    def rows(self, first: int, last: int) -> range:
        return self._columns.span(first, last)

    def seq(self, uid: Uid) -> SeqNum | None:
        row = self._columns.row(uid)
        return SeqNum(row + 1) if row >= 0 else None

    def flag_names(self, bits: int) -> tuple[str, ...]:
        return names_of(bits, self.keywords)

    def flags_text(self, bits: int) -> bytes:
        texts = self._arrays.texts
        text = texts.get(bits)
        if text is None:
            if len(texts) >= MAX_TEXTS:
                texts.clear()
            text = texts[bits] = " ".join(names_of(bits, self.keywords)).encode()
        return text

    def flag_bits(self, names: Sequence[str]) -> int:
        return bits_of(names, self.keywords)

    def changed_since(self, modseq: int) -> list[int]:
        if modseq >= self.info.highestmodseq:
            return []
        return [row for row, changed in enumerate(self.modseqs) if changed > modseq]

    def vanished_since(self, modseq: int) -> list[tuple[Uid, Uid]]:
        found = self._vanished.after(modseq, self.uids, self.info.uidnext)
        return [(Uid(first), Uid(last)) for first, last in found]

    def body(self, row: int) -> Address:
        columns = self._columns
        commit, offset = columns.commits[row], columns.offsets[row]
        large = self._larges.get(commit, offset) if offset >= LARGE else None
        return Address(commit, offset, columns.sizes[row], columns.checks[row], large)

    def email_id(self, row: int) -> str:
        return f"M{self._columns.commits[row]:x}_{self._columns.offsets[row]:x}"

    async def summaries(self, rows: Sequence[int]) -> Sequence[Summary]:
        return [unpacked(data) for data in await self.packed(rows)]

    async def envelopes(self, rows: Sequence[int]) -> Sequence[bytes]:
        return [envelope_in(data) for data in await self.packed(rows)]

    async def bodystructures(self, rows: Sequence[int]) -> Sequence[bytes]:
        return [structure_in(data) for data in await self.packed(rows)]

    async def packed(self, rows: Sequence[int]) -> list[bytes]:
        """The summaries as they are stored."""
        column = self._columns.summaries
        runs = dict.fromkeys(known for row in rows if isinstance(known := column[row], SummaryRun))
        if not runs:
            return [await self._found(column[row], {}, row) for row in rows]
        read = dict(zip(runs, await asyncio.gather(*(_read(run) for run in runs)), strict=True))
        return [await self._found(column[row], read, row) for row in rows]

    async def _found(self, known: KnownSummary, read: Mapping[SummaryRun, Mapping[Key, bytes]], row: int) -> bytes:
        """S3: a summary that is lost or damaged is made anew of its message."""
        if isinstance(known, SummaryRun):
            summaries = read[known] if known in read else await _read(known)
            known = summaries.get((self._columns.commits[row], self._columns.offsets[row]), b"")
        return known or await self._render(self.body(row))


async def _read(run: SummaryRun) -> Mapping[Key, bytes]:
    try:
        return await run.read()
    except (Damaged, ValueError):
        return {}


class AccountAt:
    """`AccountView`: all folders of an account at one commit."""

    def __init__(self, state: MailState) -> None:
        self.state = state
        self.number = state.number
        self.subscriptions = state.subscriptions

    @cached_property
    def folders(self) -> Mapping[str, FolderInfo]:
        subscribed = self.state.subscriptions
        infos = [folder.info(subscribed=folder.name in subscribed) for folder in self.state.folders.values()]
        infos.sort(key=lambda info: (info.name != INBOX, info.name))
        return MappingProxyType({info.name: info for info in infos})

    def find(self, name: str) -> FolderInfo | None:
        return self.folders.get(normalised(name))

    @cached_property
    def messages(self) -> int:
        return self.state.messages

    @cached_property
    def size(self) -> int:
        return self.state.size

    def metadata(self, folder: str) -> Mapping[str, bytes]:
        key = self.state.find(folder).id if folder else 0
        return MappingProxyType(dict(self.state.metadata.get(key, {})))
