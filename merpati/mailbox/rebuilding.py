"""A mailbox made anew of its log: snapshots, columns and summaries, and around damage as much of it as there is.

Called by `merpati mailbox rebuild`.  Writes a commit and a snapshot above all that is there; nothing is written over or
removed, so what is damaged can still be looked at until the vacuum takes it (PROTOCOL.md rules R8 and R9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from merpati.log.api import Commit, Contended, Damaged, Decision, Tip
from merpati.log.attachments import Attachments
from merpati.log.commits import decoded_head
from merpati.log.heads import Heads
from merpati.log.mending import Mending, Needed, foreign
from merpati.log.packs import bodies_in
from merpati.log.reading import Opened, Reader
from merpati.log.remains import Remains, remains_of
from merpati.log.snapshots import tip_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.bodies import LARGE, addresses
from merpati.mailbox.changes import Change
from merpati.mailbox.columns import NewRow
from merpati.mailbox.reading import check_of
from merpati.mailbox.runs import SummaryRun
from merpati.mailbox.salvaging import FOUND, Salvage
from merpati.mailbox.state import MailState
from merpati.mailbox.summaries import packed, unpacked
from merpati.mailbox.values import BodyMissing
from merpati.message.summary import summarise
from merpati.objects.api import NotFound

TRIES = 5
"""Times that a rebuild begins again because somebody wrote meanwhile."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done."""

    commit: int
    """The state stands in a snapshot of this commit."""
    exact: bool
    """Folders, messages, flags, UIDs and MODSEQs are what they were."""
    messages: int
    lost: tuple[str, ...]
    """What could not be had, in words."""
    damaged: tuple[str, ...]
    """What was met on the way; nothing else is lost by it."""


async def rebuilt(account: MailAccount, writer: str = "rebuild") -> Rebuilt:
    """Make everything but the log anew.  Raises `Unavailable`, `NewerFormat`, `TooLate`, `Contended`."""
    for _ in range(TRIES):
        try:
            return await _Rebuilding(account, writer).run()
        except Contended as error:
            contended = error
    raise contended


