"""Bytes of a server → replies (RFC 5321 section 4.2): multi-line ones joined, text made fit to be shown, all bounded.

Called by the client.  However the bytes are cut, the replies are the same.
"""

from __future__ import annotations

import re

from msgspec import Struct

MAX_REPLY = 1 << 20
"""Bytes of one reply, with all its lines; beyond it the peer is not speaking SMTP."""
MAX_LINES = 1000
"""Lines of one reply."""
MAX_LINE_KEPT = 2000
"""Of a longer line the rest is dropped.  RFC 5321 section 4.5.3.1.5 has 512."""
MAX_LINES_KEPT = 100
MAX_TEXT = 1000
"""Characters of a reply that a trace or a bounce shows."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ \t-])(.*))?\Z", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: |\Z)")


class Reply(Struct, frozen=True, gc=False):
    """A whole reply.  `enhanced` is empty if there was none (RFC 2034); `text` is one line of printable ASCII."""

    code: int
    enhanced: str = ""
    text: str = ""
    lines: tuple[str, ...] = ()
    """The text of each line: what EHLO is answered."""

    @property
    def kind(self) -> int:
        """2 is yes, 3 go on, 4 not now, 5 no."""
        return self.code // 100

    @property
    def status(self) -> str:
        """The enhanced status code, or a general one of the same class (RFC 3463 section 2)."""
        return self.enhanced or f"{self.kind}.0.0"

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Broken(Struct, frozen=True, gc=False):
    """What came is no reply; the reader says nothing more."""

    why: str


class ReplyReader:
    """One connection's input."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._taken = 0
        self._count = 0
        self._lines: list[bytes] = []
        self._broken = False

    @property
    def unread(self) -> int:
        """Bytes that were fed and are no part of a reply given out."""
        return len(self._buffer) + self._taken

    def feed(self, data: bytes) -> None:
        if not self._broken:
            self._buffer += data

    def next(self) -> Reply | Broken | None:
        """The next reply, or None until more is fed."""
        while not self._broken:
            end = self._buffer.find(b"\n", self._searched)
            if self._taken + (len(self._buffer) if end < 0 else end) > MAX_REPLY:
                return self._break("reply too long")
            if end < 0:
                self._searched = len(self._buffer)
                return None
            # a bare LF ends a line too: liberal in what is accepted, and nothing here could be smuggled by it
            line = bytes(self._buffer[: min(end, MAX_LINE_KEPT)]).rstrip(b"\r")
            del self._buffer[: end + 1]
            self._searched = 0
            self._taken += end + 1
            found = _LINE.match(line)
            if found is None:
                return self._break("not an SMTP reply")
            self._count += 1
            if self._count > MAX_LINES:
                return self._break("reply of too many lines")
            if len(self._lines) < MAX_LINES_KEPT:
                self._lines.append(found[3] or b"")
            if found[2] != b"-":
                return self._reply(int(found[1]))
        return None

    def _reply(self, code: int) -> Reply:
        """RFC 5321 section 4.2.1: all lines have one code; where they have not, the last one counts (so Postfix)."""
        lines = [_printable(line) for line in self._lines]
        self._lines, self._taken, self._count = [], 0, 0
        enhanced, told = "", []
        for line in lines:
            found = _ENHANCED.match(line)
            # RFC 2034 section 4: the class is that of the reply, else it is only text
            if found is not None and found[1] == str(code)[0]:
                enhanced = enhanced or found[0].rstrip()
                line = line[found.end() :]
            told.append(line)
        return Reply(code, enhanced, " ".join(" ".join(told).split())[:MAX_TEXT], tuple(lines))

    def _break(self, why: str) -> Broken:
        self._broken = True
        self._buffer.clear()
        return Broken(why)


def _printable(line: bytes) -> str:
    """RFC 5321 section 4.2 has replies in ASCII; what else comes is shown as `?`, so that it can go into a header."""
    text = line.decode("utf-8", "replace").encode("ascii", "replace").decode()
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
