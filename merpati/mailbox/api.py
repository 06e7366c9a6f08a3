"""What the doors and the delivery worker ask of a mailbox: the protocols of view and account, and their values.

`Mailboxes` (in `mailboxes`) is built once per process; `open` gives the `Account` of an id, which is shared by all
sessions.  A `FolderView` never changes: a session keeps the one its client was told of and asks for a newer one when it
may tell more.  Flags are names such as `\\Seen` and `$Junk`; inside a view they are bits.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from merpati.events import Changed
from merpati.ids import AccountId
from merpati.mailbox.types import ModSeq, SeqNum, Uid, UidValidity
from merpati.mailbox.values import (
    ANSWERED,
    DELETED,
    DELIMITER,
    DRAFT,
    FLAGGED,
    MAX_INLINE,
    MAX_KEYWORDS,
    SEEN,
    SYSTEM_FLAGS,
    Append,
    Appended,
    BadName,
    BodyMissing,
    Copied,
    FolderExists,
    FolderId,
    FolderInfo,
    Forbidden,
    Large,
    MailboxLimits,
    NoSuchAccount,
    NoSuchFolder,
    OverQuota,
    Stored,
    TooMany,
)

if TYPE_CHECKING:
    from merpati.message.summary import Summary

__all__ = [
    "ANSWERED",
    "DELETED",
    "DELIMITER",
    "DRAFT",
    "FLAGGED",
    "MAX_INLINE",
    "MAX_KEYWORDS",
    "SEEN",
    "SYSTEM_FLAGS",
    "Account",
    "AccountView",
    "Append",
    "Appended",
    "BadName",
    "BodyMissing",
    "BodyRef",
    "Copied",
    "FolderExists",
    "FolderId",
    "FolderInfo",
    "FolderView",
    "Forbidden",
    "Large",
    "MailboxLimits",
    "Mailboxes",
    "ModSeq",
    "NoSuchAccount",
    "NoSuchFolder",
    "OverQuota",
    "Publisher",
    "SeqNum",
    "Stored",
    "TooMany",
    "Uid",
    "UidValidity",
]


class BodyRef(Protocol):
    """Where the bytes of a message are.  Holds through copies, moves and compaction."""

    @property
    def email_id(self) -> str:
        """EMAILID (RFC 8474 section 5.1): the same for every copy of the message, and for no other."""
        ...

    @property
    def size(self) -> int:
        """RFC822.SIZE in bytes."""
        ...


class FolderView(Protocol):
    """The messages of a folder at one commit.  Columns are arrays indexed by row: row = sequence number - 1.

    Read the arrays, never write them.  A view stays right however much later it is used.
    """

    info: FolderInfo
    number: int
    """The commit it was read at."""
    keywords: tuple[str, ...]
    """The folder's keywords: the flag of bit 5 + i is keywords[i].  Grows only."""

    @property
    def exists(self) -> int: ...
    @property
    def uids(self) -> array[int]:
        """Ascending."""
        ...

    @property
    def flags(self) -> array[int]:
        """Bits: SYSTEM_FLAGS, then `keywords`."""
        ...

    @property
    def modseqs(self) -> array[int]: ...
    @property
    def sizes(self) -> array[int]:
        """RFC822.SIZE, bytes."""
        ...

    @property
    def dates(self) -> array[int]:
        """INTERNALDATE, whole seconds since 1970."""
        ...

    def row(self, uid: int) -> int:
        """The row of a UID, or -1."""
        ...

    def rows(self, first: int, last: int) -> range:
        """The rows whose UIDs are from `first` to `last`."""
        ...

    def seq(self, uid: Uid) -> SeqNum | None:
        """The sequence number of a UID."""
        ...

    def flag_names(self, bits: int) -> tuple[str, ...]:
        """The names of some flag bits."""
        ...

    def flags_text(self, bits: int) -> bytes:
        """The names as IMAP writes them between the parentheses, `\\Seen $Junk`; remembered for each `bits`."""
        ...

    def flag_bits(self, names: Sequence[str]) -> int:
        """The bits of those names the folder knows (case does not matter); others give no bit."""
        ...

    def changed_since(self, modseq: int) -> list[int]:
        """Rows whose MODSEQ is greater, ascending."""
        ...

    def vanished_since(self, modseq: int) -> list[tuple[Uid, Uid]]:
        """UIDs expunged after `modseq`, as ranges [first, last], ascending (RFC 7162 section 3.2.6).

        For a `modseq` older than what is remembered, every UID below UIDNEXT that is not there, as the RFC allows.
        """
        ...

    def body(self, row: int) -> BodyRef:
        """Where the message's bytes are."""
        ...

    def email_id(self, row: int) -> str:
        """EMAILID (RFC 8474 section 5.1)."""
        ...

    async def summaries(self, rows: Sequence[int]) -> Sequence[Summary]:
        """What was rendered at append, for each of `rows`; may read chunks the first time.  Raises `Unavailable`."""
        ...

    async def envelopes(self, rows: Sequence[int]) -> Sequence[bytes]:
        """ENVELOPE as IMAP writes it, for each of `rows`: quicker than through `summaries`."""
        ...

    async def bodystructures(self, rows: Sequence[int]) -> Sequence[bytes]:
        """BODYSTRUCTURE as IMAP writes it, for each of `rows`."""
        ...


