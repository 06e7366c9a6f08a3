"""What really happened: the store as it is, every commit as it was first written, and the states they lead to."""

from __future__ import annotations

from typing import Any

from merpati.clock import Clock
from merpati.log.api import EMPTY, Commit, Tip
from merpati.log.commits import decoded
from merpati.log.layout import Layout, log_of
from merpati.mailbox.bodies import LARGE, LargePlace
from merpati.mailbox.changes import Change
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.folder import Folder
from merpati.mailbox.runs import Shelf
from merpati.mailbox.state import MailState
from merpati.objects.memory import MemoryStore
from tests.world.nodes import ACCOUNT

LAYOUT = log_of(ACCOUNT)


class Truth(MemoryStore):
    """The store that all the bad ones stand before; remembers what was first under each number of the log."""

    def __init__(self, clock: Clock, layout: Layout = LAYOUT) -> None:
        super().__init__(clock)
        self._right = clock
        self._layout = layout
        self.commits: dict[int, tuple[bytes, float]] = {}
        """Commit objects, and when they came to be."""

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        if key.startswith(self._layout.commits):
            self.commits.setdefault(int(key[-20:]), (data, self._right.time()))


class History:
    """The states of the log, one after the other; and what can be said of them."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._fold = MailboxFold(Shelf())
        self._tips: list[Tip[MailState]] = [Tip(self._fold.empty(), EMPTY)]
        self.torn = 0
        """A commit that does not follow the one before it."""
        self._prints: dict[int, object] = {}
        self.changes: list[tuple[int, Change]] = []
        self.messages: dict[tuple[int, int], tuple[int, int]] = {}
        """The address of every message that ever was, by folder and UID."""

    def at(self, number: int) -> Tip[MailState] | None:
        """The state as of commit `number`; None if there never was one."""
        while self._tips[-1].number < number:
            entry = self._truth.commits.get(self._tips[-1].number + 1)
            if entry is None or self.torn:
                return None
            self._take(decoded(self._fold, entry[0], "history"))
        return self._tips[number - EMPTY] if number >= EMPTY else None

    def led_on(self, tip: Tip[MailState]) -> Tip[MailState]:
        """Where the commits after `tip` lead to, from whatever state that has."""
        while (entry := self._truth.commits.get(tip.number + 1)) is not None:
            commit = decoded(self._fold, entry[0], "history")
            tip = Tip(self._fold.apply(tip.state, commit), commit.number, commit.id, commit.at)
        return tip

    def id(self, number: int) -> bytes:
        """Of that commit."""
        tip = self.at(number)
        return tip.id if tip else b""

    def last(self) -> Tip[MailState]:
        """The end of it."""
        while self.at(self._tips[-1].number + 1) is not None:
            pass
        return self._tips[-1]

    def print_at(self, number: int) -> object:
        """The fingerprint of a state; None if there never was one."""
        if number not in self._prints:
            tip = self.at(number)
            self._prints[number] = fingerprint(tip.state) if tip else None
        return self._prints[number]

    def is_at(self, body: bytes, folder: int, uid: int) -> bool:
        """Whether a message that rode in its commit was ever there; of large ones, whether one was."""
        self.last()
        commit, offset = self.messages.get((folder, uid), (0, 0))
        return offset >= LARGE or (commit > 0 and self._truth.commits[commit][0].startswith(body, offset))

    def _take(self, commit: Commit[Change]) -> None:
        before = self._tips[-1]
        if commit.after != before.id:
            self.torn = commit.number
            return
        state = self._fold.apply(before.state, commit)
        self._tips.append(Tip(state, commit.number, commit.id, commit.at))
        self.changes += [(commit.number, change) for part in commit.parts for change in part.changes]
        for key, folder in state.folders.items():
            if before.state.folders.get(key) is not folder:
                columns = folder.columns
                for row in range(columns.length):
                    self.messages.setdefault((key, columns.uids[row]), (columns.commits[row], columns.offsets[row]))


def fingerprint(state: MailState) -> object:
    """All that a state says, as a value: equal for equal states, whichever way they came about."""
    return (
        state.number,
        tuple(_folder_print(state, folder) for folder in sorted(state.folders.values(), key=lambda each: each.id)),
        tuple(sorted(state.names.items())),
        tuple(sorted(state.subscriptions)),
        (state.next_folder, state.last_uidvalidity, tuple(sorted(state.retired.items())), state.retired_all),
        tuple(sorted((key, tuple(sorted(entries.items()))) for key, entries in state.metadata.items() if entries)),
        tuple(sorted(state.causes)),
    )


def larges_in(state: MailState) -> list[LargePlace]:
    """The large bodies of the messages that are there."""
    return [place for folder in state.folders.values() for place in _larges(state, folder)]


def _larges(state: MailState, folder: Folder) -> list[LargePlace]:
    columns = folder.columns
    addresses = zip(columns.commits[: columns.length], columns.offsets[: columns.length], strict=True)
    places = [state.larges.get(commit, offset) for commit, offset in addresses if offset >= LARGE]
    return [place for place in places if place is not None]


def _folder_print(state: MailState, folder: Folder) -> tuple[Any, ...]:
    columns, count = folder.columns, folder.columns.length
    return (
        (folder.id, folder.name, folder.uidvalidity, folder.modseq, folder.uidnext, folder.special_use),
        (folder.keywords, folder.exists, folder.unseen, folder.deleted, folder.size, folder.deleted_size),
        *(tuple(column[:count]) for column in (columns.uids, columns.flags, columns.modseqs, columns.sizes)),
        *(tuple(column[:count]) for column in (columns.dates, columns.commits, columns.offsets, columns.checks)),
        tuple(_larges(state, folder)),
        (folder.vanished.since, tuple(folder.vanished.entries)),
    )
