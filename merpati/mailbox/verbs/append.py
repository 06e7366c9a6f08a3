"""Putting messages into folders: deliveries and APPEND."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from merpati.log.api import Decision
from merpati.mailbox.changes import Added, Change, Keyworded, LargeBody, Row, Subscribed
from merpati.mailbox.flags import bits_of, new_keywords
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.types import Uid, UidValidity
from merpati.mailbox.values import Appended, FolderId, MailboxLimits, NoSuchFolder, OverQuota
from merpati.mailbox.verbs.born import Decider, with_birth
from merpati.mailbox.verbs.folders import making

MAX_UID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to be appended: all that takes time has been done."""

    folder: str | FolderId
    body: bytes
    """The message, or what stands before a large body."""
    size: int
    summary: bytes
    flags: tuple[str, ...] = ()
    date: float | None = None
    cause: bytes = b""
    large: LargeBody | None = None


@dataclass(slots=True)
class _Target:
    """What is being put into one folder."""

    folder: Folder
    next_uid: int
    keywords: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


def append(
    messages: Sequence[Prepared], now: float, limits: MailboxLimits, *, create: bool = False, quota: int = 0
) -> Decider[tuple[Appended, ...]]:
    """All of the messages or none; one whose cause was taken before is answered with where that was put."""
    return with_birth(lambda state: _Appending(state, now, limits, create, quota).decide(messages), now)


class _Appending:
    """One decision in the making."""

    def __init__(self, state: MailState, now: float, limits: MailboxLimits, create: bool, quota: int) -> None:
        self._state = state
        self._now = now
        self._limits = limits
        self._create = create
        self._quota = quota
        self._made: list[Change] = []
        self._targets: dict[int, _Target] = {}
        self._bodies: list[bytes] = []
        self._causes: dict[bytes, Appended] = {}
        self._size = 0

    def decide(self, messages: Sequence[Prepared]) -> Decision[Change, tuple[Appended, ...]]:
        answers = tuple([self._put(message) for message in messages])
        if self._size and self._quota and self._state.size + self._size > self._quota:
            raise OverQuota("the mailbox is full", quota=self._quota)
        changes = list(self._made)
        for target in self._targets.values():
            if target.keywords != target.folder.keywords:
                new = target.keywords[len(target.folder.keywords) :]
                changes.append(Keyworded(target.folder.id, new))
            changes.append(Added(target.folder.id, tuple(target.rows)))
        return Decision(answers, changes, self._bodies)

    def _put(self, message: Prepared) -> Appended:
        if message.cause and (before := self._taken(message.cause)):
            return before
        target = self._target(message.folder)
        target.keywords += new_keywords(message.flags, target.keywords, strict=False)
        body = -1
        if message.body or message.large is None:
            body = len(self._bodies)
            self._bodies.append(message.body)
        target.rows.append(
            Row(
                bits_of(message.flags, target.keywords),
                int(self._now if message.date is None else message.date),
                message.size,
                message.summary,
                body,
                message.large,
                message.cause,
            )
        )
        self._size += message.size
        uid, target.next_uid = target.next_uid, target.next_uid + 1
        if uid > MAX_UID:
            raise OverQuota("this folder has used up its UIDs", folder=target.folder.name)
        answer = _appended(target.folder, uid)
        if message.cause:
            self._causes[message.cause] = _appended(target.folder, uid, duplicate=True)
        return answer

    def _taken(self, cause: bytes) -> Appended | None:
        if cause in self._causes:
            return self._causes[cause]
        place = self._state.causes.get(cause)
        if place is None:
            return None
        folder = self._state.folders.get(place[0])
        uidvalidity = folder.uidvalidity if folder else 0
        return Appended(FolderId(place[0]), UidValidity(uidvalidity), Uid(place[1]), duplicate=True)

    def _target(self, which: str | FolderId) -> _Target:
        try:
            folder = self._state.find(which)
        except NoSuchFolder:
            if not self._create or not isinstance(which, str):
                raise
            # a folder that a delivery makes is subscribed: its owner is to see that there is mail in it
            self._state, made = making(self._state, which, self._now, self._limits)
            folder = self._state.find(which)
            self._made += [*made, Subscribed(folder.name, True)]
        if folder.id not in self._targets:
            self._targets[folder.id] = _Target(folder, folder.uidnext, folder.keywords)
        return self._targets[folder.id]


def _appended(folder: Folder, uid: int, *, duplicate: bool = False) -> Appended:
    return Appended(folder.id, UidValidity(folder.uidvalidity), Uid(uid), duplicate)