class AccountView(Protocol):
    """All folders of an account at one commit."""

    number: int
    subscriptions: frozenset[str]
    """Subscribed names; some may have no folder (RFC 9051 section 6.3.9)."""

    @property
    def folders(self) -> Mapping[str, FolderInfo]:
        """By name, in an order that puts INBOX first, then by name."""
        ...

    def find(self, name: str) -> FolderInfo | None:
        """A folder as a client may write its name: INBOX in any case, any form of Unicode, a slash at its end."""
        ...

    @property
    def messages(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of all messages: what a quota counts."""
        ...

    def metadata(self, folder: str) -> Mapping[str, bytes]:
        """Annotations of a folder, or of the account if `folder` is empty (RFC 5464)."""
        ...


class Account(Protocol):
    """One account's mailbox.  Verbs are durable on return; each is one commit, or shares one with its neighbours.

    All raise `Unavailable`, `Unknown`, `Contended` (try again), `Damaged`, `NewerFormat`; a verb that names a folder
    raises `NoSuchFolder`.  Folders are named by name or, so that a rename elsewhere does not matter, by id.
    """

    id: AccountId

    def view(self) -> AccountView:
        """The newest state this process knows; `refresh` or any verb must have been called once."""
        ...

    async def refresh(self) -> AccountView:
        """A strong read: at least as new as this call.  One GET when nothing has happened."""
        ...

    async def folder(self, which: str | FolderId, *, fresh: bool = False) -> FolderView:
        """A folder's messages: as this process knows them, or after a strong read if `fresh` (SELECT, POP3 login)."""
        ...

    async def wait_changed(self, after: int) -> int:
        """Return the newest commit's number once it is greater than `after` (a view's `number`).  For IDLE.

        Fed by this process's commits and by `Mailboxes.feed`; reads the log only when there may be more than is known.
        """
        ...

    def missed(self) -> bool:
        """There may be more than is known, and no push will tell: the next `wait_changed` looks.

        For who begins to idle.  True if someone waits already.
        """
        ...

    async def body(self, ref: BodyRef) -> bytes:
        """The message, byte for byte as appended.  Raises `BodyMissing`."""
        ...

    async def body_range(self, ref: BodyRef, start: int, end: int) -> bytes:
        """Bytes [start, end) of the message, fewer if it ends before."""
        ...

    def body_stream(self, ref: BodyRef, chunk: int = 1 << 18) -> AsyncIterator[bytes]:
        """The message in pieces of about `chunk` bytes, in bounded memory."""
        ...

    async def put_large(self, chunks: AsyncIterator[bytes]) -> Large:
        """Take a large message in, in bounded memory, before it is appended; one that never is, vacuum removes."""
        ...

    async def append(self, messages: Sequence[Append], *, create: bool = False, quota: int = 0) -> tuple[Appended, ...]:
        """All of the messages or none.  `create`: make folders that are missing; `quota`: bytes, 0 is none.

        Raises `NoSuchFolder`, `OverQuota`, `BadName`.
        """
        ...

    async def store(
        self,
        folder: str | FolderId,
        uids: Sequence[int],
        flags: Sequence[str],
        *,
        mode: Literal["set", "add", "remove"] = "add",
        unchanged_since: int | None = None,
    ) -> Stored:
        """Flags of messages: `mode` is `set`, `add` or `remove`.  UIDs that are not there are passed over.

        `unchanged_since`: leave alone what has a greater MODSEQ (RFC 7162 section 3.1.3).  Raises `TooMany` keywords.
        """
        ...

    async def expunge(
        self, folder: str | FolderId, uids: Sequence[int] | None = None, *, only_deleted: bool = True
    ) -> tuple[Uid, ...]:
        """Remove messages: those with \\Deleted, of `uids` or of all; or just `uids` if not `only_deleted` (POP3).

        Returns what it removed, ascending.
        """
        ...

    async def copy(
        self, source: str | FolderId, uids: Sequence[int], target: str | FolderId, *, quota: int = 0
    ) -> Copied:
        """Copies of messages, flags and dates kept, in one commit; no bytes of mail are copied."""
        ...

    async def move(self, source: str | FolderId, uids: Sequence[int], target: str | FolderId) -> Copied:
        """RFC 6851: as copy and expunge, but in one commit: nobody sees both or neither."""
        ...

    async def create(self, name: str, special_use: str = "") -> FolderId:
        """Make a folder and those above it.  Raises `FolderExists`, `BadName`, `TooMany`."""
        ...

    async def delete(self, name: str) -> None:
        """Remove a folder and its messages; folders below it stay.  INBOX cannot be: `Forbidden`."""
        ...

    async def rename(self, old: str, new: str) -> None:
        """A folder and those below it get a new name; of INBOX the messages go (RFC 9051 section 6.3.6)."""
        ...

    async def subscribe(self, name: str) -> None:
        """The folder need not exist."""
        ...

    async def unsubscribe(self, name: str) -> None: ...

    async def set_metadata(self, folder: str, entries: Mapping[str, bytes | None]) -> None:
        """Set annotations, or remove them with None; `folder` empty is the account (RFC 5464).  Raises `TooMany`."""
        ...


Publisher = Callable[[Sequence[tuple[Changed, bytes]]], Awaitable[None]]
"""Makes commits known to other processes: pairs of event and the commit object's bytes (empty if it is not small)."""


class Mailboxes(Protocol):
    """All mailboxes of one store, as one process sees them."""

    def account(self, account: AccountId) -> Account:
        """The account's mailbox; costs nothing.  An id that was never used is an empty mailbox."""
        ...

    async def open(self, account: AccountId) -> Account:
        """The same after a strong read."""
        ...

    def feed(self, event: Changed, data: bytes) -> None:
        """A record of `mailbox.changes`, whoever wrote it; ignored unless the account is open here."""
        ...

    def missed(self) -> None:
        """Records of `mailbox.changes` may have been missed: mailboxes that someone waits for are read, soon."""
        ...

    async def close(self) -> None:
        """Make known what is still to be made known, and let go of all accounts."""
        ...
