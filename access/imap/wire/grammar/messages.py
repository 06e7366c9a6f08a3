"""The arguments of commands on messages that are not FETCH or SEARCH: STORE, COPY, MOVE, UID EXPUNGE."""

from __future__ import annotations

import re
from typing import Literal

from access.imap.wire.commands import Copy, Expunge, Move, Store
from access.imap.wire.grammar import flags
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.refused import Refused

_HOW = re.compile(rb"([+-]?)FLAGS(\.SILENT)?(?= )", re.IGNORECASE)
_VERBS: dict[bytes, Literal["replace", "add", "remove"]] = {b"": "replace", b"+": "add", b"-": "remove"}


def read_store(cursor: Cursor, *, uid: bool) -> Store:
    messages = cursor.set()
    unchanged_since = None
    if cursor.try_(b" ("):
        if cursor.word() != b"UNCHANGEDSINCE":
            raise Refused("That modifier is not known")
        cursor.space()
        unchanged_since = cursor.number64()  # RFC 7162 section 3.1.3: 0 is allowed
        cursor.take(b")")
    cursor.space()
    found = cursor.match(_HOW, "FLAGS, +FLAGS or -FLAGS")
    cursor.space()
    listed = cursor.text.startswith(b"(", cursor.pos)
    named = flags.flag_list(cursor) if listed else flags.bare_flags(cursor)
    return Store(messages, _VERBS[found[1]], named, uid, found[2] is not None, unchanged_since)


def read_copy(cursor: Cursor, *, uid: bool) -> Copy:
    messages = cursor.set()
    cursor.space()
    return Copy(messages, cursor.mailbox(), uid)


def read_move(cursor: Cursor, *, uid: bool) -> Move:
    messages = cursor.set()
    cursor.space()
    return Move(messages, cursor.mailbox(), uid)


def read_uid_expunge(cursor: Cursor) -> Expunge:
    return Expunge(cursor.set())
