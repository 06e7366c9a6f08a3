"""The mailbox's `Fold`: how its log becomes a state.  Changes stand in `changes`, what they do in `state`.

Its snapshots are made by `dumping` and read by `loading`.
"""

from __future__ import annotations

from collections.abc import Sequence

from merpati.log.api import Chunks, Commit
from merpati.mailbox import changes
from merpati.mailbox.changes import Change
from merpati.mailbox.checking import differences
from merpati.mailbox.dumping import Dumper
from merpati.mailbox.loading import Loader
from merpati.mailbox.runs import Shelf
from merpati.mailbox.state import MailState, applied


class MailboxFold:
    """`merpati.log.api.Fold` of mailboxes, and `Parted`."""

    name = "mailbox"

    def __init__(self, shelf: Shelf | None = None) -> None:
        """`shelf` remembers summaries for all folds of a process."""
        self._shelf = shelf or Shelf()

    def empty(self) -> MailState:
        return MailState()

    def apply(self, state: MailState, commit: Commit[Change]) -> MailState:
        return applied(state, commit)

    def encode(self, made: Sequence[Change]) -> bytes:
        return changes.encode(made)

    def decode(self, data: bytes) -> Sequence[Change]:
        return changes.decode(data)

    async def dump(self, state: MailState, chunks: Chunks) -> bytes:
        return await Dumper(chunks, self._shelf).dump(state)

    async def load_around(self, head: bytes, chunks: Chunks) -> MailState:
        return await Loader(chunks, self._shelf, around=True).load(head)

    def check_whole(self, state: MailState) -> None:
        state.check_whole()

    def differences(self, one: MailState, other: MailState) -> list[str]:
        return differences(one, other)

    async def load(self, head: bytes, chunks: Chunks) -> MailState:
        return await Loader(chunks, self._shelf).load(head)
