"""What an IMAP client can ask for: one frozen value a command, its arguments parsed.

`grammar` makes them, the session looks up what to do by their type.  Mailbox names are decoded text, INBOX in capitals
(RFC 9051 section 5.1); flags are in the case of the RFC; UID forms carry `uid=True`.  Nothing here does a thing.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from access.imap.wire.fetch import Item
from access.imap.wire.search import Key
from access.imap.wire.sequence import SequenceSet


class Verb(Struct, frozen=True, gc=False):
    """A command without its tag.  `word` is its name as the client writes it."""

    word: ClassVar[str] = ""


class Unknown(Verb, frozen=True, gc=False):
    """A command that is not in the table; its arguments were read and dropped."""

    name: str = ""


# Any state (RFC 9051 section 6.1)


class Capability(Verb, frozen=True, gc=False):
    word = "CAPABILITY"


class Noop(Verb, frozen=True, gc=False):
    word = "NOOP"


class Logout(Verb, frozen=True, gc=False):
    word = "LOGOUT"


class Id(Verb, frozen=True, gc=False):
    """RFC 2971.  None for NIL."""

    word = "ID"
    fields: tuple[tuple[str, str | None], ...] | None = None


class Compress(Verb, frozen=True, gc=False):
    """RFC 4978."""

    word = "COMPRESS"
    algorithm: str = ""


# Before login (RFC 9051 section 6.2)


class StartTls(Verb, frozen=True, gc=False):
    word = "STARTTLS"


class Login(Verb, frozen=True, gc=False):
    word = "LOGIN"
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("user", self.user)]


class Authenticate(Verb, frozen=True, gc=False):
    """`initial` is the decoded initial response (RFC 4959), or None if the client waits to be asked."""

    word = "AUTHENTICATE"
    mechanism: str = ""
    initial: bytes | None = None

    def __repr__(self) -> str:
        return f"Authenticate(mechanism={self.mechanism!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("mechanism", self.mechanism)]


# After login (RFC 9051 section 6.3)


class Enable(Verb, frozen=True, gc=False):
    """RFC 5161.  In upper case; what is not known is to be ignored."""

    word = "ENABLE"
    capabilities: tuple[str, ...] = ()


class Unauthenticate(Verb, frozen=True, gc=False):
    """RFC 8437."""

    word = "UNAUTHENTICATE"


class QResync(Struct, frozen=True, gc=False):
    """What a client remembers of a folder (RFC 7162 section 3.2.5); `matches` are (sequence numbers, their UIDs)."""

    uidvalidity: int
    modseq: int
    uids: SequenceSet | None = None
    matches: tuple[SequenceSet, SequenceSet] | None = None


class Select(Verb, frozen=True, gc=False):
    """SELECT, or EXAMINE if `read_only`."""

    word = "SELECT"
    mailbox: str = ""
    read_only: bool = False
    condstore: bool = False
    qresync: QResync | None = None


class Create(Verb, frozen=True, gc=False):
    """`use` are special-use attributes such as `\\Sent` (RFC 6154 section 3)."""

    word = "CREATE"
    mailbox: str = ""
    use: tuple[str, ...] = ()


class Delete(Verb, frozen=True, gc=False):
    word = "DELETE"
    mailbox: str = ""


class Rename(Verb, frozen=True, gc=False):
    word = "RENAME"
    mailbox: str = ""
    target: str = ""


class Subscribe(Verb, frozen=True, gc=False):
    word = "SUBSCRIBE"
    mailbox: str = ""


class Unsubscribe(Verb, frozen=True, gc=False):
    word = "UNSUBSCRIBE"
    mailbox: str = ""


class List(Verb, frozen=True, gc=False):
    """LIST with the options of RFC 5258; `status` are the items of RETURN (STATUS (…)) (RFC 5819).

    `extended` says that the client used the extended form, so `""` as the only pattern is an ordinary pattern.
    """

    word = "LIST"
    reference: str = ""
    patterns: tuple[str, ...] = ()
    selection: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    extended: bool = False


class Lsub(Verb, frozen=True, gc=False):
    """RFC 3501 section 6.3.9."""

    word = "LSUB"
    reference: str = ""
    pattern: str = ""


class Namespace(Verb, frozen=True, gc=False):
    """RFC 2342."""

    word = "NAMESPACE"


class Status(Verb, frozen=True, gc=False):
    word = "STATUS"
    mailbox: str = ""
    items: tuple[str, ...] = ()


class AppendMessage(Struct, frozen=True, gc=False):
    """One message of an APPEND.  `at` is its date, seconds since 1970; `binary` if it was a literal8 (RFC 3516)."""

    data: bytes
    flags: tuple[str, ...] = ()
    at: int | None = None
    binary: bool = False


class Append(Verb, frozen=True, gc=False):
    """APPEND, of several messages with RFC 3502.  All are appended or none is."""

    word = "APPEND"
    mailbox: str = ""
    messages: tuple[AppendMessage, ...] = ()


class Idle(Verb, frozen=True, gc=False):
    """RFC 2177.  The session then calls `Reader.expect_line`, and DONE comes as a `Line`."""

    word = "IDLE"


class GetQuota(Verb, frozen=True, gc=False):
    """RFC 9208 section 4.1."""

    word = "GETQUOTA"
    root: str = ""


class GetQuotaRoot(Verb, frozen=True, gc=False):
    word = "GETQUOTAROOT"
    mailbox: str = ""


class SetQuota(Verb, frozen=True, gc=False):
    word = "SETQUOTA"
    root: str = ""
    limits: tuple[tuple[str, int], ...] = ()


class GetMetadata(Verb, frozen=True, gc=False):
    """RFC 5464 section 4.2.  `mailbox` is empty for the server's own; `depth` is 0, 1, or None for infinity."""

    word = "GETMETADATA"
    mailbox: str = ""
    entries: tuple[str, ...] = ()
    max_size: int | None = None
    depth: Literal[0, 1] | None = 0


