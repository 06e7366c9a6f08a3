"""An mbox as bytes: where its messages begin and end, and the quoting of lines that look like a beginning.  Pure.

Bytes go in, in any pieces; pieces of messages come out.  Written as mboxrd: `>` before each line of `>`s and `From `.
Read as mboxrd too, which reads mboxo but for lines that were `>From ` before; and as mboxcl2 where a Content-Length
leads to the next beginning.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_FROM_LINE = 1000
"""Bytes of a line that can be the beginning of a message."""
MAX_RUN = 500
"""Bytes of a run of `>` that are kept until it is known what follows them."""

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(" + b"|".join(_MONTHS) + rb") +([0-9]{1,2}) +"
    rb"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?((?: +[A-Z0-9+-]{1,6}){0,2}?) +([0-9]{4})(?: +([+-][0-9]{4}))?(?![0-9])"
)
_ZONE = re.compile(rb"([+-])([0-9]{2})([0-9]{2})")
_LAST_MOMENT = 253_402_300_799  # the end of the year 9999
_PARTIAL = re.compile(rb">*(?:F|Fr|Fro|From)?")
_QUOTED = re.compile(rb"\n>(>*From )")
_TO_QUOTE = re.compile(rb"\n(>*From )")
_UNDECIDED = re.compile(rb"\r?|>*(?:F|Fr|Fro|From)?|From [^\n]*")


@dataclass(frozen=True, slots=True)
class Begin:
    """A message begins: its sender and date (0 if the line says none), and where in the file its bytes start."""

    sender: bytes
    date: int
    start: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the message that has begun, unquoted, line ends as they are in the file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole."""


Event = Begin | Piece | End


def from_line(sender: bytes, date: int) -> bytes:
    """RFC 4155 appendix A: the sender, and the date in UTC as asctime writes it."""
    at = time.gmtime(min(max(date, 0), _LAST_MOMENT))
    clock = b"%02d:%02d:%02d" % (at.tm_hour, at.tm_min, at.tm_sec)
    return b"From %b %b %b %2d %b %04d\n" % (
        sender, _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1], at.tm_mday, clock, at.tm_year
    )  # fmt: skip


def read_from_line(line: bytes) -> tuple[bytes, int] | None:
    """Sender and date of a line that begins a message; None if it has no date, so that it is a sentence."""
    found = _DATE.search(line)
    if found is None:
        return None
    month, day, hour, minute, second, before, year, behind = found.groups()
    zone = _ZONE.search(behind or before or b"")
    try:
        at = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), min(int(second or 0), 59), tzinfo=UTC
        )
    except ValueError:
        return None
    away = (int(zone[2]) * 60 + int(zone[3])) * (-60 if zone[1] == b"-" else 60) if zone else 0
    return line[5 : found.start()].strip(), int(at.timestamp()) - away


