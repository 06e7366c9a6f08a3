"""Bytes of a client → events: finds where commands begin and end, literals included, and has each parsed.

The session feeds what it received and takes events until there is none.  A command is parsed only when `next` comes to
it, so what the session decides on one command (`limits`, `utf8`, `expect_line`) holds for the next, pipelined or not.
However the bytes are cut, the events are the same.  Memory is bounded by `limits` and by what is fed between two calls
of `next`.
"""

from __future__ import annotations

import re

from access.imap.wire.codes import LIMIT, TOOBIG
from access.imap.wire.events import Bad, Event, Fatal, Line, NeedLiteral
from access.imap.wire.grammar.cursor import LITERAL
from access.imap.wire.grammar.table import HEAD, UNTAGGED, parse
from access.imap.wire.limits import BEFORE_LOGIN, Limits

_MANGLED = re.compile(rb"\{[^\" ]*\+\}\Z")
# atomic groups, not possessive ones: CPython before 3.11.5 takes an open quote for a closed one there (gh-106052)
_BALANCED = re.compile(rb'[^"]*+(?>(?:"(?>(?:[^"\\]++|\\.)*)"[^"]*+)*)', re.DOTALL)
_BRACE = ord("}")
_CR = ord("\r")


class _Pending:
    """A command of which a part was read."""

    __slots__ = ("chunks", "dropped", "lines", "literals", "messages", "missing", "refusal", "small", "text")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.literals: list[bytes] = []
        self.chunks: list[bytes] = []
        self.missing = -1
        """Bytes of the literal that are still to come; -1 between literals."""
        self.refusal: Bad | None = None
        """Why it will be refused once it is read to its end."""
        self.text = self.small = self.messages = self.dropped = 0
        """Bytes of the lines, of the literals that are no messages, of those that are, of those that were refused."""


