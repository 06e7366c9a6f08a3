"""One folder at one commit: what LIST and STATUS need, and its messages.  A value; `state` makes new ones of it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from merpati.mailbox.changes import Expunged, Flagged
from merpati.mailbox.columns import Columns, NewRow, no_messages
from merpati.mailbox.types import ModSeq, Uid, UidValidity
from merpati.mailbox.values import DELETED, SEEN, FolderId, FolderInfo
from merpati.mailbox.vanished import Vanished


class Folder(msgspec.Struct, frozen=True):
    """A folder.  The sums are kept beside the columns, so that they are known without them."""

    id: FolderId
    name: str
    uidvalidity: int
    modseq: int
    """The commit that last changed it: HIGHESTMODSEQ."""
    uidnext: int = 1
    special_use: str = ""
    keywords: tuple[str, ...] = ()
    exists: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0
    deleted_size: int = 0
    columns: Columns = msgspec.field(default_factory=no_messages)
    vanished: Vanished = msgspec.field(default_factory=Vanished)

    def with_rows(self, rows: list[NewRow], modseq: int) -> Folder:
        """Messages added by the commit `modseq`."""
        deleted = [row.size for row in rows if row.flags & DELETED]
        return replace(
            self,
            modseq=modseq,
            uidnext=rows[-1].uid + 1,
            exists=self.exists + len(rows),
            unseen=self.unseen + sum(not row.flags & SEEN for row in rows),
            deleted=self.deleted + len(deleted),
            size=self.size + sum(row.size for row in rows),
            deleted_size=self.deleted_size + sum(deleted),
            columns=self.columns.with_rows(rows),
        )

    def with_flags(self, change: Flagged, modseq: int) -> Folder:
        """Flags changed."""
        return replace(
            self,
            modseq=modseq,
            unseen=self.unseen + change.unseen,
            deleted=self.deleted + change.deleted,
            deleted_size=self.deleted_size + change.deleted_size,
            columns=self.columns.with_flags(change.uids, change.add, change.remove, modseq),
        )

    def without(self, change: Expunged, modseq: int) -> Folder:
        """Messages gone, and remembered as gone."""
        return replace(
            self,
            modseq=modseq,
            exists=self.exists - change.count,
            unseen=self.unseen - change.unseen,
            deleted=self.deleted - change.deleted,
            size=self.size - change.size,
            deleted_size=self.deleted_size - change.deleted_size,
            columns=self.columns.without(change.uids),
            vanished=self.vanished.with_ranges(change.uids, modseq),
        )

    def info(self, *, subscribed: bool) -> FolderInfo:
        """What a client may know without its messages."""
        return FolderInfo(
            id=self.id,
            name=self.name,
            uidvalidity=UidValidity(self.uidvalidity),
            uidnext=Uid(self.uidnext),
            highestmodseq=ModSeq(self.modseq),
            exists=self.exists,
            unseen=self.unseen,
            deleted=self.deleted,
            size=self.size,
            deleted_size=self.deleted_size,
            subscribed=subscribed,
            special_use=self.special_use,
        )