def quoting(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A message as an mboxrd has it, from its pieces."""
    data = b"\n"
    for piece in pieces:
        data += piece
        last = data.rfind(b"\n")
        tail = data[last + 1 :]
        if last < 0 or not _PARTIAL.fullmatch(tail):
            yield _TO_QUOTE.sub(rb"\n>\1", data)[1:]
            data = data[-1:]
            continue
        # of a long run of `>` it does not matter where one is added
        excess = max(0, len(tail) - MAX_RUN)
        yield _TO_QUOTE.sub(rb"\n>\1", data[: last + 1])[1:] + tail[:excess]
        data = b"\n" + tail[excess:]
    yield data[1:]


class Splitter:
    """Takes an mbox apart; any cut of its bytes into pieces gives the same messages.

    Of what was fed, the byte before what has not been given out yet is kept: it says whether a line begins there.
    """

    def __init__(self, start: int = 0, end_of: Callable[[int], int] | None = None) -> None:
        """`start`: where in the file the first byte is.

        `end_of`: for where a message starts in the file, where it ends if its Content-Length is right, else 0.
        """
        self._end_of = end_of
        self._data = b"\n"
        self._before = self._offset = start - 1
        """Of the first byte of `_data` in the file."""
        self._open = False
        self._literal = 0
        """Bytes that are the message's, whatever they look like."""

    def feed(self, more: bytes) -> list[Event]:
        """What these bytes make known."""
        data, events, kept = self._data + more, list[Event](), 0
        while True:
            kept = self._pass_literal(data, kept, events)
            if self._literal:
                break
            found = self._beginning(data, kept)
            if found is None:
                kept, data = self._keep_undecided(data, kept, events)
                break
            line, end, sender, date = found
            self._give(data[kept : _end_before(data, line, kept)], events)
            self._close(events)
            kept = end - 1
            self._begin(sender, date, self._offset + end, events)
        self._offset += kept
        self._data = data[kept:]
        return events

    def finish(self) -> list[Event]:
        """The file has ended."""
        events: list[Event] = []
        blank = self._data in (b"\n\n", b"\n\r\n")  # the blank line behind the last message
        self._give(self._data[:1] if blank else self._data, events)
        self._close(events)
        return events

    def _beginning(self, data: bytes, kept: int) -> tuple[int, int, bytes, int] | None:
        """The next line that begins a message: where the line before it ends, where it ends itself, what it says."""
        at = kept
        while (at := data.find(b"\nFrom ", at)) >= 0:
            end = data.find(b"\n", at + 6, at + MAX_FROM_LINE)
            if end >= 0:
                said = read_from_line(data[at + 1 : end])
                if said is None and self._offset + at == self._before:  # the first line of the file is one, date or not
                    said = data[at + 6 : end].strip(), 0
                if said is not None:
                    return at, end + 1, *said
            elif len(data) - at < MAX_FROM_LINE:
                return None
            at += 1
        return None

    def _begin(self, sender: bytes, date: int, start: int, events: list[Event]) -> None:
        self._open = True
        events.append(Begin(sender, date, start))
        if self._end_of is not None:
            self._literal = max(0, self._end_of(start) - start)

    def _close(self, events: list[Event]) -> None:
        if self._open:
            events.append(End())
        self._open = False

    def _give(self, data: bytes, events: list[Event]) -> None:
        """The bytes behind the first, which was given out before."""
        if self._open and len(data) > 1:
            events.append(Piece(_QUOTED.sub(rb"\n\1", data)[1:]))

    def _pass_literal(self, data: bytes, kept: int, events: list[Event]) -> int:
        if not self._literal:
            return kept
        piece = data[kept + 1 : kept + 1 + self._literal]
        if piece:
            events.append(Piece(piece))
        self._literal -= len(piece)
        return kept + len(piece)

    def _keep_undecided(self, data: bytes, kept: int, events: list[Event]) -> tuple[int, bytes]:
        """Give out what no later byte can change, and say which byte was the last of it."""
        last = data.rfind(b"\n", kept)
        tail = data[last + 1 :] if last >= 0 else b"x"
        if last < 0 or not _UNDECIDED.fullmatch(tail) or (len(tail) > MAX_FROM_LINE and tail[:1] != b">"):
            self._give(data[kept:], events)
            return len(data) - 1, data
        if len(tail) > MAX_FROM_LINE:
            # of a long run of `>` it is all the same which one goes
            end = len(data) - MAX_RUN
            self._give(data[kept:end], events)
            return end - 1, data[: end - 1] + b"\n" + data[end:]
        if last > kept and data[last - 1] == 13:
            last -= 1
        last = max(last, kept + 1)
        self._give(data[kept:last], events)
        return last - 1, data


def _end_before(data: bytes, line: int, kept: int) -> int:
    """Where the text ends if the line end at `line` stands before a beginning: a blank line is not part of it."""
    start = line - 1 if line > kept and data[line - 1] == 13 else line
    return start if start > kept and data[start - 1] == 10 else line + 1
