"""A mailbox's state from a snapshot: the head and all columns, many chunks at once; summaries wait until asked for.

Called by `fold`; the counterpart of `dumping`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from merpati.ids import Digest
from merpati.log.api import Chunks, Damaged
from merpati.mailbox.bodies import LargeBodies
from merpati.mailbox.causes import Causes, Place
from merpati.mailbox.columns import Columns
from merpati.mailbox.folder import Folder
from merpati.mailbox.growing import Growing
from merpati.mailbox.heads import CAUSE, FolderHead, Head, PlaceEntry, Tree, place_of
from merpati.mailbox.packing import CHANGING_ROW, unpacked_columns
from merpati.mailbox.runs import Shelf, SummaryRun
from merpati.mailbox.state import MailState, Shut
from merpati.mailbox.values import FolderId
from merpati.mailbox.vanished import Vanished

AT_ONCE = 64
"""Chunks asked for at once."""
SPARE_FOLDERS = 10_000
"""Ids of folders that are passed over where it is not known which were given."""

Part = int | str
"""A folder by its id; `tree`, `causes` and `larges` belong to the whole account."""

_head = msgspec.msgpack.Decoder(Head)
_tree = msgspec.msgpack.Decoder(Tree)
_vanished = msgspec.msgpack.Decoder(list[tuple[int, int, int]])
_places = msgspec.msgpack.Decoder(list[PlaceEntry])


def without_larges(data: bytes) -> bool:
    """Whether a snapshot's head alone tells that its state has no large body."""
    try:
        return not _head.decode(data).larges
    except msgspec.DecodeError:
        return False


class Loader:
    """Reads one snapshot's chunks."""

    def __init__(self, chunks: Chunks, shelf: Shelf, *, around: bool = False) -> None:
        """`around`: go on without what is damaged, and shut the part it belongs to (rule R6)."""
        self._chunks = chunks
        self._shelf = shelf
        self._around = around
        self._shut: dict[Part, Shut] = {}
        self._few = asyncio.Semaphore(AT_ONCE)

    async def load(self, data: bytes) -> MailState:
        """The state.  Raises `Damaged`, `Unavailable`; ValueError if it is not the state of a mailbox."""
        try:
            head = _head.decode(data)
            if head.closed:
                return MailState(number=head.number, closed=head.closed)
            shared, folders = await asyncio.gather(
                asyncio.gather(
                    self._all("tree", [head.tree]), self._all("causes", head.causes), self._all("larges", head.larges)
                ),
                asyncio.gather(*(self._folder(folder) for folder in head.folders)),
            )
            return self._state(head, shared, folders)
        except msgspec.DecodeError as error:
            raise ValueError(f"no snapshot of a mailbox: {error}") from error

    def _state(self, head: Head, shared: Sequence[list[bytes | None]], folders: Sequence[Folder]) -> MailState:
        trees, causes, larges = ([run for run in runs if run is not None] for runs in shared)
        tree = _tree.decode(trees[0]) if trees else made_up_tree(folders)
        places = [place_of(entry) for run in larges for entry in _places.decode(run)]
        return MailState(
            number=head.number,
            folders={folder.id: folder for folder in folders},
            names={folder.name: folder.id for folder in folders},
            subscriptions=frozenset(tree.subscriptions),
            next_folder=tree.next_folder,
            last_uidvalidity=tree.last_uidvalidity,
            retired=tree.retired,
            retired_all=tree.retired_all,
            causes=_causes(causes, head.recent),
            larges=LargeBodies(Growing(places)),
            metadata=tree.metadata,
            shut=self._shut,
        )

    async def _folder(self, head: FolderHead) -> Folder:
        columns, vanished = await self._messages(head)
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
            columns,
            vanished,
        )

    async def _messages(self, head: FolderHead) -> tuple[Columns, Vanished]:
        names = [name for _, fixed, changing in head.runs for name in (fixed, changing)]
        data = await self._all(FolderId(head.id), names)
        gone, since = await self._vanished(head)
        return self._columns(head, data), Vanished(Growing(gone), since)

    async def _vanished(self, head: FolderHead) -> tuple[list[tuple[int, int, int]], int]:
        if not head.vanished:
            return [], head.vanished_since
        (data,) = await self._all(FolderId(head.id), [head.vanished])
        return (_vanished.decode(data), head.vanished_since) if data is not None else ([], head.modseq)

    def _columns(self, head: FolderHead, data: Sequence[bytes | None]) -> Columns:
        summaries: list[bytes | SummaryRun] = []
        for rows, name in head.summaries:
            summaries += [SummaryRun(name, rows, self._chunks, self._shelf)] * rows
        if len(summaries) != head.exists or sum(rows for rows, _, _ in head.runs) != head.exists:
            raise ValueError(f"folder {head.id} has not the {head.exists} messages that were to be")
        if FolderId(head.id) in self._shut:
            return self._what_is_left(head, data, summaries)
        runs = [(rows, _there(data[2 * at]), _there(data[2 * at + 1])) for at, (rows, _, _) in enumerate(head.runs)]
        return Columns(head.exists, **unpacked_columns(runs), summaries=summaries, inline=0)

    def _what_is_left(
        self, head: FolderHead, data: Sequence[bytes | None], summaries: list[bytes | SummaryRun]
    ) -> Columns:
        """The messages of a folder that is shut whose places are known; flags that are lost are none."""
        runs: list[tuple[int, bytes, bytes]] = []
        kept: list[bytes | SummaryRun] = []
        lost: list[bytes | SummaryRun] = []
        start = unflagged = 0
        for at, (rows, _, _) in enumerate(head.runs):
            fixed, changing = data[2 * at], data[2 * at + 1]
            if fixed is None:
                lost += summaries[start : start + rows]
            else:
                unflagged += rows if changing is None else 0
                runs.append((rows, fixed, changing if changing is not None else bytes(rows * CHANGING_ROW)))
                kept += summaries[start : start + rows]
            start += rows
        damage = self._shut[FolderId(head.id)].damage
        where = tuple(dict.fromkeys(run for run in lost if isinstance(run, SummaryRun)))
        self._shut[FolderId(head.id)] = Shut(damage, len(lost), unflagged, where)
        return Columns(len(kept), **unpacked_columns(runs), summaries=kept, inline=0)

    async def _all(self, part: Part, names: Sequence[Digest]) -> list[bytes | None]:
        return list(await asyncio.gather(*(self._one(part, name) for name in names)))

    async def _one(self, part: Part, name: Digest) -> bytes | None:
        async with self._few:
            try:
                return await self._chunks.get(name)
            except Damaged as damage:
                if not self._around:
                    raise
                self._shut.setdefault(part, Shut(damage))
                return None


def _there(chunk: bytes | None) -> bytes:
    assert chunk is not None, "a part with a damaged chunk is shut"
    return chunk


def made_up_tree(folders: Sequence[Folder]) -> Tree:
    """What the tree may have been, by its folders: nothing that was given before is given again."""
    last = max((folder.uidvalidity for folder in folders), default=0)
    next_folder = max((folder.id for folder in folders), default=0) + SPARE_FOLDERS
    return Tree(next_folder, last, {}, last, tuple(folder.name for folder in folders), {})


def _causes(runs: Sequence[bytes], recent: int) -> Causes:
    entries: list[tuple[bytes, Place]] = []
    for run in runs:
        if len(run) % CAUSE.size:
            raise ValueError("a run of causes is cut short")
        entries += [(cause, (folder, uid, at)) for cause, folder, uid, at in CAUSE.iter_unpack(run)]
    older = len(entries) - recent
    return Causes(dict(entries[:older]), dict(entries[older:]))
