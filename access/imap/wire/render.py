"""Values as IMAP writes them: strings, flag lists, dates (RFC 9051 section 9).

Called by the responses and the view.  Nothing here sends; nothing that a client or a message said
can end a line or a quoted string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import gmtime

_ATOM = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+\Z")
_QUOTABLE = re.compile(rb"[\x20-\x7e]*\Z")
_QUOTABLE_UTF8 = re.compile(rb"[\x20-\x7e\x80-\xff]*\Z")
_ESCAPED = re.compile(rb'(["\\])')

MAX_QUOTED = 1000
"""Longer strings go as literals: clients' line buffers are small."""

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

NIL = b"NIL"


def literal_head(size: int, *, binary: bool = False) -> bytes:
    """What stands before `size` bytes of a literal; `binary` for bytes that may hold NUL (RFC 3516 section 4)."""
    return b"~{%d}\r\n" % size if binary else b"{%d}\r\n" % size


def literal(value: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(value), value)


def quoted(value: bytes) -> bytes:
    """`value` in quotes; the caller knows that it holds no CR, LF or NUL."""
    return b'"%b"' % _ESCAPED.sub(rb"\\\1", value)


def string(value: bytes, *, utf8: bool = False) -> bytes:
    """A quoted string where the grammar allows one, else a literal (a literal8 if there is a NUL in it)."""
    allowed = _QUOTABLE_UTF8 if utf8 else _QUOTABLE
    # RFC 9051 section 9, quoted: once enabled, UTF-8 may be quoted, other 8-bit bytes never
    if len(value) <= MAX_QUOTED and allowed.match(value) and (value.isascii() or _is_utf8(value)):
        return quoted(value)
    if b"\0" in value:
        return b"~" + literal(value)
    return literal(value)


def nstring(value: bytes | None, *, utf8: bool = False) -> bytes:
    return NIL if value is None else string(value, utf8=utf8)


def astring(value: bytes, *, utf8: bool = False) -> bytes:
    """An atom where the grammar allows one, else a string.  NIL is quoted, so that it is not taken for nothing."""
    if _ATOM.match(value) and value.upper() != NIL:
        return value
    return string(value, utf8=utf8)


def paren(items: Iterable[bytes]) -> bytes:
    return b"(%b)" % b" ".join(items)


def flag_list(flags: Iterable[str]) -> bytes:
    return f"({' '.join(flags)})".encode()


def internal_date(at: int) -> bytes:
    """Seconds since 1970 as `"17-Jul-1996 02:44:25 +0000"`, quotes included; day in two places (date-day-fixed)."""
    year, month, day, hour, minute, second, *_ = gmtime(at)
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % (day, MONTHS[month - 1], year, hour, minute, second)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
