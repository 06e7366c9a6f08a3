"""A mailbox's state as a snapshot: a small head, and chunks of which a new snapshot writes only those that changed.

Called by `fold`.  Runs of messages end where their UIDs say so, not at every n-th message, so that an expunge changes
the run it is in and no other.  What never changes of a message lies apart from its flags, and both from the summaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from merpati.ids import Digest
from merpati.log.api import Chunks, Damaged
from merpati.mailbox.columns import Columns
from merpati.mailbox.folder import Folder
from merpati.mailbox.heads import CAUSE, FolderHead, Head, Tree, place_entry
from merpati.mailbox.packing import changing_bytes, fixed_bytes
from merpati.mailbox.runs import Key, Shelf, SummaryRun, joined
from merpati.mailbox.state import MailState

RUN = 8192
"""Messages in a run of columns, on the average."""
SUMMARIES = 512
"""Summaries in a run."""
CAUSES = 2048
"""Causes in a run, on the average."""
PLACES = 1000
"""Large bodies in a run."""
_GOLDEN = 2_654_435_769
"""2^32 divided by the golden ratio: its multiples are spread evenly, so runs of rising UIDs come out about equal."""

_encoder = msgspec.msgpack.Encoder()


class Dumper:
    """Writes one snapshot's chunks."""

    def __init__(self, chunks: Chunks, shelf: Shelf) -> None:
        self._chunks = chunks
        self._shelf = shelf

    async def dump(self, state: MailState) -> bytes:
        """The head.  Raises `Damaged` if a part of the state is shut (R6): a snapshot without it would lose it."""
        if state.closed:
            return _encoder.encode(Head(state.number, (), Digest(""), (), 0, (), state.closed))
        state.check_whole()
        tree = Tree(
            state.next_folder,
            state.last_uidvalidity,
            dict(state.retired),
            state.retired_all,
            tuple(sorted(state.subscriptions)),
            {folder: dict(entries) for folder, entries in state.metadata.items()},
        )
        head = Head(
            number=state.number,
            folders=tuple([await self._folder(folder) for folder in state.folders.values()]),
            tree=await self._chunks.put(_encoder.encode(tree)),
            causes=tuple([await self._chunks.put(run) for run in _cause_runs(state)]),
            recent=len(state.causes.recent),
            larges=tuple([await self._chunks.put(_encoder.encode(run)) for run in _place_runs(state)]),
        )
        return _encoder.encode(head)

    async def _folder(self, folder: Folder) -> FolderHead:
        columns, runs = folder.columns, []
        for start, stop in _runs(columns):
            fixed = await self._chunks.put(fixed_bytes(columns, start, stop))
            runs.append((stop - start, fixed, await self._chunks.put(changing_bytes(columns, start, stop))))
        gone = list(folder.vanished.entries)
        return FolderHead(
            folder.id,
            folder.name,
            folder.uidvalidity,
            folder.modseq,
            folder.uidnext,
            folder.special_use,
            folder.keywords,
            folder.exists,
            folder.unseen,
            folder.deleted,
            folder.size,
            folder.deleted_size,
            tuple(runs),
            tuple(await self._summaries(columns)),
            await self._chunks.put(_encoder.encode(gone)) if gone else Digest(""),
            folder.vanished.since,
        )

    async def _summaries(self, columns: Columns) -> list[tuple[int, Digest]]:
        """Runs that are there already and well filled stay; what lies between them is gathered into new ones."""
        runs: list[tuple[int, Digest]] = []
        loose: list[tuple[int, int]] = []
        for start, stop in list(_segments(columns)):
            run = columns.summaries[start]
            if isinstance(run, SummaryRun) and _stays(run, stop - start) and self._chunks.keep(run.name):
                runs += await self._gathered(columns, loose)
                loose = []
                runs.append((stop - start, run.name))
            else:
                loose.append((start, stop))
        return runs + await self._gathered(columns, loose)

    async def _gathered(self, columns: Columns, loose: Sequence[tuple[int, int]]) -> list[tuple[int, Digest]]:
        if len(loose) == 1:
            start, stop = loose[0]
            run = columns.summaries[start]
            if isinstance(run, SummaryRun) and run.rows == stop - start and self._chunks.keep(run.name):
                return [(stop - start, run.name)]
        if not loose:
            return []
        first, last = loose[0][0], loose[-1][1]
        return [await self._run(columns, at, min(at + SUMMARIES, last)) for at in range(first, last, SUMMARIES)]

    async def _run(self, columns: Columns, start: int, stop: int) -> tuple[int, Digest]:
        """A new run; once the snapshot stands, it takes the place of the summaries in memory."""
        keys = list(zip(columns.commits[start:stop], columns.offsets[start:stop], strict=True))
        column = columns.summaries
        summaries = [await _summary(column[row], key) for row, key in enumerate(keys, start)]
        data = joined(keys, summaries)
        name = await self._chunks.put(data)
        run = SummaryRun(name, stop - start, self._chunks, self._shelf)

        def replace() -> None:
            self._shelf.put(name, dict(zip(keys, summaries, strict=True)), len(data) + 200 * len(keys))
            column[start:stop] = [run] * (stop - start)

        self._chunks.settled(replace)
        return stop - start, name


async def _summary(known: bytes | SummaryRun, key: Key) -> bytes:
    if isinstance(known, bytes):
        return known
    try:
        return (await known.read()).get(key, b"")
    except (Damaged, ValueError):
        return b""  # S3: it is made anew from the message when somebody asks for it


def _stays(run: SummaryRun, used: int) -> bool:
    return used >= SUMMARIES // 2 and 2 * used >= run.rows


def _runs(columns: Columns) -> Iterator[tuple[int, int]]:
    """Where runs of messages begin and end."""
    start, bound = 0, (1 << 32) // RUN
    for row, uid in enumerate(columns.uids[: columns.length], 1):
        if uid * _GOLDEN & 0xFFFFFFFF < bound:
            yield start, row
            start = row
    if start < columns.length:
        yield start, columns.length


def _segments(columns: Columns) -> Iterator[tuple[int, int]]:
    """Neighbours whose summaries are in the same run, or in none."""
    start, before = 0, None
    for row in range(columns.length):
        known = columns.summaries[row]
        run = known if isinstance(known, SummaryRun) else None
        if run is not before and row > start:
            yield start, row
            start = row
        before = run
    if start < columns.length:
        yield start, columns.length


def _cause_runs(state: MailState) -> Iterator[bytes]:
    """Causes in the order they were taken; a run ends after one that begins with a small number."""
    run: list[bytes] = []
    for cause, (folder, uid, at) in state.causes:
        run.append(CAUSE.pack(cause, folder, uid, at))
        if int.from_bytes(cause[:4], "big") < (1 << 32) // CAUSES:
            yield b"".join(run)
            run = []
    if run:
        yield b"".join(run)


def _place_runs(state: MailState) -> Iterator[list[object]]:
    entries = [place_entry(place) for place in state.larges.all()]
    for start in range(0, len(entries), PLACES):
        yield list(entries[start : start + PLACES])
