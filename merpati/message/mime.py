"""The MIME structure of a message: an immutable tree of parts, each a range of the raw bytes.

Called at append (through the summary), at FETCH of a section, and for the parts a processor looks at.  Takes any bytes,
raises nothing, never recurses, decodes nothing and copies only header values.  Time is linear: each delimiter is
looked for with `bytes.find` between where its multipart begins and where the next enclosing delimiter stands, so every
byte is read at most once a level, and the levels are limited.
"""

from __future__ import annotations

from merpati.message.content import MESSAGE_RFC822, OPAQUE, TEXT_PLAIN, Content, Part, read_content
from merpati.message.headers import MAX_FIELDS, Field, split_headers
from merpati.message.parameters import parameter_bytes

__all__ = ["MAX_BOUNDARY", "MAX_DEPTH", "MAX_PARTS", "Part", "scan"]

MAX_DEPTH = 100
"""Parts inside each other; what lies deeper is one part of type application/octet-stream (the trusted servers' cap)."""
MAX_PARTS = 10_000
"""Parts of one message; the last one reaches to the end."""
MAX_BOUNDARY = 2_048
"""Octets of a boundary (RFC 2046 section 5.1.1 allows 70); a multipart with a longer one is not taken apart."""
MAX_ALL_FIELDS = 50_000
"""Header fields that are told apart in all parts together."""


def scan(raw: bytes) -> Part:
    """The structure of the message `raw`.

    A delimiter line is a line that begins with two hyphens and the boundary of an open multipart (RFC 2046 section
    5.1.1); the exact one wins, else the longest, of equals the innermost.  The line end before it is its own.
    """
    return _Scanner(raw).run()


class _Open:
    """A part whose end is not known yet."""

    __slots__ = ("body", "children", "content", "due", "fields", "found", "lines_before", "needle", "start")

    def __init__(self, start: int, body: int, fields: list[Field], content: Content, due: int) -> None:
        self.start = start
        self.body = body
        self.fields = fields
        self.content = content
        self.children: list[Part] = []
        self.needle = b""
        """LF, two hyphens and the boundary, while delimiters of this multipart may follow."""
        self.found = -1
        """Where the needle stands next; -1 if not before the enclosing `due`."""
        self.due = due
        """Where the next delimiter of this part or of one around it stands (the LF before it); the end if nowhere."""
        self.lines_before = 0


