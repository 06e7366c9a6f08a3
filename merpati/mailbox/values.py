"""The values that go in and out of a mailbox, its named limits, and the ways it refuses.  Nothing here does a thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from merpati.errors import Permanent, Temporary
from merpati.ids import Digest
from merpati.mailbox.types import ModSeq, Uid, UidValidity

if TYPE_CHECKING:
    from merpati.message.summary import Summary

FolderId = NewType("FolderId", int)
"""A folder, whatever it is called now; never used again.  The MAILBOXID of RFC 8474 is made of it."""

DELIMITER = "/"
SYSTEM_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")
"""Bits 0 to 4 of a message's flags (RFC 9051 section 2.3.2); keywords follow from bit 5, in each folder's own order."""
SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = (1 << bit for bit in range(5))
MAX_KEYWORDS = 58
"""Keywords a folder can hold: with the system flags, what fits the 63 bits of a flags column."""
MAX_INLINE = 256 * 1024
"""Bytes up to which a message rides inside its commit; a larger one is a blob."""


class NoSuchAccount(Permanent):
    """The account was removed and its log has ended: mail for it goes back, sessions end."""

    enhanced = "5.1.1"


class NoSuchFolder(Permanent):
    """There is no such folder: NO [NONEXISTENT], or [TRYCREATE] where a client may make it."""


class FolderExists(Permanent):
    """There is a folder of that name already: NO [ALREADYEXISTS]."""


class BadName(Permanent):
    """Not a name a folder can have: NO [CANNOT]."""


class Forbidden(Permanent):
    """Not to be done to this folder (deleting INBOX): NO [CANNOT]."""


class TooMany(Permanent):
    """A named limit is reached (folders, keywords, messages of one command): NO [LIMIT]."""


class OverQuota(Permanent):
    """The account is full: NO [OVERQUOTA], 552 5.2.2."""

    code = 552
    enhanced = "5.2.2"


class BodyMissing(Temporary):
    """The bytes of one message cannot be had; the rest of the account can.  Facts: `key`, `rule`."""


@dataclass(frozen=True, slots=True)
class Large:
    """A message whose bytes are in the store already: `prefix`, then the object `key` without the ranges `without`.

    `size` is of the whole object; ranges are [start, end), ascending, apart.
    """

    key: str
    digest: Digest
    size: int
    prefix: bytes = b""
    without: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Append:
    """One message to be put into one folder."""

    folder: str | FolderId
    content: bytes | Large
    flags: tuple[str, ...] = ()
    date: float | None = None
    """INTERNALDATE, seconds since 1970; None is now."""
    cause: str = ""
    """What brings it about, e.g. `message-id recipient`: an account takes each cause once.  Empty: always anew."""
    summary: Summary | None = None
    """`summarise(content)`, if the caller has it already; made here otherwise."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message is (RFC 4315 APPENDUID).  `duplicate`: its cause had been taken before, nothing was added.

    `uid` is where it was put then; it may have been moved or expunged since.
    """

    folder: FolderId
    uidvalidity: UidValidity
    uid: Uid
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What STORE did: the MODSEQ of what it changed, UIDs changed, UIDs left alone by UNCHANGEDSINCE, ascending.

    A message that had the flags already counts as neither (RFC 7162 section 3.1.3).
    """

    modseq: ModSeq
    changed: tuple[Uid, ...] = ()
    modified: tuple[Uid, ...] = ()


@dataclass(frozen=True, slots=True)
class Copied:
    """What COPY or MOVE did (RFC 4315 COPYUID): `source[i]` is `target[i]` now.  Messages gone meanwhile are absent."""

    folder: FolderId
    uidvalidity: UidValidity
    source: tuple[Uid, ...] = ()
    target: tuple[Uid, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderInfo:
    """What is known of a folder without its messages: LIST and STATUS are answered from it."""

    id: FolderId
    name: str
    """The whole name, Unicode, `/` between levels; `INBOX` is always upper case."""
    uidvalidity: UidValidity
    uidnext: Uid
    highestmodseq: ModSeq
    exists: int
    unseen: int
    deleted: int
    """Messages with \\Deleted."""
    size: int
    """Bytes of all its messages."""
    deleted_size: int
    """Bytes of its messages with \\Deleted (RFC 9208 DELETED-STORAGE)."""
    subscribed: bool
    special_use: str = ""
    """`\\Drafts`, `\\Sent` … (RFC 6154), or empty."""

    @property
    def mailbox_id(self) -> str:
        """MAILBOXID (RFC 8474 section 4), unique in the account, never used again."""
        return f"F{self.id:x}"


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """What a client can lengthen, and what a process may remember."""

    max_folders: int = 2000
    max_metadata: int = 1 << 20
    """Bytes of annotations of an account."""
    max_name: int = 1000
    """Bytes of a folder's whole name in UTF-8; a level has at most 255."""
    max_depth: int = 50
    memory: int = 256 << 20
    """Bytes of state a process remembers before it lets go of accounts that nobody uses."""
    push: int = 64 * 1024
    """Bytes up to which a commit goes along with its `Changed`."""
    causes: float = 14 * 86_400.0
    """Seconds for which the cause of a delivery is remembered: beyond what `mail.local` keeps."""
