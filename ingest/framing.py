"""Bytes into command lines and message bodies: where a line ends, where a message ends, what may not stand in either.

Sans-io: `feed` takes what the network gave, in any pieces, and the same bytes give the same lines and bodies however
they were cut.  Called by the session; never waits, never writes, never looks at a clock.
"""

from __future__ import annotations

from enum import Enum

from merpati.errors import Permanent
from merpati.message.wire import dot_unstuff, has_bare_line_end, has_long_line

CRLF = b"\r\n"
START = 16
"""Bytes that are remembered of a line that is skipped."""


class BareLineFeed(Permanent):
    """A line ended by LF alone.  What follows cannot be trusted to be a command: the connection is to be closed."""

    code = 500
    enhanced = "5.5.2"

    def __init__(self, line: bytes) -> None:
        super().__init__("line ended by a bare LF")
        self.line = line


class TooLong(Permanent):
    """A line beyond the longest of any kind; it was skipped up to its end."""

    code = 500
    enhanced = "5.5.2"

    def __init__(self, start: bytes) -> None:
        super().__init__("line too long")
        self.start = start


class LineReader:
    """Command lines of a client, in bounded memory."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False
        self._start = b""
        """How the line began that is being skipped."""

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """More bytes from the client."""
        self._buffer += data

    def take(self, size: int) -> bytes:
        """Up to `size` bytes off the front, whatever they are: the octets of BDAT."""
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = 0
        return taken

    def next_line(self) -> bytes | None:
        """The next line without its CRLF, or None until more has come.  Raises `BareLineFeed` or `TooLong`."""
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._bound()
                return None
            line = self.take(end + 1)
            if not line.endswith(CRLF):
                # RFC 5321 section 2.3.8: only CRLF ends a line; a server that believes in LF can be smuggled past.
                if self._skipping or len(line) > self._longest:
                    self._skip(line)
                    continue
                raise BareLineFeed(line)
            if self._skipping or len(line) > self._longest:
                self._skip(line)
                self._skipping = False
                raise TooLong(self._start)
            return line[:-2]

    def _bound(self) -> None:
        self._searched = len(self._buffer)
        if self._searched > self._longest:
            self._skip(self._buffer)
            last = self._buffer[-1:]
            self._buffer = last if last == b"\r" else bytearray()
            self._searched = 0

    def _skip(self, line: bytes | bytearray) -> None:
        if not self._skipping:
            self._skipping = True
            self._start = bytes(line[:START])


class Fault(Enum):
    """Why the bytes of a message cannot be taken; its value is the whole reply."""

    BARE = "550 5.5.2 bare CR or LF in message"
    NUL = "550 5.6.0 NUL octet in message"
    LONG_LINE = "500 5.5.2 line too long in message"
    TOO_BIG = "552 5.3.4 message too big"


class _Body:
    """What the two ways of sending a message share: complete lines are checked and handed on, the rest is kept.

    However the bytes are cut, the same messages are taken and refused; of several faults the one named may differ.
    """

    def __init__(self, max_size: int, max_line: int) -> None:
        self._max_size = max_size
        self._max_line = max_line
        self._unfinished = b""
        self.size = 0
        """Bytes of the message so far."""
        self.wire = 0
        """Bytes the client has sent for it, whether they were kept or not."""
        self.fault: Fault | None = None
        """The first thing that was wrong; from then on nothing is handed on."""
        self.done = False

    def _lines(self, lines: bytes) -> bytes:
        if self.fault is not None:
            return b""
        self.size += len(lines)
        # RFC 5321 section 2.3.8: CR and LF only together.  Whoever lets them through lets mail be smuggled.
        if has_bare_line_end(lines):
            self.fault = Fault.BARE
        elif b"\0" in lines:
            # RFC 6152 section 3: NUL is no more allowed in 8BITMIME than in 7BIT
            self.fault = Fault.NUL
        elif has_long_line(lines, self._max_line):
            self.fault = Fault.LONG_LINE
        elif self.size > self._max_size:
            self.fault = Fault.TOO_BIG
        return b"" if self.fault else lines

    def _hold(self, rest: bytes) -> None:
        """Keep a line whose end has not come; of one that is too long, only what still matters for finding its end."""
        if len(rest) > self._max_line + 3:
            self.fault = self.fault or Fault.LONG_LINE
            rest = b"x\r" if rest.endswith(b"\r") else b"x"
        self._unfinished = rest


class DotBody(_Body):
    """A message sent with DATA: ends with CRLF.CRLF and nothing else, dots un-stuffed (RFC 5321 section 4.5.2)."""

    rest = b""
    """What came behind the end."""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the message that are certain by now: whole lines.  When `done`, there is `rest`."""
        self.wire += len(data)
        data = self._unfinished + data if self._unfinished else data
        end = self._end_of(data)
        if end < 0:
            end = data.rfind(CRLF) + 2 if CRLF in data else 0
            self._hold(data[end:])
        else:
            self.done = True
            self.rest = data[end + 3 :]
            self._unfinished = b""
        return self._lines(dot_unstuff(data if end == len(data) else data[:end])) if end > 0 else b""

    def _end_of(self, data: bytes) -> int:
        """Where the final dot stands, or -1.  `data` begins with a line."""
        if data.startswith(b".\r\n"):
            return 0
        end = data.find(b"\r\n.\r\n")
        return end + 2 if end >= 0 else -1


class ChunkBody(_Body):
    """A message sent with BDAT (RFC 3030): counted octets, in which a dot means nothing."""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the message that are certain by now: whole lines."""
        self.wire += len(data)
        data = self._unfinished + data if self._unfinished else data
        end = data.rfind(CRLF) + 2 if CRLF in data else 0
        self._hold(data[end:])
        return self._lines(data[:end]) if end else b""

    def last(self) -> bytes:
        """The last line, if it has no CRLF: the octets of a message may end anywhere."""
        self.done = True
        rest, self._unfinished = self._unfinished, b""
        return self._lines(rest) if rest else b""
