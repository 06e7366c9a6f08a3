"""The arguments of commands about the session: ID, LOGIN, AUTHENTICATE, ENABLE, COMPRESS; and lines of SASL."""

from __future__ import annotations

from binascii import Error, a2b_base64

from access.imap.wire.commands import Authenticate, Compress, Enable, Id, Login
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.refused import Refused

MAX_ID_FIELDS = 30
MAX_ID_NAME = 30
MAX_ID_VALUE = 1024
"""RFC 2971 section 3.3."""


def read_id(cursor: Cursor) -> Id:
    if not cursor.try_(b"("):
        if cursor.word() != b"NIL":
            cursor.fail("NIL or a list")
        return Id(None)
    fields: list[tuple[str, str | None]] = []
    while not cursor.try_(b")"):
        if fields:
            cursor.space()
        name = cursor.utf8_text(cursor.string(), "The field's name")
        cursor.space()
        raw = cursor.nstring()
        value = None if raw is None else cursor.utf8_text(raw, "The field's value")
        if len(fields) == MAX_ID_FIELDS or len(name) > MAX_ID_NAME or len(value or "") > MAX_ID_VALUE:
            raise Refused("Too much identification")
        fields.append((name, value))
    return Id(tuple(fields))


def read_login(cursor: Cursor) -> Login:
    user = cursor.utf8_text(cursor.astring(), "The user name")
    cursor.space()
    return Login(user, cursor.utf8_text(cursor.astring(), "The password"))


def read_authenticate(cursor: Cursor) -> Authenticate:
    mechanism = cursor.word().decode()
    if not cursor.try_(b" "):
        return Authenticate(mechanism)
    text = cursor.text[cursor.pos :].rstrip(b" ")
    cursor.pos = len(cursor.text)
    # RFC 4959 section 3: `=` is an initial response of no bytes
    return Authenticate(mechanism, b"" if text == b"=" else base64_of(text))


def read_enable(cursor: Cursor) -> Enable:
    names = [cursor.word().decode()]
    while cursor.try_(b" "):
        names.append(cursor.word().decode())
        cursor.count(names)
    return Enable(tuple(names))


def read_compress(cursor: Cursor) -> Compress:
    return Compress(cursor.word().decode())


def sasl_response(text: bytes) -> bytes | None:
    """What the client's line of a SASL exchange says; None if it gives up with `*` (RFC 9051 section 6.2.2).

    Raises `Refused`.
    """
    return None if text == b"*" else base64_of(text)


def base64_of(text: bytes) -> bytes:
    """RFC 4648 section 3.3: anything outside the alphabet is refused."""
    try:
        return a2b_base64(text, strict_mode=True) if text else b""
    except Error:
        raise Refused("Not base64") from None
