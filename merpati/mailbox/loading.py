"""A mailbox's state from a snapshot: the head and all columns, many chunks at once; summaries wait until asked for.

Called by `fold`; the counterpart of `dumping`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from merpati.ids import Digest
from merpati.log.api import Chunks
from merpati.mailbox.bodies import LargeBodies
from merpati.mailbox.causes import Causes, Place
from merpati.mailbox.columns import ROW, Columns
from merpati.mailbox.folder import Folder
from merpati.mailbox.growing import Growing
from merpati.mailbox.heads import CAUSE, FolderHead, Head, PlaceEntry, Tree, place_of
from merpati.mailbox.packing import unpacked_columns
from merpati.mailbox.runs import Shelf, SummaryRun
from merpati.mailbox.state import MailState
from merpati.mailbox.values import FolderId
from merpati.mailbox.vanished import Vanished

AT_ONCE = 16
"""Chunks asked for at once."""

_head = msgspec.msgpack.Decoder(Head)
_tree = msgspec.msgpack.Decoder(Tree)
_vanished = msgspec.msgpack.Decoder(list[tuple[int, int, int]])
_places = msgspec.msgpack.Decoder(list[PlaceEntry])


class Loader:
    """Reads one snapshot's chunks."""

    def __init__(self, chunks: Chunks, shelf: Shelf) -> None:
        self._chunks = chunks
        self._shelf = shelf
        self._few = asyncio.Semaphore(AT_ONCE)

    async def load(self, data: bytes) -> MailState:
        """The state.  Raises `Damaged`, `Unavailable`; ValueError if it is not the state of a mailbox."""
        try:
            head = _head.decode(data)
            names = [head.tree, *head.causes, *head.larges]
            shared, folders = await asyncio.gather(
                self._all(names), asyncio.gather(*(self._folder(folder) for folder in head.folders))
            )
            return self._state(head, _tree.decode(shared[0]), shared[1:], folders)
        except msgspec.DecodeError as error:
            raise ValueError(f"no snapshot of a mailbox: {error}") from error

    def _state(self, head: Head, tree: Tree, rest: Sequence[bytes], folders: Sequence[Folder]) -> MailState:
        places = [place_of(entry) for run in rest[len(head.causes) :] for entry in _places.decode(run)]
        return MailState(
            number=head.number,
            folders={folder.id: folder for folder in folders},
            names={folder.name: folder.id for folder in folders},
            subscriptions=frozenset(tree.subscriptions),
            next_folder=tree.next_folder,
            last_uidvalidity=tree.last_uidvalidity,
            retired=tree.retired,
            retired_all=tree.retired_all,
            causes=_causes(rest[: len(head.causes)], head.recent),
            larges=LargeBodies(Growing(places)),
            metadata=tree.metadata,
        )

    async def _folder(self, head: FolderHead) -> Folder:
        names = [name for _, fixed, changing in head.runs for name in (fixed, changing)]
        if head.vanished:
            names.append(head.vanished)
        data = await self._all(names)
        runs = [(rows, data[2 * at], data[2 * at + 1]) for at, (rows, _, _) in enumerate(head.runs)]
        gone = _vanished.decode(data[-1]) if head.vanished else []
        return Folder(
            FolderId(head.id),
            head.name,
            head.uidvalidity,
            head.modseq,
            head.uidnext,
            head.special_use,
            head.keywords,
            head.exists,
            head.unseen,
            head.deleted,
            head.size,
            head.deleted_size,
            self._columns(head, runs),
            Vanished(Growing(gone), head.vanished_since),
        )

    def _columns(self, head: FolderHead, runs: list[tuple[int, bytes, bytes]]) -> Columns:
        arrays = unpacked_columns(runs)
        summaries: list[bytes | SummaryRun] = []
        for rows, name in head.summaries:
            summaries += [SummaryRun(name, rows, self._chunks, self._shelf)] * rows
        length = len(arrays["uids"])
        if length != head.exists or len(summaries) != length:
            raise ValueError(f"folder {head.id} has {length} messages where {head.exists} were to be")
        return Columns(length, **arrays, summaries=summaries, weight=ROW * length)

    async def _all(self, names: Sequence[Digest]) -> list[bytes]:
        return list(await asyncio.gather(*(self._one(name) for name in names)))

    async def _one(self, name: Digest) -> bytes:
        async with self._few:
            return await self._chunks.get(name)


def _causes(runs: Sequence[bytes], recent: int) -> Causes:
    entries: list[tuple[bytes, Place]] = []
    for run in runs:
        if len(run) % CAUSE.size:
            raise ValueError("a run of causes is cut short")
        entries += [(cause, (folder, uid, at)) for cause, folder, uid, at in CAUSE.iter_unpack(run)]
    older = len(entries) - recent
    return Causes(dict(entries[:older]), dict(entries[older:]))
