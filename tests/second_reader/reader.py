"""A second reader of mailboxes: what stands in the log of one account, as of its newest commit.

It is written from `docs/mailbox-log.md` and `merpati/log/PROTOCOL.md` alone and imports nothing of merpati, so that
the tests can hold the pages against the code.  It reads files, in which nobody is writing meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tests.second_reader.fold import FLAGS, LARGE, Address, FolderState, Row, State, state_of, summaries_in
from tests.second_reader.log import TOP, Log
from tests.second_reader.objects import Bucket, Refused, digest

SORTING = 11
"""Fields of a summary that we know, after its texts."""
NO_ID = b""
"""What commit 2 names as the one before."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a folder."""

    uid: int
    flags: frozenset[str]
    date: int
    modseq: int
    size: int
    email_id: str
    data: bytes
    envelope: bytes
    body: bytes
    bodystructure: bytes
    sorting: tuple[Any, ...]
    """Size, time and day of sending, subject, base subject, … : what comes last in a summary."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder; `unseen`, `deleted` and the bytes are the sums that snapshot and commits tell."""

    id: int
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    special_use: str
    keywords: tuple[str, ...]
    exists: int
    unseen: int
    deleted: int
    bytes: int
    deleted_bytes: int
    messages: tuple[Message, ...]
    vanished: frozenset[tuple[int, int]]
    """UID and MODSEQ of what was expunged; the last, if several ranges cover a UID."""
    vanished_since: int
    """The commit after which that is complete."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """All of an account."""

    number: int
    closed: bool
    folders: dict[str, Folder]
    subscriptions: frozenset[str]
    annotations: dict[str, dict[str, bytes]]
    """By name of the folder; "" is the account."""
    causes: dict[bytes, tuple[int, int, float]]
    """Folder, UID and time of the commit of what each has brought."""


def read_mailbox(root: Path, account: str, at: int | None = None) -> Mailbox:
    """The account's mailbox, as of its newest commit or of commit `at`.

    Raises Refused if something that is needed is damaged or missing.
    """
    log = Log(Bucket(root), account)
    return _Reading(log, _state(log, TOP if at is None else at)).mailbox()


def _state(log: Log, most: int) -> State:
    state, id, at = State(), NO_ID, 0.0
    for snapshot in log.snapshots(most):
        if snapshot.kind != "mailbox":
            raise Refused(f"{log.prefix} is the log of a {snapshot.kind}")
        try:
            state, id, at = state_of(snapshot.state, log.chunk), snapshot.id, snapshot.at
            break
        except Refused:
            continue
    for commit in log.commits(state.number, id, at, most):
        state.apply(commit)
    return state


class _Reading:
    def __init__(self, log: Log, state: State) -> None:
        self._log = log
        self._state = state
        self._summaries: dict[Address, bytes] = {}

    def mailbox(self) -> Mailbox:
        state = self._state
        for name in state.summaries:
            self._summaries |= summaries_in(self._log.chunk(name))
        names = {0: ""} | {folder.id: folder.name for folder in state.folders.values()}
        noted = {names[id]: dict(entries) for id, entries in state.annotations.items() if entries}
        folders = {each.name: self._folder(each) for each in state.folders.values()}
        return Mailbox(state.number, state.closed, folders, frozenset(state.subscriptions), noted, state.causes)

    def _folder(self, here: FolderState) -> Folder:
        names = (*FLAGS, *here.keywords)
        messages = [self._message(uid, row, names) for uid, row in sorted(here.rows.items())]
        gone = {uid: modseq for modseq, first, last in here.vanished for uid in range(first, last + 1)}
        exists, unseen, deleted, size, deleted_size = here.sums
        return Folder(
            here.id, here.name, here.uidvalidity, here.uidnext, here.modseq, here.special_use, tuple(here.keywords),
            exists, unseen, deleted, size, deleted_size, tuple(messages), frozenset(gone.items()),
            here.vanished_since,
        )  # fmt: skip

    def _message(self, uid: int, row: Row, names: tuple[str, ...]) -> Message:
        flags = frozenset(name for bit, name in enumerate(names) if row.flags >> bit & 1)
        commit, offset = row.address
        data = self._large(row.address) if offset >= LARGE else self._log.attachment(commit, offset)
        if offset < LARGE and int.from_bytes(digest(data)[:8], "big") != row.check:
            raise Refused(f"{row.address} is not what its check says")
        summary = self._summaries[row.address] if row.summary is None else row.summary
        return Message(uid, flags, row.date, row.modseq, row.size, f"M{commit:x}_{offset:x}", data, *_texts(summary))

    def _large(self, address: Address) -> bytes:
        body = self._state.large[address]
        data = self._log.bucket.get(body.key)
        if data is None or digest(data) != body.digest or len(data) != body.size:
            raise Refused(f"{body.key} is missing or damaged")
        pieces, at = [], 0
        if body.prefix_length:
            pieces.append(self._log.attachment(address[0], body.prefix_offset))
        for begin, end in (*body.without, (len(data), len(data))):
            pieces.append(data[at:begin])
            at = end
        return b"".join(pieces)


def _texts(summary: bytes) -> tuple[bytes, bytes, bytes, tuple[Any, ...]]:
    """ENVELOPE, BODY, BODYSTRUCTURE, and the rest; nothing of a summary that is lost."""
    if not summary:
        return b"", b"", b"", ()
    ends = [12]
    for at in (0, 4, 8):
        ends.append(ends[-1] + int.from_bytes(summary[at : at + 4], "big"))
    envelope, body, structure = (summary[start:end] for start, end in pairwise(ends))
    return envelope, body, structure, tuple(msgspec.msgpack.decode(summary[ends[-1] :])[:SORTING])
