"""The arguments of FETCH (RFC 9051 section 6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970)."""

from __future__ import annotations

import re

from access.imap.wire import fetch
from access.imap.wire.commands import Fetch
from access.imap.wire.fetch import Att, Binary, BinarySize, Item, Part, Partial, Section
from access.imap.wire.grammar.cursor import MAX_32, Cursor
from access.imap.wire.refused import Refused

_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]*(?:\.[1-9][0-9]*)*")
_WHAT = re.compile(rb"(?i:HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[\] ])")
_PARTIAL = re.compile(rb"<([0-9]{1,19})\.([0-9]{1,19})>")

_ATTS: dict[bytes, Att] = {att.value: att for att in Att if att is not Att.PREVIEW_LAZY}
_MACROS = {b"ALL": fetch.ALL, b"FAST": fetch.FAST, b"FULL": fetch.FULL}


def read(cursor: Cursor, *, uid: bool) -> Fetch:
    messages = cursor.set()
    cursor.space()
    items = _items(cursor)
    changed_since, vanished = None, False
    if cursor.try_(b" ("):
        changed_since, vanished = _modifiers(cursor)
        if vanished and (not uid or changed_since is None):
            # RFC 7162 section 3.2.6
            raise Refused("VANISHED goes with UID FETCH and CHANGEDSINCE only")
    cursor.end()
    return Fetch(messages, items, uid, changed_since, vanished)


def _items(cursor: Cursor) -> tuple[Item, ...]:
    if not cursor.try_(b"("):
        name = cursor.match(_NAME, "an item")[0].upper()
        macro = _MACROS.get(name)
        return macro if macro is not None else (_item(cursor, name),)
    items: dict[Item, None] = {}
    while True:
        # what is asked for twice is answered once: BODY[]×1000 must not multiply the answer
        items[_item(cursor, cursor.match(_NAME, "an item")[0].upper())] = None
        if len(items) > cursor.limits.max_fetch_items:
            raise Refused("Too many items", code=b"LIMIT")
        if cursor.try_(b")"):
            return tuple(items)
        cursor.space()


def _item(cursor: Cursor, name: bytes) -> Item:
    if cursor.text.startswith(b"[", cursor.pos):
        return _bracketed(cursor, name)
    att = _ATTS.get(name)
    if att is None:
        raise Refused("That item is not known")
    if att is Att.PREVIEW and cursor.text[cursor.pos : cursor.pos + 7].upper() == b" (LAZY)":
        cursor.pos += 7
        return Att.PREVIEW_LAZY
    return att


def _bracketed(cursor: Cursor, name: bytes) -> Item:
    cursor.take(b"[")
    if name in (b"BODY", b"BODY.PEEK"):
        part, what, fields = _section(cursor)
        return Section(part, what, fields, _partial(cursor), name == b"BODY.PEEK")
    if name not in (b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE"):
        raise Refused("That item takes no section")
    part = _part(cursor)
    cursor.take(b"]")
    if name == b"BINARY.SIZE":
        return BinarySize(part)
    return Binary(part, _partial(cursor), name == b"BINARY.PEEK")


def _section(cursor: Cursor) -> tuple[Part, str, tuple[str, ...]]:
    part = _part(cursor)
    what = ""
    fields: tuple[str, ...] = ()
    if not part or cursor.try_(b"."):
        if part or not cursor.text.startswith(b"]", cursor.pos):
            what = cursor.match(_WHAT, "a section")[0].upper().decode()
        if what == "MIME" and not part:
            raise Refused("MIME needs a part")  # RFC 9051 section 9, section-text
    if what.startswith("HEADER.FIELDS"):
        fields = _fields(cursor)
    cursor.take(b"]")
    return part, what, fields


def _part(cursor: Cursor) -> Part:
    found = _PART.match(cursor.text, cursor.pos)
    if found is None:
        return ()
    cursor.pos = found.end()
    numbers = found[0].split(b".", cursor.limits.max_part_depth)
    if len(numbers) > cursor.limits.max_part_depth or max(map(len, numbers)) > 10:
        raise Refused("That part is nested too deeply", code=b"LIMIT")
    part = tuple(map(int, numbers))
    if max(part) > MAX_32:
        raise Refused("That number is out of range")
    return part


def _fields(cursor: Cursor) -> tuple[str, ...]:
    cursor.take(b" (")
    fields: list[str] = []
    while True:
        # RFC 9051 section 9, header-fld-name: an astring; what RFC 5322 calls a name is ASCII
        name = cursor.astring()
        if not name.isascii():
            raise Refused("A header field's name is ASCII")
        fields.append(name.decode())
        cursor.count(fields)
        if cursor.try_(b")"):
            return tuple(fields)
        cursor.space()


def _partial(cursor: Cursor) -> Partial | None:
    if not cursor.text.startswith(b"<", cursor.pos):
        return None
    found = cursor.match(_PARTIAL, "a partial like <0.1024>")
    first, count = int(found[1]), int(found[2])
    if not count:
        raise Refused("A partial has at least one byte")  # RFC 9051 section 9, partial: nz-number64
    return first, count


def _modifiers(cursor: Cursor) -> tuple[int | None, bool]:
    changed_since, vanished = None, False
    while True:
        name = cursor.word()
        if name == b"CHANGEDSINCE" and changed_since is None:
            cursor.space()
            # RFC 7162 section 7: at least 1; clients that have seen nothing yet send 0
            changed_since = cursor.number64()
        elif name == b"VANISHED" and not vanished:
            vanished = True
        else:
            raise Refused("That modifier is not known")
        if cursor.try_(b")"):
            return changed_since, vanished
        cursor.space()
