"""The words of POP3 (RFC 1939 and its extensions): bytes in, typed commands out; values in, response bytes out.

Called by the session, which owns the socket.  Nothing here waits, opens, reads a clock or knows a mailbox.  However the
bytes are cut, the events are the same.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from collections.abc import Callable, Iterable

from msgspec import Struct

from merpati.message.wire import as_data

MAX_LINE = 255
"""A command with its CRLF (RFC 2449 section 4)."""
MAX_AUTH_LINE = 12_288
"""An AUTH command, and a client's part of a SASL exchange (RFC 5034 section 4)."""
MAX_DISCARD = 65_536
"""What is read and dropped of a line too long, to stay in step; beyond it the connection ends."""
MAX_NUMBER = 1 << 31

_NUMBER = re.compile(rb"[0-9]{1,10}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Verb(Struct, frozen=True, gc=False):
    """A command."""


class User(Verb, frozen=True, gc=False):
    name: str


class Pass(Verb, frozen=True, gc=False):
    password: str

    def __repr__(self) -> str:
        return "Pass()"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return []


class Apop(Verb, frozen=True, gc=False):
    """RFC 1939 section 7.  Answered -ERR: it needs passwords that are kept readable."""

    name: str


class Auth(Verb, frozen=True, gc=False):
    """RFC 5034.  Without a mechanism it asks for a list of them; `initial` is decoded, None if there was none."""

    mechanism: str = ""
    initial: bytes | None = None

    def __repr__(self) -> str:
        return f"Auth(mechanism={self.mechanism!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("mechanism", self.mechanism)]


class Stls(Verb, frozen=True, gc=False):
    """RFC 2595 section 4.  `Reader.take_unread` must then be empty."""


class Capa(Verb, frozen=True, gc=False):
    """RFC 2449 section 5."""


class Utf8(Verb, frozen=True, gc=False):
    """RFC 6856 section 2.1."""


class Lang(Verb, frozen=True, gc=False):
    """RFC 6856 section 3.1.  Without a language it asks for a list of them."""

    language: str = ""


class Stat(Verb, frozen=True, gc=False):
    pass


class List(Verb, frozen=True, gc=False):
    """Of one message, or of all if `number` is None."""

    number: int | None = None


class Uidl(Verb, frozen=True, gc=False):
    number: int | None = None


class Retr(Verb, frozen=True, gc=False):
    number: int


class Top(Verb, frozen=True, gc=False):
    number: int
    lines: int


class Dele(Verb, frozen=True, gc=False):
    number: int


class Noop(Verb, frozen=True, gc=False):
    pass


class Rset(Verb, frozen=True, gc=False):
    pass


class Quit(Verb, frozen=True, gc=False):
    pass


class Line(Struct, frozen=True, gc=False):
    """The line that `Reader.expect_line` asked for: a client's part of a SASL exchange, without its CRLF."""

    text: bytes


class Bad(Struct, frozen=True, gc=False):
    """What is no command.  The stream is in step: answer -ERR, go on reading."""

    text: str


class Fatal(Struct, frozen=True, gc=False):
    """The stream cannot be read on: answer -ERR, close.  The reader says nothing more."""

    text: str


Event = Verb | Line | Bad | Fatal


class Reader:
    """One connection's input."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._expected = False
        self._closed = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the client sent.  After `Fatal` it is dropped."""
        if not self._closed:
            self._buffer += data

    def next(self) -> Event | None:
        """The next event, or None until more is fed."""
        if self._closed:
            return None
        # a bare LF ends a line too, as with Dovecot: a command has no quotes that it could stand in
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            return self._end() if len(self._buffer) > MAX_DISCARD else None
        if end > MAX_DISCARD:
            return self._end()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        text = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        expected, self._expected = self._expected, False
        if len(line) > (MAX_AUTH_LINE + 2 if expected or line[:5].upper() == b"AUTH " else MAX_LINE):
            return Bad("line too long")
        return Line(text) if expected else _parse(text)

    def expect_line(self) -> None:
        """What comes next is no command but a client's part of a SASL exchange."""
        self._expected = True

    def take_unread(self) -> bytes:
        """Remove and return what was fed and not read.

        After STLS it must be empty: what was sent in clear behind it is an injection (CVE-2011-0411).
        """
        unread = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return unread

    def _end(self) -> Fatal:
        self._closed = True
        self._buffer.clear()
        return Fatal("line too long")


class _Refused(Exception):
    """Becomes a `Bad`."""


def sasl_response(text: bytes) -> bytes | None:
    """What the client's line of a SASL exchange says; None if it gives up with `*`, or if it is no base64."""
    if text == b"*":
        return None
    try:
        return _base64(text)
    except _Refused:
        return None


def _base64(text: bytes) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True) if text else b""
    except Error:
        raise _Refused("not base64") from None


