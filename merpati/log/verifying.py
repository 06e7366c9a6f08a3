"""Whether a log is as PROTOCOL.md says: every object under its prefix read and checked, and all of them together.

Called by `merpati mailbox verify`, and by the tests.  Reads, and never writes.  One object is in memory at a time, and
of the commits what ties them together; a log that is written, compacted and cleaned meanwhile is not found wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from merpati.ids import Digest
from merpati.log.api import EMPTY, Damaged, NewerFormat, Parted, Tip
from merpati.log.commits import attachment_digest, decoded, decoded_head
from merpati.log.findings import Finding, Findings, finding_of
from merpati.log.frame import Kind, head_of
from merpati.log.heads import Heads
from merpati.log.layout import counted_down, last_number, numbered
from merpati.log.packs import bodies_in
from merpati.log.past import found_pasts, read_past
from merpati.log.reading import Reader
from merpati.log.snapshots import ChunkStore, PackEntry, PastEntry, Snapshot, read_snapshot, tip_of
from merpati.objects.api import NotFound, ObjectInfo

S = TypeVar("S")
C = TypeVar("C")

KINDS = ("log", "snap", "floor", "chunk", "pack", "past", "now")


@dataclass(frozen=True, slots=True)
class _Link:
    """What ties a commit to its neighbours."""

    id: bytes
    after: bytes
    at: float
    key: str
    """The object that says so."""


async def verified(reader: Reader[Any, Any]) -> list[Finding]:
    """What is wrong with a log, by key.  Raises `Unavailable`."""
    return await Verifying(reader).run()


class Verifying(Generic[S, C]):
    """One log, looked through once."""

    def __init__(self, reader: Reader[S, C]) -> None:
        self._reader = reader
        self._store = reader.store
        self._layout = reader.layout
        self._findings = Findings()
        self._listed: dict[str, dict[str, ObjectInfo]] = {kind: {} for kind in KINDS}
        self._links: dict[int, _Link] = {}
        self._lost: set[int] = set()
        """Commits of which a past says that they were lost (P7)."""
        self._snapshots: list[Snapshot] = []
        self._heads = Heads(reader.store, reader.layout, ())
        self._digests: tuple[int, dict[int, bytes]] = (0, {})

    async def run(self) -> list[Finding]:
        """Everything."""
        await self._list()
        floor = await self._floors()
        for info in self._listed["snap"].values():
            await self._snapshot(info.key)
        named = [entry for snapshot in self._snapshots for entry in snapshot.pasts]
        self._heads = Heads(self._store, self._layout, named)
        await self._pasts()
        for info in self._listed["log"].values():
            await self._commit(info.key, floor)
        await self._packs()
        for info in self._listed["chunk"].values():
            await self._chunk(info.key)
        await self._named()
        self._chain(floor)
        await self._states()
        return self._findings.all

    # ---- one object after the other

    async def _list(self) -> None:
        prefix = f"{self._layout.prefix}/"
        async for info in self._store.list(prefix):
            kind, _, name = info.key.removeprefix(prefix).partition("/")
            countable = kind not in ("log", "snap", "floor") or numbered(info.key)
            if kind in self._listed and name and "/" not in name and countable:
                self._listed[kind][info.key] = info
            else:
                self._findings.say(info.key, "K", "an object that is none of a log")

    async def _get(self, key: str) -> bytes | None:
        """An object that was listed, unless it has been removed since, as it may be."""
        try:
            return await self._store.get(key)
        except NotFound:
            return None

    async def _floors(self) -> int:
        for key in self._listed["floor"]:
            if (data := await self._get(key)) is not None:
                with self._findings.gathering():
                    head_of(Kind.FLOOR, data, key)
        return max([counted_down(key) for key in self._listed["floor"]], default=0)

    async def _snapshot(self, key: str) -> None:
        with self._findings.gathering("the state at this commit, unless the log leads there"):
            try:
                self._snapshots.append(await read_snapshot(self._store, self._layout, counted_down(key)))
            except NotFound:
                return

    async def _commit(self, key: str, floor: int) -> None:
        number, data = last_number(key), await self._get(key)
        if data is None or (number < floor and number in self._links):
            return  # below the floor it may be a stalled writer's (F3), and its past counts
        with self._findings.gathering(f"what commit {number} did, and the messages that came with it"):
            commit = decoded(self._reader.fold, data, key)
            if commit.number != number:
                raise Damaged("a commit of another number", key=key, rule="C2", reason=str(commit.number))
            self._learn(number, _Link(commit.id, commit.after, commit.at, key))
            for part in commit.parts:
                for at in part.attachments:
                    if attachment_digest(data[at.offset : at.offset + at.length]) != at.digest:
                        self._findings.say(key, "B4", "an attachment is not what was written", f"bytes at {at.offset}")

    async def _pasts(self) -> None:
        named = {entry.name: entry for snapshot in self._snapshots for entry in snapshot.pasts}
        for entry in named.values():
            await self._past(entry)
        async for found in found_pasts(self._store, self._layout, named):
            if isinstance(found, Damaged):  # a left-over of a compaction that died, or named by a damaged snapshot
                with self._findings.gathering():
                    raise found
            elif any(number not in self._links for number in range(found.first, found.last + 1)):
                await self._past(found)

    async def _past(self, entry: PastEntry) -> None:
        key = self._layout.past(entry.name)
        if key not in self._listed["past"]:
            return  # `_named` says so
        with self._findings.gathering(f"the way to the states from commit {entry.first} to {entry.last}"):
            for number, raw in (await read_past(self._store, self._layout, entry)).items():
                if not raw:
                    self._lost.add(number)
                    continue
                commit = decoded_head(self._reader.fold, raw, key)
                if commit.number != number:
                    raise Damaged("the head of another commit", key=key, rule="P2", reason=str(commit.number))
                self._learn(number, _Link(commit.id, commit.after, commit.at, key))

    async def _packs(self) -> None:
        entries = {entry.name: entry for snapshot in self._snapshots for entry in snapshot.packs}
        for key, info in self._listed["pack"].items():
            await self._pack(key, info, entries.get(key.rpartition("/")[2]))

    async def _pack(self, key: str, info: ObjectInfo, entry: PackEntry | None) -> None:
        with self._findings.gathering("messages that are in it and nowhere else"):
            if entry is not None and info.size != entry.size:
                raise Damaged("a pack has another length than its snapshot says", key=key, rule="P3")
            try:
                async for found in bodies_in(self._store, key, info.size):
                    if isinstance(found, Damaged):
                        self._findings.take(finding_of(found, "messages that are in it and nowhere else"))
                    elif attachment_digest(found[1]) != await self._digest_at(*found[0], found[1]):
                        what = f"not what came with commit {found[0][0]}"
                        self._findings.say(key, "P3", what, "messages that are in it and nowhere else")
            except NotFound:
                return

    async def _digest_at(self, commit: int, offset: int, body: bytes) -> bytes:
        """What an attachment must hash to, by the head of its commit; if nobody has that, what it does."""
        if self._digests[0] != commit:
            digests: dict[int, bytes] = {}
            with self._findings.gathering():
                head = await self._heads.get(commit) if commit not in self._lost else None
                if head is not None:
                    parts = decoded_head(self._reader.fold, head, self._layout.commit(commit)).parts
                    digests = {each.offset: each.digest for part in parts for each in part.attachments}
            self._digests = commit, digests
        return self._digests[1].get(offset) or attachment_digest(body)

    async def _chunk(self, key: str) -> None:
        name = Digest(key.rpartition("/")[2])
        with self._findings.gathering("a part of snapshots, unless the log leads there"):
            try:
                await ChunkStore(self._store, self._layout, self._reader.dice).get(name)
            except Damaged:
                if await self._get(key) is not None:
                    raise

    def _learn(self, number: int, link: _Link) -> None:
        known = self._links.setdefault(number, link)
        if known.id != link.id:
            self._apart("P2", f"two commits have number {number}", known.key, link.key)

    def _apart(self, rule: str, what: str, *keys: str) -> None:
        """Objects that cannot all be of this log."""
        for key in dict.fromkeys(keys):
            others = [each for each in keys if each != key]
            self._findings.say(key, rule, f"{what}; see {', '.join(others)}" if others else what)

    # ---- all of them together

    async def _named(self) -> None:
        """S1: whatever a snapshot names is there."""
        layout = self._layout
        for snapshot in self._snapshots:
            for kind, names in (
                ("chunk", [layout.chunk(name) for name in snapshot.chunks]),
                ("pack", [layout.pack(entry.name) for entry in snapshot.packs]),
                ("past", [layout.past(entry.name) for entry in snapshot.pasts]),
            ):
                for key in names:
                    if key not in self._listed[kind] and await self._is_missing(key, snapshot):
                        lost = {"chunk": "a part of snapshots", "pack": "messages", "past": "a way to states"}[kind]
                        what = f"missing, and the snapshot at commit {snapshot.number} names it"
                        self._findings.say(key, "S1", what, lost)

    async def _is_missing(self, key: str, snapshot: Snapshot) -> bool:
        """Not if it was only listed late, or went with its snapshot meanwhile."""
        for each, missing in ((key, False), (self._layout.snapshot(snapshot.number), True)):
            try:
                await self._store.head(each)
                return missing
            except NotFound:
                continue
        return False

    def _chain(self, floor: int) -> None:
        """C1, C2: each commit follows the one before it, and none is missing between those that are there."""
        newest = max([snapshot.number for snapshot in self._snapshots], default=EMPTY)
        for snapshot in self._snapshots:
            link = self._links.get(snapshot.number)
            if link is not None and link.id != snapshot.id:
                key = self._layout.snapshot(snapshot.number)
                self._apart("S1", f"a snapshot that is not of commit {snapshot.number}", key, link.key)
        if floor > newest + 1:
            what = "a floor above the newest snapshot"
            self._findings.say(self._layout.floor(floor), "F1", what)
        numbers = sorted(self._links)
        for number in numbers:
            before, link = self._links.get(number - 1), self._links[number]
            if before is None or not link.after:
                continue  # R8: a commit after nothing is the beginning of a mended log
            if link.after != before.id or link.at < before.at:
                self._apart("C2", f"commit {number} does not follow the one before it", link.key, before.key)
        covered = max([entry.last for each in self._snapshots for entry in each.pasts], default=EMPTY)
        start = max(covered, floor - 1, EMPTY) + 1
        for number in range(start, max(numbers, default=EMPTY)):
            key = self._layout.commit(number)
            if number not in self._links and number not in self._lost and key not in self._listed["log"]:
                self._findings.say(key, "R7", "a commit is missing, and others follow", f"what commit {number} did")

    async def _states(self) -> None:
        """Each snapshot's state can be had, and is the one that the commits lead to from the one before it."""
        reader, fold = self._reader, self._reader.fold
        heads = self._heads
        tip: Tip[S] | None = Tip(fold.empty()) if EMPTY + 1 in self._links else None
        for snapshot in sorted(self._snapshots, key=lambda each: each.number):
            loaded: Tip[S] | None = None
            with self._findings.gathering("a part of this snapshot, unless the log leads there"):
                loaded = await tip_of(self._store, self._layout, fold, reader.dice, snapshot)
            tip = await self._led(tip, snapshot, heads) if tip is not None else None
            if tip is not None and loaded is not None:
                self._compare(loaded, tip, snapshot)
            tip = loaded or tip

    async def _led(self, tip: Tip[S], snapshot: Snapshot, heads: Heads) -> Tip[S] | None:
        """The state at a snapshot's commit, made of the commits; None if they do not lead there."""
        try:
            while tip.number < snapshot.number:
                key = self._layout.commit(tip.number + 1)
                head = await heads.get(tip.number + 1)
                if head is None:
                    return None
                tip = self._reader.applied(tip, decoded_head(self._reader.fold, head, key))
        except (Damaged, NewerFormat):
            return None  # said of the commit
        return tip if tip.number == snapshot.number else None

    def _compare(self, loaded: Tip[S], led: Tip[S], snapshot: Snapshot) -> None:
        fold = self._reader.fold
        wrong: Sequence[str]
        if isinstance(fold, Parted):
            wrong = fold.differences(loaded.state, led.state)
        else:
            wrong = [] if loaded.state == led.state else ["the state"]
        if wrong:
            what = f"not the state that the commits lead to: {', '.join(wrong)}"
            self._findings.say(self._layout.snapshot(snapshot.number), "S1", what)