class SetMetadata(Verb, frozen=True, gc=False):
    """RFC 5464 section 4.3.  A value of None removes the entry."""

    word = "SETMETADATA"
    mailbox: str = ""
    entries: tuple[tuple[str, bytes | None], ...] = ()


# With a mailbox selected (RFC 9051 section 6.4)


class Check(Verb, frozen=True, gc=False):
    """RFC 3501 section 6.4.1."""

    word = "CHECK"


class Close(Verb, frozen=True, gc=False):
    word = "CLOSE"


class Unselect(Verb, frozen=True, gc=False):
    """RFC 3691."""

    word = "UNSELECT"


class Expunge(Verb, frozen=True, gc=False):
    """EXPUNGE; with `uids`, UID EXPUNGE (RFC 4315 section 2.1)."""

    word = "EXPUNGE"
    uids: SequenceSet | None = None


class Search(Verb, frozen=True, gc=False):
    """`returns` is None without RETURN (the answer is then `* SEARCH`), else of MIN MAX ALL COUNT SAVE (RFC 4731)."""

    word = "SEARCH"
    key: Key
    uid: bool = False
    returns: tuple[str, ...] | None = None


class Sort(Verb, frozen=True, gc=False):
    """RFC 5256; `order` is (criterion, whether reversed); `returns` as of `Search` (RFC 5267)."""

    word = "SORT"
    key: Key
    order: tuple[tuple[str, bool], ...]
    uid: bool = False
    returns: tuple[str, ...] | None = None


class Thread(Verb, frozen=True, gc=False):
    """RFC 5256."""

    word = "THREAD"
    key: Key
    algorithm: str
    uid: bool = False


class Fetch(Verb, frozen=True, gc=False):
    """`changed_since` and `vanished`: RFC 7162 sections 3.1.4.1 and 3.2.6."""

    word = "FETCH"
    messages: SequenceSet
    items: tuple[Item, ...]
    uid: bool = False
    changed_since: int | None = None
    vanished: bool = False


class Store(Verb, frozen=True, gc=False):
    """`how` is what happens to `flags`; `unchanged_since`: RFC 7162 section 3.1.3."""

    word = "STORE"
    messages: SequenceSet
    how: Literal["replace", "add", "remove"]
    flags: tuple[str, ...]
    uid: bool = False
    silent: bool = False
    unchanged_since: int | None = None


class Copy(Verb, frozen=True, gc=False):
    word = "COPY"
    messages: SequenceSet
    mailbox: str
    uid: bool = False


class Move(Verb, frozen=True, gc=False):
    """RFC 6851."""

    word = "MOVE"
    messages: SequenceSet
    mailbox: str
    uid: bool = False
