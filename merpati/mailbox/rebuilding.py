"""A mailbox made anew of its log: snapshots, columns and summaries, and around damage as much of it as there is.

Called by `merpati mailbox rebuild`; what all logs have in common stands in `merpati.log.rebuilding`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from merpati.log.api import Commit, Contended, Damaged, Tip
from merpati.log.attachments import Attachments
from merpati.log.mending import Needed
from merpati.log.packs import bodies_in
from merpati.log.rebuilding import TRIES, Rebuilding
from merpati.log.remains import Remains
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

_HEADER_ENDS = b"\r\n\r\n"
_PARTS = {
    "tree": "subscriptions and annotations",
    "causes": "which deliveries were made of late",
    "larges": "where the large messages are",
}
"""What each part of an account that can be shut is, in words."""


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


async def rebuilt(account: MailAccount) -> Rebuilt:
    """Make everything but the log anew.  Raises `Unavailable`, `NewerFormat`, `TooLate`, `Contended`."""
    for _ in range(TRIES):
        try:
            done = await _Mailbox(account).run()
            return Rebuilt(done.tip.number, done.exact, done.tip.state.messages, done.lost, done.damaged)
        except Contended as error:
            contended = error
    raise contended


class _Mailbox(Rebuilding[MailState, Change]):
    def __init__(self, account: MailAccount) -> None:
        super().__init__(account.log)
        self._account = account
        self._attachments = Attachments(account.log.reader)

    def is_whole(self, state: MailState) -> bool:
        return not state.shut

    # ---- what is left

    async def salvaged(
        self,
        base: Tip[MailState],
        commits: AsyncIterator[tuple[int, Commit[Change] | None]],
        number: int,
        remains: Remains,
    ) -> tuple[MailState, bool]:
        salvage, missing, now = Salvage(replace(base.state, shut={})), set[int](), self.reader.clock.time()
        async for each, commit in commits:
            if commit is None:
                missing.add(each)
                salvage.pass_over(now)
            else:
                salvage.take(commit, now)
        await self._open_shut(base, salvage)  # last, for the commits after it gave UIDs that are known
        if missing:
            salvage.bring(await self._strays(remains, salvage.state, missing), now)
        if salvage.astray:
            self.lost.append(f"which folder {salvage.astray} messages were in: they are in {FOUND}")
        if salvage.dropped:
            self.lost.append(f"{salvage.dropped} later changes to what those had made")
        if salvage.exact and not base.state.shut:
            return replace(salvage.state, number=number), True
        return salvage.settled(number), False

    async def _strays(self, remains: Remains, state: MailState, missing: set[int]) -> list[NewRow]:
        """Messages in packs that came with lost commits; some may have been expunged since, which nobody can tell."""
        there = set(addresses(state))
        rows: list[NewRow] = []
        for entry in remains.packs:
            key = self.reader.layout.pack(entry.name)
            try:
                async for found in bodies_in(self.reader.store, key, entry.size):
                    if isinstance(found, Damaged) or found[0] in there or found[0][0] not in missing:
                        continue
                    (commit, offset), body = found
                    if _HEADER_ENDS in body:  # else it is what stood before a large body
                        about = await asyncio.to_thread(summarise, body)
                        check, date = check_of(body), about.sent_at or 0
                        rows.append(NewRow(0, 0, 0, len(body), date, commit, offset, check, packed(about)))
            except (Damaged, NotFound):
                continue
        return rows

    async def _open_shut(self, base: Tip[MailState], salvage: Salvage) -> None:
        """R6: what is known of parts that were shut: messages whose places are lost are found by their summaries."""
        for part, shut in base.state.shut.items():
            if not isinstance(part, int):
                self.lost.append(f"{_PARTS[part]}: {shut.damage}")
                continue
            folder = salvage.state.folders.get(part)
            if folder is None:
                continue  # removed since
            found = [row for run in shut.runs for row in _rows(await self._found(run), base.number)]
            columns = folder.columns
            there = set(zip(columns.commits[: columns.length], columns.offsets[: columns.length], strict=True))
            came = salvage.add(part, [row for row in found if (row.commit, row.offset) not in there])
            if shut.lost:
                self.lost.append(
                    f"{folder.name}: UIDs, flags and dates of {shut.lost} messages; {came} were found, as new ones"
                )
            if shut.unflagged:
                self.lost.append(f"{folder.name}: the flags of {shut.unflagged} messages")

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

    async def completed(self, state: MailState) -> MailState:
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

    def needed(self, state: MailState) -> Iterator[Needed]:
        for folder in state.folders.values():
            columns = folder.columns
            for row in range(columns.length):
                commit, offset = columns.commits[row], columns.offsets[row]
                if offset < LARGE:
                    yield Needed(commit, offset, columns.sizes[row], columns.checks[row])
                elif (place := state.larges.get(commit, offset)) is not None and place.length:
                    yield Needed(commit, place.offset, place.length, 0)

    def unreadable(self, state: MailState, nowhere: Iterable[Needed]) -> Iterator[str]:
        lost = {(each.commit, each.offset) for each in nowhere}
        for folder in state.folders.values():
            view = self._account.past_folder(folder, state)
            for row in range(view.exists):
                address = view.body(row)
                offset = address.large.offset if address.large else address.offset
                if (address.commit, offset) in lost:
                    yield f"the bytes of {folder.name} UID {view.uids[row]}"


async def _is_bad(run: SummaryRun) -> bool:
    try:
        await run.read()
    except (Damaged, ValueError):
        return True
    return False


def _rows(found: Mapping[tuple[int, int], tuple[bytes, int]], number: int) -> Iterator[NewRow]:
    for (commit, offset), (summary, check) in sorted(found.items()):
        about = unpacked(summary)
        yield NewRow(0, 0, number, about.size, about.sent_at or 0, commit, offset, check, summary)