class _Scanner:
    """The parts that are open, outermost first, and where reading has come to."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.end = len(raw)
        self.open: list[_Open] = []
        self.parts = 0
        self.fields_left = MAX_ALL_FIELDS
        self.counted_to = 0
        self.lines = 0

    def run(self) -> Part:
        self._begin(0, TEXT_PLAIN)
        while (due := self.open[-1].due) < self.end:
            self._delimiter(due)
        return self._finish(0, self.end)

    def _begin(self, start: int, default: Content) -> None:
        """Open the part whose header is at `start`, and the messages that begin inside it."""
        while True:
            due = self.open[-1].due if self.open else self.end
            limit = max(self._before(due), start)
            fields, body = split_headers(self.raw, start, limit, min(MAX_FIELDS, self.fields_left))
            self.fields_left -= min(len(fields), self.fields_left)
            part = _Open(start, body, fields, read_content(self.raw, fields, default), due)
            self.open.append(part)
            self.parts += 1
            if self.parts >= MAX_PARTS:
                self._last_part(part)
                return
            if part.content.is_message and len(self.open) < MAX_DEPTH:
                part.lines_before = self._lines_to(body)
                start, default = body, TEXT_PLAIN
                continue
            if part.content.is_multipart and len(self.open) < MAX_DEPTH:
                self._open_multipart(part)
            elif part.content.is_composite:
                part.content = OPAQUE
            return

    def _open_multipart(self, part: _Open) -> None:
        # RFC 2046 section 5.1.1: white space at the end of a boundary was added on the way.
        boundary = (parameter_bytes(part.content.parameters, b"boundary") or b"").rstrip()
        if not boundary or len(boundary) > MAX_BOUNDARY:
            # RFC 2045 section 5.2: what has no valid Content-Type is text/plain; this one lacks a parameter it needs.
            part.content = part.content.become(TEXT_PLAIN if not boundary else OPAQUE)
            return
        part.needle = b"\n--" + boundary
        self._look_ahead(len(self.open) - 1, part.body - 1)

    def _look_ahead(self, index: int, at: int) -> None:
        """Find the next delimiter of an open part from `at` on, as far as the next one around it reaches."""
        part = self.open[index]
        outer = self.open[index - 1].due if index else self.end
        part.found = self.raw.find(part.needle, max(at, 0), outer + len(part.needle)) if part.needle else -1
        part.due = part.found if part.found >= 0 else outer

    def _delimiter(self, at: int) -> None:
        """Pass the delimiter line behind the LF at `at`: close what it ends, open what it begins."""
        line_end = self.raw.find(b"\n", at + 1)
        line_end = self.end if line_end < 0 else line_end
        owners = [index for index, part in enumerate(self.open) if part.found == at]
        index = owners[0] if len(owners) == 1 else self._best_owner(owners, at, line_end)
        self._finish(index + 1, self._before(at))
        part = self.open[index]
        closing = self.raw.startswith(b"--", at + len(part.needle))
        digest = part.content.is_digest
        if closing:
            part.needle = b""
        for stale in range(owners[0], index + 1):
            self._look_ahead(stale, line_end)
        if not closing:
            self._begin(min(line_end + 1, self.end), MESSAGE_RFC822 if digest else TEXT_PLAIN)

    def _best_owner(self, owners: list[int], at: int, line_end: int) -> int:
        line = self.raw[at : min(line_end, at + MAX_BOUNDARY + 8)].rstrip()
        for index in reversed(owners):
            needle = self.open[index].needle
            if line == needle or line == needle + b"--":
                return index
        return max(reversed(owners), key=lambda index: len(self.open[index].needle))

    def _before(self, at: int) -> int:
        """Where the content before the delimiter at `at` ends: its line end belongs to the delimiter."""
        return at - 1 if at < self.end and at and self.raw[at - 1] == 0x0D else at

    def _finish(self, index: int, stop: int) -> Part:
        """Close the open parts from the innermost down to `index`; their content ends at `stop`."""
        part: Part | None = None
        while len(self.open) > index:
            done = self.open.pop()
            stop = max(stop, done.body)
            part = self._close(done, stop)
            if self.open:
                self.open[-1].children.append(part)
        return part  # type: ignore[return-value]  # the outermost call closes at least the message itself

    def _close(self, done: _Open, stop: int) -> Part:
        content = done.content
        lines = 0
        if content.is_message:
            lines = self._lines_to(stop) - done.lines_before
        elif content.media == b"text":
            lines = self.raw.count(b"\n", done.body, stop)
        elif content.is_multipart and not done.children:
            # RFC 3501 section 9: a body-type-mpart has one body at least.  So nothing of the mail is out of sight.
            whole = self.raw.count(b"\n", done.body, stop)
            done.children.append(Part(TEXT_PLAIN, done.body, done.body, stop, whole, (), ()))
        return Part(content, done.start, done.body, stop, lines, tuple(done.children), tuple(done.fields))

    def _lines_to(self, at: int) -> int:
        """Line ends before `at`; asked in rising order, so that nested messages are counted once together."""
        self.lines += self.raw.count(b"\n", self.counted_to, at)
        self.counted_to = max(self.counted_to, at)
        return self.lines

    def _last_part(self, part: _Open) -> None:
        """The limit is reached: what is open reaches to the end."""
        if part.content.is_composite:
            part.content = OPAQUE
        for each in self.open:
            each.due = self.end
