"""The arguments of APPEND (RFC 9051 section 6.3.12, RFC 3502, RFC 3516, RFC 6855)."""

from __future__ import annotations

from access.imap.wire.commands import Append, AppendMessage
from access.imap.wire.grammar import flags
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.refused import Refused


def read(cursor: Cursor) -> Append:
    mailbox = cursor.mailbox()
    messages: list[AppendMessage] = []
    while True:
        cursor.space()
        messages.append(_message(cursor))
        # RFC 3502 section 6.3.11: another message may follow after a space
        if cursor.at_end() or not cursor.text[cursor.pos :].strip(b" "):
            return Append(mailbox, tuple(messages))


def _message(cursor: Cursor) -> AppendMessage:
    named: tuple[str, ...] = ()
    at = None
    if cursor.text.startswith(b"(", cursor.pos):
        named = flags.flag_list(cursor)
        cursor.space()
    if cursor.text.startswith(b'"', cursor.pos):
        at = flags.date_time(cursor)
        cursor.space()
    # RFC 6855 section 4: UTF8 (~{n}…), for clients that enabled UTF8=ACCEPT
    wrapped = cursor.text[cursor.pos : cursor.pos + 6].upper() == b"UTF8 ("
    if wrapped:
        if not cursor.utf8:
            raise Refused("UTF8=ACCEPT is not enabled")
        cursor.pos += 6
    data, binary = cursor.literal()
    if wrapped:
        cursor.take(b")")
    return AppendMessage(data, named, at, binary)