class _Rebuilding:
    def __init__(self, account: MailAccount, writer: str) -> None:
        self._account = account
        self._reader: Reader[MailState, Change] = account.log.reader
        self._attachments = Attachments(self._reader)
        self._writer = writer
        self._lost: list[str] = []
        self._damaged: list[str] = []
        self._missing: frozenset[int] = frozenset()

    async def run(self) -> Rebuilt:
        remains = await remains_of(self._reader)
        mending = Mending(self._reader, remains)
        opened = await self._opened()
        exact = opened is not None and opened.damage is None and not opened.tip.state.shut
        if exact:
            tip = await self._above()
            taken = tip.number
        else:
            base = opened.tip if opened is not None else await self._nearest(remains)
            taken = max(remains.last, base.number)
            salvage = await self._salvaged(base, taken, remains)
            exact = salvage.exact and not base.state.shut
            begun = await mending.begin(taken + 1, base.at, self._writer)
            state = replace(salvage.state, number=begun.number) if exact else salvage.settled(begun.number)
            tip = Tip(state, begun.number, begun.id, begun.at)
        tip = Tip(await self._with_summaries(tip.state), tip.number, tip.id, tip.at)
        await mending.end(tip, _needed(tip.state), self._missing | await self._foreign(remains, taken), taken)
        self._tell(mending, remains, tip.state)
        await self._account.log.read()
        return Rebuilt(tip.number, exact, tip.state.messages, tuple(self._lost), tuple(dict.fromkeys(self._damaged)))

    async def _opened(self) -> Opened[MailState] | None:
        try:
            return await self._reader.open()
        except Damaged as damage:
            self._damaged.append(str(damage))
            return None

    async def _above(self) -> Tip[MailState]:
        """The state, which is known, at a commit of its own."""
        await self._account.log.read()
        await self._account.log.commit(lambda _: Decision(None, always=True))
        tip = self._account.log.tip
        if tip is None or self._account.log.damage is not None or tip.state.shut:
            raise Contended("the mailbox was damaged meanwhile", account=self._account.id)
        return tip

    # ---- what is left

    async def _nearest(self, remains: Remains) -> Tip[MailState]:
        """The state that comes nearest to the end of a log whose end no snapshot leads to."""
        best: Tip[MailState] = Tip(self._reader.fold.empty())
        reader = self._reader
        for around in (False, True):
            for snapshot in remains.snapshots:
                try:
                    tip = await tip_of(reader.store, reader.layout, reader.fold, reader.dice, snapshot, around=around)
                except Damaged:
                    continue
                best = tip if tip.number > best.number else best
                break
        return best

    async def _salvaged(self, base: Tip[MailState], last: int, remains: Remains) -> Salvage:
        """What stands behind the damage, taken as far as it can be understood."""
        salvage = Salvage(replace(base.state, shut={}))
        heads = Heads(self._reader.store, self._reader.layout, remains.pasts)
        links = await self._links(heads, base.number + 1, last)
        wrong = foreign(links, base)
        self._missing = frozenset({*range(base.number + 1, last + 1)} - {*links} | wrong)
        now = self._reader.clock.time()
        for number in range(base.number + 1, last + 1):
            commit = await self._commit(heads, number) if number not in self._missing else None
            if commit is None:
                salvage.pass_over(now)
            else:
                salvage.take(commit, now)
        await self._open_shut(base, salvage)  # last, for the commits after it gave UIDs that are known
        if self._missing:
            strays = await self._strays(remains, salvage.state)
            salvage.bring(strays, now)
            self._lost.append(f"what was done by {_numbers(self._missing)}")
        if salvage.astray:
            self._lost.append(f"which folder {salvage.astray} messages were in: they are in {FOUND}")
        if salvage.dropped:
            self._lost.append(f"{salvage.dropped} later changes to what those had made")
        return salvage

    async def _foreign(self, remains: Remains, last: int) -> frozenset[int]:
        """Of the commits that no past has, those that are not of this log."""
        heads = Heads(self._reader.store, self._reader.layout, remains.pasts)
        links = await self._links(heads, remains.covered, last)
        before = links.get(remains.covered, (b"", b""))[0]
        return foreign(links, Tip(None, remains.covered, before)) - {remains.covered}

    async def _links(self, heads: Heads, first: int, last: int) -> dict[int, tuple[bytes, bytes]]:
        """Id, and id of the one before, of the commits that can be read."""
        links = {}
        for number in range(first, last + 1):
            commit = await self._commit(heads, number)
            if commit is not None:
                links[number] = commit.id, commit.after
        return links

    async def _strays(self, remains: Remains, state: MailState) -> list[NewRow]:
        """Messages in packs that came with lost commits; some may have been expunged since, which nobody can tell."""
        there = set(addresses(state))
        rows: list[NewRow] = []
        for entry in remains.packs:
            key = self._reader.layout.pack(entry.name)
            try:
                async for found in bodies_in(self._reader.store, key, entry.size):
                    if isinstance(found, Damaged) or found[0] in there or found[0][0] not in self._missing:
                        continue
                    (commit, offset), body = found
                    if _HEADER_ENDS in body:  # else it is what stood before a large body
                        about = await asyncio.to_thread(summarise, body)
                        check, date = check_of(body), about.sent_at or 0
                        rows.append(NewRow(0, 0, 0, len(body), date, commit, offset, check, packed(about)))
            except (Damaged, NotFound):
                continue
        return rows

    async def _commit(self, heads: Heads, number: int) -> Commit[Change] | None:
        async for head in heads.candidates(number):
            try:
                commit = decoded_head(self._reader.fold, head, self._reader.layout.commit(number))
            except Damaged:
                continue
            if commit.number == number:
                return commit
        return None

    async def _open_shut(self, base: Tip[MailState], salvage: Salvage) -> None:
        """R6: what is known of parts that were shut: messages whose places are lost are found by their summaries."""
        for part, shut in base.state.shut.items():
            if not isinstance(part, int):
                self._lost.append(f"{_PARTS[part]}: {shut.damage}")
                continue
            folder = salvage.state.folders.get(part)
            if folder is None:
                continue  # removed since
            found = [row for run in shut.runs for row in _rows(await self._found(run), base.number)]
            columns = folder.columns
            there = set(zip(columns.commits[: columns.length], columns.offsets[: columns.length], strict=True))
            came = salvage.add(part, [row for row in found if (row.commit, row.offset) not in there])
            if shut.lost:
                self._lost.append(
                    f"{folder.name}: UIDs, flags and dates of {shut.lost} messages; {came} were found, as new ones"
                )
            if shut.unflagged:
                self._lost.append(f"{folder.name}: the flags of {shut.unflagged} messages")

    async def _found(self, run: SummaryRun) -> dict[tuple[int, int], tuple[bytes, int]]:
        """Messages by their address: summary and check."""
        try:
            summaries = await run.read()
        except (Damaged, ValueError):
            return {}
        found = {}
        for (commit, offset), summary in summaries.items():
            if offset >= LARGE:
                found[commit, offset] = summary, 0
                continue
            try:
                body = await self._attachments.get(commit, offset, unpacked(summary).size)
            except (NotFound, Damaged, ValueError):
                continue
            found[commit, offset] = summary, check_of(body)
        return found

    # ---- what is made anew

    async def _with_summaries(self, state: MailState) -> MailState:
        """S3: summaries whose run is lost are made anew of their messages."""
        folders = dict(state.folders)
        bad: dict[SummaryRun, bool] = {}
        for key, folder in state.folders.items():
            columns = folder.columns
            column = columns.summaries[: columns.length]
            for row, known in enumerate(column):
                if isinstance(known, SummaryRun):
                    if known not in bad:
                        bad[known] = await _is_bad(known)
                    known = b"" if bad[known] else known
                if not known:
                    column[row] = await self._rendered(folder.id, row, state)
            folders[key] = replace(folder, columns=replace(columns, summaries=column))
        return replace(state, folders=folders)

    async def _rendered(self, folder: int, row: int, state: MailState) -> bytes:
        view = self._account.past_folder(state.folders[folder], state)
        try:
            (summary,) = await view.packed([row])
        except (BodyMissing, Damaged):
            return b""
        return summary

    def _tell(self, mending: Mending[Any, Any], remains: Remains, state: MailState) -> None:
        """What was met on the way."""
        lost = {*mending.lost, *remains.forgotten} - self._missing
        if lost:
            self._lost.append(f"looking back upon {_numbers(lost)}")
        nowhere = {(each.commit, each.offset) for each in mending.unreadable}
        for folder in state.folders.values():
            view = self._account.past_folder(folder, state)
            for row in range(view.exists):
                address = view.body(row)
                offset = address.large.offset if address.large else address.offset
                if (address.commit, offset) in nowhere:
                    self._lost.append(f"the bytes of {folder.name} UID {view.uids[row]}")
        self._damaged += map(str, (*remains.wrong, *mending.wrong))


