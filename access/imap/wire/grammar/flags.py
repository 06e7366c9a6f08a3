"""Flags (RFC 9051 section 2.3.2) and dates as commands write them."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import date

from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.refused import Refused
from access.imap.wire.render import MONTHS

SYSTEM_FLAGS = {flag.upper().encode(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")}

_FLAG = re.compile(rb"(\\?)[^(){ %*\"\\\]\x00-\x1f\x7f-\xff]+")
_SIMPLE_LIST = re.compile(rb"\(([^()\"{]*)\)")
_DAY = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-2][0-9]):([0-5][0-9]):([0-6][0-9]) ([+-])([0-9]{2})([0-5][0-9])"'
)
_MONTH = {name.upper(): number for number, name in enumerate(MONTHS, 1)}

LAST_MOMENT = 253_402_300_799
"""9999-12-31 23:59:59 UTC, the last moment a date-time can write."""


def flag_list(cursor: Cursor) -> tuple[str, ...]:
    """`(\\Seen $Junk)`, each flag once, in the order given."""
    found = cursor.match(_SIMPLE_LIST, "a list of flags")
    return _flags(cursor, found[1])


def bare_flags(cursor: Cursor) -> tuple[str, ...]:
    """Flags without parentheses up to the end of the command, as STORE may have them."""
    text = cursor.text[cursor.pos :].rstrip(b" ")
    cursor.pos = len(cursor.text)
    if not text:
        cursor.fail("a flag")
    return _flags(cursor, text)


def _flags(cursor: Cursor, text: bytes) -> tuple[str, ...]:
    if not text:
        return ()
    flags = dict.fromkeys(map(_flag, text.split(b" ")))
    cursor.count(list(flags))
    return tuple(flags)


def _flag(text: bytes) -> str:
    known = SYSTEM_FLAGS.get(text.upper())
    if known is not None:
        return known
    found = _FLAG.fullmatch(text)
    if found is None:
        raise Refused("Bad flag")
    if found[1]:
        # RFC 9051 section 2.3.2: `\Recent` is not the client's to set; section 9: flag-extension is for future RFCs
        raise Refused("That system flag cannot be set")
    return text.decode()


def day(cursor: Cursor) -> date:
    """A date of SEARCH: `1-Feb-1994`, with or without quotes."""
    found = cursor.match(_DAY, "a date like 1-Feb-1994")
    try:
        return date(int(found[4]), _MONTH.get(found[3].upper(), 0), int(found[2]))
    except ValueError:
        raise Refused("There is no such day") from None


def date_time(cursor: Cursor) -> int:
    """The date of APPEND as seconds since 1970; what lies before counts as 1970, which every client can show."""
    found = cursor.match(_DATE_TIME, 'a date like "17-Jul-1996 02:44:25 -0700"')
    month = _MONTH.get(found[2].upper(), 0)
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    try:
        on = date(int(found[3]), month, int(found[1]))
    except ValueError:
        raise Refused("There is no such day") from None
    if hour > 23 or second > 60:  # RFC 9051 section 9, time: a leap second may be
        raise Refused("There is no such time")
    offset = (int(found[8]) * 60 + int(found[9])) * 60
    local = timegm((on.year, on.month, on.day, hour, minute, second, 0, 0, 0))
    return min(max(local - offset if found[7] == b"+" else local + offset, 0), LAST_MOMENT)
