"""The Date field: read into a moment, and written from one (RFC 5322 sections 3.3 and 4.3).

Called by the summary and by whatever composes a header.  The moment is always passed in; nothing here asks a clock.
"""

from __future__ import annotations

import re
import time
from datetime import date
from typing import NamedTuple

from merpati.message.comments import strip_comments

MAX_DATE = 200
"""Octets of a Date field that are looked at."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999
# RFC 5322 section 4.3.  The military letters say nothing, so they are -0000 like any other unknown word.
_ZONES = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}

_DATE = re.compile(
    rb"\s*+(?:[A-Za-z]{3,9}\s*+,?)?\s*+([0-9]{1,2})[\s-]++([A-Za-z]{3})[a-z]*+[\s-]++([0-9]{2,4})\s++"
    rb"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]++)?)?\s*+(?:([+-][0-9]{4})(?![0-9])|([A-Za-z]{1,5}))?"
)


class SentDate(NamedTuple):
    """The moment of a Date field."""

    seconds: int
    """Since 1970-01-01 UTC; may be negative."""
    day: int
    """The day as it was written, whatever the zone, in days since 1970-01-01: SENTON and its like compare this
    (RFC 3501 section 6.4.4: "disregarding time and timezone")."""


def read_date(value: bytes) -> SentDate | None:
    """The moment of an unfolded Date field; None if it is no date between the years 1900 and 9999."""
    match = _DATE.match(strip_comments(value[:MAX_DATE]))
    if match is None:
        return None
    day_text, month_text, year_text, hour, minute, second, zone, zone_name = match.groups()
    year, month, day = _year(year_text), _MONTH_NUMBERS.get(month_text.lower(), 0), int(day_text)
    if not month or year < 1900:
        return None
    try:
        midnight = date(year, month, day).toordinal() - _EPOCH
    except ValueError:  # no such day
        return None
    # RFC 5322 section 3.3: 60 is a leap second.
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return None
    local = midnight * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    return SentDate(local - 60 * _offset(zone, zone_name), midnight)


def _year(digits: bytes) -> int:
    """RFC 5322 section 4.3: two digits below 50 are 2000 and later; other two and three digits are added to 1900."""
    year = int(digits)
    if len(digits) == 2 and year < 50:
        return 2000 + year
    return year if len(digits) > 3 else 1900 + year


def _offset(zone: bytes | None, zone_name: bytes | None) -> int:
    """Minutes east of UTC."""
    if zone is None:
        return 60 * _ZONES.get((zone_name or b"").lower(), 0)
    minutes = int(zone[1:3]) * 60 + int(zone[3:5])
    return -minutes if zone[:1] == b"-" else minutes


def format_date(seconds: float, offset: int = 0) -> str:
    """A moment as RFC 5322 section 3.3 writes it, `offset` minutes east of UTC."""
    moment = time.gmtime(min(max(0, int(seconds) + offset * 60), _LAST_MOMENT))
    sign, away = ("-", -offset) if offset < 0 else ("+", offset)
    return (
        f"{_DAYS[moment.tm_wday]}, {moment.tm_mday:02} {_MONTHS[moment.tm_mon - 1]} {moment.tm_year:04}"
        f" {moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} {sign}{away // 60:02}{away % 60:02}"
    )