_HEADER_ENDS = b"\r\n\r\n"
_PARTS = {
    "tree": "subscriptions and annotations",
    "causes": "which deliveries were made of late",
    "larges": "where the large messages are",
}
"""What each part of an account that can be shut is, in words."""


async def _is_bad(run: SummaryRun) -> bool:
    try:
        await run.read()
    except (Damaged, ValueError):
        return True
    return False


def _numbers(numbers: Collection[int]) -> str:
    ordered = sorted(numbers)
    many = f"{ordered[0]} to {ordered[-1]} ({len(ordered)})" if len(ordered) > 3 else ", ".join(map(str, ordered))
    return f"commit {many}"


def _needed(state: MailState) -> Iterator[Needed]:
    """The attachments that a state's messages need."""
    for folder in state.folders.values():
        columns = folder.columns
        for row in range(columns.length):
            commit, offset = columns.commits[row], columns.offsets[row]
            if offset < LARGE:
                yield Needed(commit, offset, columns.sizes[row], columns.checks[row])
            elif (place := state.larges.get(commit, offset)) is not None and place.length:
                yield Needed(commit, place.offset, place.length, 0)


def _rows(found: Mapping[tuple[int, int], tuple[bytes, int]], number: int) -> Iterator[NewRow]:
    for (commit, offset), (summary, check) in sorted(found.items()):
        about = unpacked(summary)
        yield NewRow(0, 0, number, about.size, about.sent_at or 0, commit, offset, check, summary)
