"""COPY and MOVE: messages in another folder too, or instead; no byte of mail is copied."""

from __future__ import annotations

from collections.abc import Sequence

from merpati.log.api import Decision
from merpati.mailbox.changes import Change, Copied, Kept, Keyworded
from merpati.mailbox.flags import bits_of, names_of, new_keywords
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.types import Uid, UidValidity
from merpati.mailbox.values import Copied as CopiedAnswer
from merpati.mailbox.values import FolderId, OverQuota
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.expunge import removing, rows_of


def copy(
    source: str | FolderId, uids: Sequence[int], target: str | FolderId, now: float, quota: int = 0
) -> Decider[CopiedAnswer]:
    """RFC 9051 section 6.4.7: flags and dates are kept."""

    def decide(state: MailState) -> Decision[Change, CopiedAnswer]:
        folder, into = state.find(source), state.find(target)
        rows = rows_of(folder, uids)
        size = sum(folder.columns.sizes[row] for row in rows)
        if rows and quota and state.size + size > quota:
            raise OverQuota("the mailbox is full", quota=quota)
        changes, answer = copying(folder, rows, into)
        return Decision(answer, changes)

    return with_birth(decide, now)


def move(source: str | FolderId, uids: Sequence[int], target: str | FolderId, now: float) -> Decider[CopiedAnswer]:
    """RFC 6851 section 3.1: nobody sees a message in both folders, or in neither."""

    def decide(state: MailState) -> Decision[Change, CopiedAnswer]:
        folder, into = state.find(source), state.find(target)
        changes, answer = moving(state, folder, rows_of(folder, uids), into)
        return Decision(answer, changes)

    return with_birth(decide, now)


def moving(state: MailState, folder: Folder, rows: Sequence[int], into: Folder) -> tuple[list[Change], CopiedAnswer]:
    """The changes that move the messages at `rows`."""
    changes, answer = copying(folder, rows, into)
    if rows:
        changes.append(removing(folder, rows))
    return changes, answer


def copying(folder: Folder, rows: Sequence[int], into: Folder) -> tuple[list[Change], CopiedAnswer]:
    """The changes that copy the messages at `rows`."""
    columns = folder.columns
    keywords, bits = _translated(folder, rows, into)
    kept = tuple(
        Kept(
            bits[columns.flags[row]],
            columns.dates[row],
            columns.sizes[row],
            columns.commits[row],
            columns.offsets[row],
            columns.checks[row],
            (folder.id, columns.uids[row]),
        )
        for row in rows
    )
    answer = CopiedAnswer(
        into.id,
        UidValidity(into.uidvalidity),
        tuple(Uid(columns.uids[row]) for row in rows),
        tuple(Uid(uid) for uid in range(into.uidnext, into.uidnext + len(rows))),
    )
    if not kept:
        return [], answer
    changes: list[Change] = [Keyworded(into.id, keywords)] if keywords else []
    return [*changes, Copied(into.id, kept)], answer


def _translated(folder: Folder, rows: Sequence[int], into: Folder) -> tuple[tuple[str, ...], dict[int, int]]:
    """The keywords that the target has to learn, and the target's bits for each combination of the source's."""
    if folder.keywords == into.keywords:
        return (), _Same()
    bits: dict[int, int] = {}
    new: tuple[str, ...] = ()
    for value in {folder.columns.flags[row] for row in rows}:
        names = names_of(value, folder.keywords)
        new += new_keywords(names, into.keywords + new, strict=False)
        bits[value] = bits_of(names, into.keywords + new)
    return new, bits


class _Same(dict[int, int]):
    """Both folders have the same table of keywords."""

    def __missing__(self, key: int) -> int:
        return key
