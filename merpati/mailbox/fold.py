"""The mailbox's `Fold`: how its log becomes a state.  Changes stand in `changes`, what they do in `state`."""

from __future__ import annotations

from collections.abc import Sequence

from merpati.log.api import Chunks, Commit
from merpati.mailbox import changes
from merpati.mailbox.changes import Change
from merpati.mailbox.state import MailState, applied


class MailboxFold:
    """`merpati.log.api.Fold` of mailboxes."""

    name = "mailbox"

    def empty(self) -> MailState:
        return MailState()

    def apply(self, state: MailState, commit: Commit[Change]) -> MailState:
        return applied(state, commit)

    def encode(self, made: Sequence[Change]) -> bytes:
        return changes.encode(made)

    def decode(self, data: bytes) -> Sequence[Change]:
        return changes.decode(data)

    async def dump(self, state: MailState, chunks: Chunks) -> bytes:
        raise NotImplementedError

    async def load(self, head: bytes, chunks: Chunks) -> MailState:
        raise NotImplementedError
