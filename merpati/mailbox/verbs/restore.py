"""Bringing back messages of an earlier state: as copies, so that no byte of mail is written again."""

from __future__ import annotations

from collections.abc import Sequence

from merpati.log.api import Decision
from merpati.mailbox.changes import Change, Copied, Kept, Keyworded
from merpati.mailbox.flags import bits_of, names_of, new_keywords
from merpati.mailbox.state import MailState
from merpati.mailbox.values import MailboxLimits, NoSuchFolder
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.folders import making

NOWHERE = (0, 0)
"""The origin of a message that is copied out of the past: the change has all of it."""


def restore(
    messages: Sequence[Kept], keywords: Sequence[str], into: str, now: float, limits: MailboxLimits
) -> Decider[int]:
    """Put `messages`, whose flags are by the table `keywords`, into the folder `into`; made if it is not there.

    A message that the folder has already is left alone.  Answers how many came.
    """

    def decide(state: MailState) -> Decision[Change, int]:
        changes: list[Change] = []
        try:
            folder = state.find(into)
        except NoSuchFolder:
            state, made = making(state, into, now, limits)
            changes += made
            folder = state.find(into)
        columns = folder.columns
        there = set(zip(columns.commits[: columns.length], columns.offsets[: columns.length], strict=True))
        missing = [kept for kept in messages if (kept.commit, kept.offset) not in there]
        if not missing:
            return Decision(0)
        names = {flags: names_of(flags, keywords) for flags in {kept.flags for kept in missing}}
        new: tuple[str, ...] = ()
        for each in names.values():
            new += new_keywords(each, folder.keywords + new, strict=False)
        if new:
            changes.append(Keyworded(folder.id, new))
        rows = tuple(_with_flags(kept, bits_of(names[kept.flags], folder.keywords + new)) for kept in missing)
        return Decision(len(rows), [*changes, Copied(folder.id, rows)])

    return with_birth(decide, now)


def _with_flags(kept: Kept, flags: int) -> Kept:
    return Kept(
        flags, kept.date, kept.size, kept.commit, kept.offset, kept.check, NOWHERE, kept.summary, kept.large
    )  # fmt: skip