def _parse(line: bytes) -> Verb | Bad:
    word, _, rest = line.partition(b" ")
    name = word.upper()
    try:
        if name in _BARE:
            if rest.strip(b" "):
                raise _Refused("no arguments, please")
            return _BARE[name]
        read = _WITH_ARGUMENTS.get(name)
        if read is None:
            raise _Refused("unknown command")
        return read(rest)
    except _Refused as refused:
        return Bad(str(refused))


def _text(rest: bytes) -> str:
    """All of the line: a password may hold spaces (RFC 1939 section 7, PASS), and UTF-8 (RFC 6856 section 2.2)."""
    if not rest:
        raise _Refused("an argument is missing")
    try:
        text = rest.decode()
    except UnicodeDecodeError:
        raise _Refused("not UTF-8") from None
    if _CONTROL.search(text):
        raise _Refused("control characters")
    return text


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise _Refused("not a number")
    return int(text)


def _one_number(rest: bytes) -> int:
    return _number(rest.rstrip(b" "))


def _number_or_none(rest: bytes) -> int | None:
    stripped = rest.rstrip(b" ")
    return _number(stripped) if stripped else None


def _top(rest: bytes) -> Top:
    number, _, lines = rest.rstrip(b" ").partition(b" ")
    return Top(_number(number), _number(lines))


def _apop(rest: bytes) -> Apop:
    return Apop(_text(rest.partition(b" ")[0]))


def _auth(rest: bytes) -> Auth:
    mechanism, _, initial = rest.rstrip(b" ").partition(b" ")
    if not mechanism:
        return Auth()
    name = _text(mechanism).upper()
    # RFC 5034 section 4: `=` is an initial response of no bytes
    return Auth(name, None if not initial else b"" if initial == b"=" else _base64(initial))


_BARE: dict[bytes, Verb] = {
    b"STAT": Stat(),
    b"NOOP": Noop(),
    b"RSET": Rset(),
    b"QUIT": Quit(),
    b"STLS": Stls(),
    b"CAPA": Capa(),
    b"UTF8": Utf8(),
}

_WITH_ARGUMENTS: dict[bytes, Callable[[bytes], Verb]] = {
    b"USER": lambda rest: User(_text(rest)),
    b"PASS": lambda rest: Pass(_text(rest)),
    b"APOP": _apop,
    b"AUTH": _auth,
    b"LIST": lambda rest: List(_number_or_none(rest)),
    b"UIDL": lambda rest: Uidl(_number_or_none(rest)),
    b"RETR": lambda rest: Retr(_one_number(rest)),
    b"DELE": lambda rest: Dele(_one_number(rest)),
    b"TOP": _top,
    b"LANG": lambda rest: Lang(_text(rest.strip(b" ")) if rest.strip(b" ") else ""),
}


# Responses

IN_USE = "IN-USE"  # RFC 2449 section 8.1.2
LOGIN_DELAY = "LOGIN-DELAY"
SYS_TEMP = "SYS/TEMP"  # RFC 3206 section 4
SYS_PERM = "SYS/PERM"
AUTH = "AUTH"
UTF8 = "UTF8"  # RFC 6856 section 2.1


def ok(text: str = "") -> bytes:
    return b"+OK %b\r\n" % _one_line(text) if text else b"+OK\r\n"


def err(text: str, code: str = "") -> bytes:
    """`code` is an extended response code (RFC 2449 section 8), without brackets."""
    return b"-ERR %b%b\r\n" % (b"[%b] " % code.encode() if code else b"", _one_line(text))


def challenge(data: str) -> bytes:
    """A server's part of a SASL exchange, base64 (RFC 5034 section 4)."""
    return b"+ %b\r\n" % _one_line(data)


def multi_line(text: str, lines: Iterable[bytes]) -> bytes:
    """+OK and lines of ours; none of them begins with a dot or holds a line break."""
    return b"%b%b.\r\n" % (ok(text), b"".join([b"%b\r\n" % line for line in lines]))


def listing(text: str, entries: Iterable[tuple[int, int | str]]) -> bytes:
    """+OK and `number value` lines: of LIST with sizes, of UIDL with unique ids."""
    return multi_line(text, [f"{number} {value}".encode() for number, value in entries])


def capabilities(lines: Iterable[str]) -> bytes:
    """RFC 2449 section 5."""
    return multi_line("capabilities", [line.encode() for line in lines])


def message(text: str, data: bytes) -> list[bytes]:
    """+OK and a message, in pieces to be written one after the other: a large message is copied once at most."""
    return [ok(text), as_data(data)]


def top(data: bytes, lines: int) -> bytes:
    """The header of `data`, the blank line, and `lines` lines of the body (RFC 1939 section 7, TOP)."""
    # a message without body ends with its header
    blank = 0 if data.startswith(b"\r\n") else data.find(b"\r\n\r\n") + 2
    if blank == 1:
        return data
    end = blank + 2
    for _ in range(lines):
        found = data.find(b"\n", end)
        if found < 0:
            return data
        end = found + 1
    return data[:end]


def _one_line(text: str) -> bytes:
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.encode("ascii", "replace")