class Reader:
    """One connection's input.  `limits` and `utf8` may be replaced between two calls of `next`."""

    def __init__(self, limits: Limits = BEFORE_LOGIN, *, utf8: bool = False) -> None:
        self.limits = limits
        self.utf8 = utf8
        self._buffer = bytearray()
        self._searched = 0
        self._open_quote = False
        self._expected_line = 0
        self._blank = False
        self._closed = False
        self._pending = _Pending()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the client sent.  After `Fatal` it is dropped."""
        if self._closed:
            return
        if self._pending.missing > len(data) and not self._buffer:
            self._keep(bytes(data))  # the middle of a literal: no detour through the buffer
        else:
            self._buffer += data

    def next(self) -> Event | None:
        """The next event, or None until more is fed."""
        while not self._closed:
            if self._pending.missing >= 0 and not self._literal_done():
                return None
            line = self._line()
            if line is None:
                # the line that is allowed, its CR, and a byte that is no LF
                return self._end("Line too long") if len(self._buffer) > self._room() + 1 else None
            event = self._said(line)
            if event is not None:
                return event
        return None

    def expect_line(self, most: int) -> None:
        """What comes next is no command but a line of at most `most` bytes: DONE, or a SASL response."""
        self._expected_line = most

    def refuse(self) -> None:
        """The literal just asked for with `NeedLiteral` is not wanted: its command is forgotten, another follows."""
        self._pending = _Pending()

    @property
    def in_command(self) -> bool:
        """Whether a part of a command was read and the rest is awaited."""
        return bool(self._pending.lines or self._buffer)

    @property
    def held(self) -> int:
        """Bytes kept in memory, or about to be, for what is not complete yet."""
        pending = self._pending
        return len(self._buffer) + pending.text + pending.small + pending.messages

    def take_unread(self) -> bytes:
        """Remove and return what was fed and not read: after COMPRESS it is another layer's.

        After STARTTLS it must be empty: what was sent in clear behind it is an injection (CVE-2011-0411).
        """
        unread = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return unread

    # Lines

    def _line(self) -> bytes | None:
        """The next line without its end, or None if it is not there yet or is too long."""
        buffer = self._buffer
        while (end := buffer.find(b"\n", self._searched)) >= 0:
            if end > self._room() + 1:
                return None
            if end and buffer[end - 1] == _CR:
                return self._cut(end - 1, end + 1)
            # RFC 9051 section 2.2 has CRLF only; Dovecot and Cyrus take a bare LF too, as people typing do send it.
            # Inside a quoted string it is ambiguous: there it ends nothing, so no name with LF in it smuggles a command
            if not self._open_quote:
                if _BALANCED.fullmatch(buffer, 0, end):
                    return self._cut(end, end + 1)
                self._open_quote = True
            self._searched = end + 1
        self._searched = len(buffer)
        return None

    def _cut(self, end: int, rest: int) -> bytes:
        line = bytes(self._buffer[:end])
        del self._buffer[:rest]
        self._searched = 0
        self._open_quote = False
        return line

    def _room(self) -> int:
        """How long the line may be."""
        return self._expected_line or self.limits.max_line - self._pending.text

    def _said(self, line: bytes) -> Event | None:
        if len(line) > self._room():
            return self._end("Line too long")
        if self._expected_line:
            self._expected_line = 0
            return Line(line)
        pending = self._pending
        if not line and not pending.lines:
            # one blank line is what several clients leave behind a literal; more of them is noise
            self._blank, noise = True, self._blank
            return Bad(UNTAGGED, "Empty line") if noise else None
        self._blank = False
        pending.lines.append(line)
        pending.text += len(line)
        if line and line[-1] == _BRACE:
            announced = LITERAL.search(line)
            if announced is not None:
                return self._announced(announced)
            if _MANGLED.search(line):
                # how many bytes follow that are no commands?
                return self._end("Unreadable size of a literal")
        return self._complete()

    def _complete(self) -> Event:
        pending = self._pending
        self._pending = _Pending()
        return pending.refusal or parse(pending.lines, pending.literals, self.limits, utf8=self.utf8)

    # Literals

    def _announced(self, announced: re.Match[bytes]) -> Event | None:
        """A literal is announced: take it, refuse it, or read it and drop it."""
        pending = self._pending
        size, sync = int(announced[2]), not announced[3]
        head = HEAD.match(pending.lines[0])
        tag, word = (head[1], head[3].upper()) if head else (UNTAGGED, b"")
        names_mailbox = head is not None and len(pending.lines) == 1 and announced.start() == head.end() + 1
        message = word == b"APPEND" and not names_mailbox and self.limits.max_message > 0
        if pending.refusal is None:
            pending.refusal = self._objection(tag, size, sync=sync, message=message)
        if pending.refusal is not None:
            if sync:
                # RFC 9051 section 4.3: the client waits, is told no, and sends nothing of it
                return self._complete()
            # RFC 7888 section 4: it is on its way.  Stay in step, or say BYE
            pending.dropped += size
            if pending.dropped > self.limits.max_discard:
                return self._end("Literal too big")
        elif message:
            pending.messages += size
        else:
            pending.small += size
        pending.missing = size
        return NeedLiteral(tag, word, size) if sync else None

    def _objection(self, tag: bytes, size: int, *, sync: bool, message: bool) -> Bad | None:
        limits, pending = self.limits, self._pending
        if len(pending.literals) >= limits.max_literals:
            return Bad(tag, "Too many literals", code=LIMIT)
        if not sync and size > limits.max_nonsync:
            return Bad(tag, "Too big for a non-synchronizing literal", code=TOOBIG)
        if message:
            if pending.messages + size > limits.max_message:
                return Bad(tag, "Message too big", status=b"NO", code=TOOBIG)  # RFC 7889 section 4
        elif size > limits.max_literal or pending.small + size > limits.max_literal_total:
            return Bad(tag, "Literal too big", code=TOOBIG)
        return None

    def _literal_done(self) -> bool:
        """Move what the buffer has of the literal; whether it is whole now."""
        pending = self._pending
        if pending.missing:
            chunk = bytes(self._buffer[: pending.missing])
            del self._buffer[: len(chunk)]
            self._searched = 0
            self._keep(chunk)
            if pending.missing:
                return False
        chunks = pending.chunks
        pending.literals.append(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        pending.chunks = []
        pending.missing = -1
        return True

    def _keep(self, chunk: bytes) -> None:
        pending = self._pending
        pending.missing -= len(chunk)
        if pending.refusal is None:
            pending.chunks.append(chunk)

    def _end(self, text: str) -> Fatal:
        self._closed = True
        self._buffer.clear()
        self._pending = _Pending()
        return Fatal(text)
