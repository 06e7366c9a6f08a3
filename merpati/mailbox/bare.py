"""The mailbox as who only appends to it sees it: folders with their UIDNEXT and sums, and no message of them.

For the delivery worker, which puts mail into thousands of accounts that it will never read.  A snapshot is opened
without the chunks of its messages; commits are folded as ever, for what a change does to a folder's sums stands in it.
`account` appends by such a state until somebody looks at the mailbox.  Never written down, never shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from merpati.log.api import Chunks, Commit
from merpati.mailbox.changes import Change, Ranges
from merpati.mailbox.columns import Columns, NewRow, no_messages
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.heads import FolderHead
from merpati.mailbox.loading import Loader
from merpati.mailbox.runs import Shelf
from merpati.mailbox.state import MailState
from merpati.mailbox.vanished import Vanished


class Unseen(Columns, frozen=True):
    """Messages that are there and not known: whatever is done to them, that is all there is to say."""

    def with_rows(self, rows: Sequence[NewRow]) -> Columns:
        return self

    def with_flags(self, uids: Ranges, add: int, remove: int, modseq: int) -> Columns:
        return self

    def without(self, uids: Ranges) -> Columns:
        return self

    def row(self, uid: int) -> int:
        """A commit that names a message is believed: whoever decided it saw the message."""
        return 0


def _unseen() -> Unseen:
    nothing = no_messages()
    return Unseen(
        0,
        nothing.uids,
        nothing.flags,
        nothing.modseqs,
        nothing.sizes,
        nothing.dates,
        nothing.commits,
        nothing.offsets,
        nothing.checks,
        [b""],
    )


UNSEEN = _unseen()


class BareFold(MailboxFold):
    """`MailboxFold` without messages."""

    def __init__(self) -> None:
        super().__init__(Shelf(0))

    def apply(self, state: MailState, commit: Commit[Change]) -> MailState:
        return _bare(super().apply(state, commit))

    async def load(self, head: bytes, chunks: Chunks) -> MailState:
        return await _BareLoader(chunks, Shelf(0)).load(head)

    async def load_around(self, head: bytes, chunks: Chunks) -> MailState:
        return await _BareLoader(chunks, Shelf(0), around=True).load(head)

    async def dump(self, state: MailState, chunks: Chunks) -> bytes:
        raise AssertionError("a state without its messages is not written down")


def _bare(state: MailState) -> MailState:
    """Without the messages of folders that were made since."""
    if all(folder.columns is UNSEEN for folder in state.folders.values()):
        return state
    return replace(state, folders={key: replace(folder, columns=UNSEEN) for key, folder in state.folders.items()})


class _BareLoader(Loader):
    async def _messages(self, head: FolderHead) -> tuple[Columns, Vanished]:
        return UNSEEN, Vanished(since=head.modseq)
