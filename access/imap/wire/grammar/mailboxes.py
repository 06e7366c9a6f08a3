"""The arguments of commands that name a mailbox: SELECT, CREATE, RENAME, STATUS, quotas, metadata; not LIST."""

from __future__ import annotations

from typing import Literal

from access.imap.wire.commands import (
    Create,
    GetMetadata,
    GetQuota,
    GetQuotaRoot,
    QResync,
    Rename,
    Select,
    SetMetadata,
    SetQuota,
    Status,
)
from access.imap.wire.grammar.cursor import MAX_32, MAX_63, Cursor
from access.imap.wire.refused import Refused

STATUS_ITEMS = frozenset(
    {
        *("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE"),  # RFC 9051 section 6.3.11
        "HIGHESTMODSEQ",  # RFC 7162 section 3.1.7
        "APPENDLIMIT",  # RFC 7889 section 2
        "MAILBOXID",  # RFC 8474 section 4.3
        "DELETED-STORAGE",  # RFC 9208 section 4.1.4
    }
)


def read_select(cursor: Cursor, *, read_only: bool = False) -> Select:
    mailbox = cursor.mailbox()
    condstore, qresync = False, None
    if cursor.try_(b" ("):
        while True:
            name = cursor.word()
            if name == b"CONDSTORE":
                condstore = True
            elif name == b"QRESYNC" and qresync is None:
                cursor.space()
                qresync = _qresync(cursor)
            else:
                raise Refused("That parameter is not known")
            if cursor.try_(b")"):
                break
            cursor.space()
    return Select(mailbox, read_only, condstore, qresync)


def _qresync(cursor: Cursor) -> QResync:
    # RFC 7162 section 7: (uidvalidity modseq [known-uids] [(sequence numbers UIDs)])
    cursor.take(b"(")
    uidvalidity = cursor.number(least=1)
    cursor.space()
    modseq = cursor.number64(least=1)
    uids, matches = None, None
    if cursor.text.startswith(b" ", cursor.pos) and not cursor.text.startswith(b" (", cursor.pos):
        cursor.space()
        uids = cursor.set()
    if cursor.try_(b" ("):
        numbers = cursor.set()
        cursor.space()
        matches = (numbers, cursor.set())
        cursor.take(b")")
    cursor.take(b")")
    return QResync(uidvalidity, modseq, uids, matches)


def read_create(cursor: Cursor) -> Create:
    mailbox = cursor.mailbox()
    use: list[str] = []
    if cursor.try_(b" ("):
        if cursor.word() != b"USE":
            raise Refused("That parameter is not known")
        cursor.take(b" (")
        while not cursor.try_(b")"):
            if use:
                cursor.space()
            cursor.take(b"\\")
            use.append("\\" + cursor.atom())
            cursor.count(use)
        cursor.take(b")")
    return Create(mailbox, tuple(use))


def read_rename(cursor: Cursor) -> Rename:
    source = cursor.mailbox()
    cursor.space()
    target = cursor.mailbox()
    if cursor.try_(b" ("):
        raise Refused("That parameter is not known")  # RFC 4466 section 2.3: none is defined
    return Rename(source, target)


def read_status(cursor: Cursor) -> Status:
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, status_items(cursor))


def status_items(cursor: Cursor) -> tuple[str, ...]:
    """`(MESSAGES UNSEEN)`, each once."""
    cursor.take(b"(")
    items: dict[str, None] = {}
    while not cursor.try_(b")"):
        if items:
            cursor.space()
        item = cursor.word().decode()
        if item not in STATUS_ITEMS:
            raise Refused("That status item is not known")
        items[item] = None
    return tuple(items)


def read_get_quota(cursor: Cursor) -> GetQuota:
    return GetQuota(cursor.utf8_text(cursor.astring(), "The quota root"))


def read_get_quota_root(cursor: Cursor) -> GetQuotaRoot:
    return GetQuotaRoot(cursor.mailbox())


def read_set_quota(cursor: Cursor) -> SetQuota:
    root = cursor.utf8_text(cursor.astring(), "The quota root")
    cursor.take(b" (")
    limits: dict[str, int] = {}
    while not cursor.try_(b")"):
        if limits:
            cursor.space()
        resource = cursor.word().decode()
        cursor.space()
        limits[resource] = cursor.number(MAX_63)
    return SetQuota(root, tuple(limits.items()))


def read_get_metadata(cursor: Cursor) -> GetMetadata:
    max_size: int | None = None
    depth: Literal[0, 1] | None = 0
    if cursor.try_(b"("):
        # RFC 5464 section 5: options stand before the mailbox
        while True:
            option = cursor.word()
            cursor.space()
            if option == b"MAXSIZE":
                max_size = cursor.number(MAX_32)
            elif option == b"DEPTH":
                depth = _depth(cursor)
            else:
                raise Refused("That option is not known")
            if cursor.try_(b")"):
                break
            cursor.space()
        cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    if not cursor.try_(b"("):
        return GetMetadata(mailbox, (_entry(cursor),), max_size, depth)
    entries: list[str] = []
    while not entries or not cursor.try_(b")"):
        if entries:
            cursor.space()
        entries.append(_entry(cursor))
        cursor.count(entries)
    return GetMetadata(mailbox, tuple(entries), max_size, depth)


def read_set_metadata(cursor: Cursor) -> SetMetadata:
    mailbox = cursor.mailbox()
    cursor.take(b" (")
    entries: dict[str, bytes | None] = {}
    while not entries or not cursor.try_(b")"):
        if entries:
            cursor.space()
        name = _entry(cursor)
        cursor.space()
        entries[name] = cursor.nstring()
        cursor.count(list(entries))
    return SetMetadata(mailbox, tuple(entries.items()))


def _depth(cursor: Cursor) -> Literal[0, 1] | None:
    word = cursor.word()
    if word == b"INFINITY":
        return None
    if word not in (b"0", b"1"):
        raise Refused("DEPTH is 0, 1 or infinity")
    return 0 if word == b"0" else 1


def _entry(cursor: Cursor) -> str:
    """RFC 5464 section 3.2: slash-separated, in any case, no wildcards, no empty component."""
    name = cursor.utf8_text(cursor.astring(), "The entry's name").lower()
    bad = not name.isascii() or not name.isprintable() or "*" in name or "%" in name or "//" in name
    if bad or not name.startswith(("/private/", "/shared/")) or name.endswith("/"):
        raise Refused("That is no name of an entry")
    return name
