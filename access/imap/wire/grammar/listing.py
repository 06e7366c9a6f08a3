"""The arguments of LIST and LSUB (RFC 9051 section 6.3.9, RFC 5258, RFC 5819, RFC 6154)."""

from __future__ import annotations

from access.imap.wire.commands import List, Lsub
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.grammar.mailboxes import status_items
from access.imap.wire.refused import Refused

SELECTION = ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE")
RETURNS = ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS")

_NEEDS_ANOTHER = {"RECURSIVEMATCH", "REMOTE"}


def read(cursor: Cursor) -> List:
    extended = cursor.try_(b"(")
    selection = _selection(cursor) if extended else ()
    reference = cursor.mailbox_name(cursor.astring())
    cursor.space()
    patterns = [""]
    if cursor.try_(b"("):
        extended = True
        patterns = _patterns(cursor)
    else:
        patterns = [cursor.pattern()]
    returns: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    if cursor.text[cursor.pos : cursor.pos + 9].upper() == b" RETURN (":
        cursor.pos += 9
        extended = True
        returns, status = _returns(cursor)
    return List(reference, tuple(patterns), selection, returns, status, extended)


def read_lsub(cursor: Cursor) -> Lsub:
    reference = cursor.mailbox_name(cursor.astring())
    cursor.space()
    return Lsub(reference, cursor.pattern())


def _selection(cursor: Cursor) -> tuple[str, ...]:
    options: dict[str, None] = {}
    while not cursor.try_(b")"):
        if options:
            cursor.space()
        option = cursor.word().decode()
        if option not in SELECTION:
            raise Refused("That selection option is not known")
        options[option] = None
    cursor.space()
    if "RECURSIVEMATCH" in options and options.keys() <= _NEEDS_ANOTHER:
        # RFC 9051 section 6.3.9.1: RECURSIVEMATCH is nothing by itself, nor with REMOTE alone
        raise Refused("RECURSIVEMATCH needs another selection option")
    return tuple(options)


def _patterns(cursor: Cursor) -> list[str]:
    patterns: list[str] = []
    while not patterns or not cursor.try_(b")"):
        if patterns:
            cursor.space()
        patterns.append(cursor.pattern())
        cursor.count(patterns)
    return patterns


def _returns(cursor: Cursor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    options: dict[str, None] = {}
    status: tuple[str, ...] = ()
    while not cursor.try_(b")"):
        if options:
            cursor.space()
        option = cursor.word().decode()
        if option not in RETURNS:
            raise Refused("That return option is not known")
        if option == "STATUS":
            cursor.space()
            status = status_items(cursor)
        options[option] = None
    return tuple(options), status
