"""The table of commands, and `parse`, which looks one up in it and has its arguments read.  The reader calls it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from access.imap.wire import commands
from access.imap.wire.commands import Verb
from access.imap.wire.events import Bad, Command
from access.imap.wire.grammar import appending, fetching, listing, mailboxes, messages, searching, session
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.limits import Limits
from access.imap.wire.refused import Refused

# RFC 9051 section 9, tag: ASTRING-CHAR but `+`.  A server's `*` or `+` cannot be a client's tag
HEAD = re.compile(rb"([^(){ %*\"\\+\x00-\x1f\x7f-\xff]+) (?i:(UID) )?([A-Za-z0-9.\-]+)(?= |\Z)")
_TAG = re.compile(rb"[^(){ %*\"\\+\x00-\x1f\x7f-\xff]+(?= |\Z)")

MAX_TAG = 255
UNTAGGED = b"*"

_Reader = Callable[[Cursor], Verb]


def _mailbox_only(make: Callable[[str], Verb]) -> _Reader:
    return lambda cursor: make(cursor.mailbox())


_BARE: dict[bytes, Verb] = {
    verb.word.encode(): verb
    for verb in (
        commands.Capability(),
        commands.Noop(),
        commands.Logout(),
        commands.StartTls(),
        commands.Unauthenticate(),
        commands.Namespace(),
        commands.Idle(),
        commands.Check(),
        commands.Close(),
        commands.Unselect(),
        commands.Expunge(),
    )
}

_WITH_ARGUMENTS: dict[bytes, _Reader] = {
    b"ID": session.read_id,
    b"LOGIN": session.read_login,
    b"AUTHENTICATE": session.read_authenticate,
    b"ENABLE": session.read_enable,
    b"COMPRESS": session.read_compress,
    b"SELECT": mailboxes.read_select,
    b"EXAMINE": partial(mailboxes.read_select, read_only=True),
    b"CREATE": mailboxes.read_create,
    b"DELETE": _mailbox_only(commands.Delete),
    b"RENAME": mailboxes.read_rename,
    b"SUBSCRIBE": _mailbox_only(commands.Subscribe),
    b"UNSUBSCRIBE": _mailbox_only(commands.Unsubscribe),
    b"LIST": listing.read,
    b"LSUB": listing.read_lsub,
    b"STATUS": mailboxes.read_status,
    b"APPEND": appending.read,
    b"GETQUOTA": mailboxes.read_get_quota,
    b"GETQUOTAROOT": mailboxes.read_get_quota_root,
    b"SETQUOTA": mailboxes.read_set_quota,
    b"GETMETADATA": mailboxes.read_get_metadata,
    b"SETMETADATA": mailboxes.read_set_metadata,
}

_ON_MESSAGES: dict[bytes, Callable[..., Verb]] = {
    b"FETCH": fetching.read,
    b"STORE": messages.read_store,
    b"COPY": messages.read_copy,
    b"MOVE": messages.read_move,
    b"SEARCH": searching.read_search,
    b"SORT": searching.read_sort,
    b"THREAD": searching.read_thread,
}
_WITH_ARGUMENTS |= {word: partial(read, uid=False) for word, read in _ON_MESSAGES.items()}

_WITH_UIDS: dict[bytes, _Reader] = {word: partial(read, uid=True) for word, read in _ON_MESSAGES.items()}
_WITH_UIDS[b"EXPUNGE"] = messages.read_uid_expunge


def parse(lines: list[bytes], literals: list[bytes], limits: Limits, *, utf8: bool) -> Command | Bad:
    """The command that `lines` with `literals` between them are (see `Cursor`)."""
    head = HEAD.match(lines[0])
    if head is None or len(head[1]) > MAX_TAG:
        return _headless(lines[0])
    tag, uid, name = head.groups()
    word = name.upper()
    cursor = Cursor(lines, literals, head.end(), limits, utf8=utf8)
    try:
        if uid is None and word in _BARE:
            verb = _BARE[word]
        else:
            read = (_WITH_ARGUMENTS if uid is None else _WITH_UIDS).get(word)
            if read is None:
                return Command(tag, commands.Unknown(("UID " if uid else "") + word.decode()))
            cursor.space()
            verb = read(cursor)
        cursor.end()
    except Refused as refused:
        return Bad(tag, refused.text, refused.status, refused.code)
    return Command(tag, verb)


def _headless(line: bytes) -> Bad:
    """What to say of a line without tag and command."""
    tag = _TAG.match(line)
    if tag is None or len(tag[0]) > MAX_TAG:
        return Bad(UNTAGGED, "No tag")
    return Bad(tag[0], "No command")
