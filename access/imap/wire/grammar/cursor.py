"""Reading the tokens of one command from left to right (RFC 9051 section 9).

Made by `table.parse`, handed to the module that knows the command.  Every method either takes its token and moves on or
raises `Refused`; those named `try_…` move only if the token is there.  Never reads twice, never looks behind.
"""

from __future__ import annotations

import re
from typing import NoReturn

from access.imap.wire.codes import CANNOT
from access.imap.wire.limits import Limits
from access.imap.wire.refused import Refused
from access.imap.wire.sequence import SequenceSet, sequence_set
from merpati.mailbox import utf7

# RFC 9051 section 9: ATOM-CHAR is any CHAR but atom-specials; ASTRING-CHAR adds `]`; list-char adds `%`, `*` and `]`
_ATOM = re.compile(rb"[^(){ %*\"\\\]\x00-\x1f\x7f-\xff]+")
_ASTRING = re.compile(rb"[^(){ %*\"\\\x00-\x1f\x7f-\xff]+")
_PATTERN = re.compile(rb"[^(){ \"\\\x00-\x1f\x7f-\xff]+")
# atomic groups, not possessive ones: CPython before 3.11.5 matches `(?:…)*+` wrongly (gh-106052)
_QUOTED = re.compile(rb'"((?>(?:[^"\\\r\n\x00\x80-\xff]++|\\["\\])*))"')
_QUOTED_UTF8 = re.compile(rb'"((?>(?:[^"\\\r\n\x00]++|\\["\\])*))"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
# RFC 7888 section 4: at the end of a line, whatever the line says.  Leading zeros: `{010}` is 8 to some
LITERAL = re.compile(rb"(~?)\{(0|[1-9][0-9]{0,19})(\+?)\}\Z")
_NUMBER = re.compile(rb"[0-9]{1,20}")
_SET = re.compile(rb"[0-9:,*]+|\$")

MAX_32 = (1 << 32) - 1
MAX_63 = (1 << 63) - 1


class Cursor:
    """A place in the text of a command.  `lines[i]` ends in the announcement of `literals[i]`, the last in none."""

    __slots__ = ("_lines", "_literals", "_piece", "limits", "pos", "text", "utf8")

    def __init__(self, lines: list[bytes], literals: list[bytes], pos: int, limits: Limits, *, utf8: bool) -> None:
        self._lines = lines
        self._literals = literals
        self._piece = 0
        self.text = lines[0]
        self.pos = pos
        self.limits = limits
        self.utf8 = utf8

    def fail(self, expected: str) -> NoReturn:
        raise Refused(f"{expected} expected")

    def try_(self, token: bytes) -> bool:
        """Take `token` if it is next."""
        if self.text.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def take(self, token: bytes) -> None:
        if not self.text.startswith(token, self.pos):
            self.fail("a space" if token == b" " else token.decode())
        self.pos += len(token)

    def space(self) -> None:
        # RFC 9051 section 9, rule 3: SP is exactly one space
        if self.text[self.pos : self.pos + 1] != b" ":
            self.fail("a space")
        self.pos += 1

    def at_end(self) -> bool:
        return self.pos >= len(self.text)

    def end(self) -> None:
        """Nothing may follow but spaces, which several clients leave behind."""
        if self.pos < len(self.text) and self.text[self.pos :].strip(b" "):
            raise Refused("Unexpected arguments")

    def match(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        found = pattern.match(self.text, self.pos)
        if found is None:
            self.fail(expected)
        self.pos = found.end()
        return found

    def word(self) -> bytes:
        """An atom of the protocol's own, in upper case."""
        return self.match(_ATOM, "a word")[0].upper()

    def atom(self) -> str:
        return self.match(_ATOM, "an atom")[0].decode()

    def number(self, most: int = MAX_32, least: int = 0) -> int:
        value = int(self.match(_NUMBER, "a number")[0])
        if not least <= value <= most:
            raise Refused("That number is out of range")
        return value

    def number64(self, least: int = 0) -> int:
        """63 bits (RFC 9051 section 9, number64; RFC 7162 section 7, mod-sequence-value)."""
        return self.number(MAX_63, least)

    def set(self) -> SequenceSet:
        return sequence_set(self.match(_SET, "a sequence set")[0], self.limits.max_ranges)

    def at_string(self) -> bool:
        """Whether a quoted string or a literal is next."""
        return self.text[self.pos : self.pos + 1] in (b'"', b"{", b"~")

    def string(self, *, binary: bool = False) -> bytes:
        """A quoted string or a literal; NUL is allowed in a literal8, and that only if `binary`."""
        if self.text.startswith(b'"', self.pos):
            return self._quoted()
        value, is_binary = self.literal()
        if (is_binary and not binary) or (b"\0" in value and not is_binary):
            # RFC 9051 section 9: CHAR8 is any octet but NUL
            raise Refused("NUL needs a literal8 and a command that takes one")
        return value

    def literal(self) -> tuple[bytes, bool]:
        """A literal's bytes, whatever they are, and whether it is a literal8."""
        found = self.match(LITERAL, "a string")
        value = self._literals[self._piece]
        self._piece += 1
        self.text = self._lines[self._piece]
        self.pos = 0
        return value, bool(found[1])

    def astring(self) -> bytes:
        found = _ASTRING.match(self.text, self.pos)
        # `~` may begin an atom, or the announcement of a literal8, which no astring is
        if found is not None:
            self.pos = found.end()
            return found[0]
        return self.string()

    def nstring(self) -> bytes | None:
        """A string, or None for NIL; a literal8 too."""
        if self.text[self.pos : self.pos + 3].upper() == b"NIL":
            self.pos += 3
            return None
        return self.string(binary=True)

    def utf8_text(self, value: bytes, what: str) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Refused(f"{what} is not UTF-8") from None

    def mailbox(self) -> str:
        """A mailbox's name, decoded; INBOX in any case is INBOX (RFC 9051 section 5.1)."""
        name = self.mailbox_name(self.astring())
        return "INBOX" if len(name) == 5 and name.upper() == "INBOX" else name

    def pattern(self) -> str:
        """A LIST pattern, decoded (list-mailbox)."""
        found = _PATTERN.match(self.text, self.pos)
        if found is None:
            return self.mailbox_name(self.string())
        self.pos = found.end()
        return self.mailbox_name(found[0])

    def mailbox_name(self, raw: bytes) -> str:
        try:
            name = utf7.decode_utf8(raw) if self.utf8 else utf7.decode(raw)
        except utf7.BadName as reason:
            raise Refused(f"Bad mailbox name: {reason}", status=b"NO", code=CANNOT) from None
        if len(raw) > self.limits.max_name and len(name.encode()) > self.limits.max_name:
            raise Refused("That mailbox name is too long", status=b"NO", code=CANNOT)
        return name

    def count(self, items: list[object] | list[str] | list[bytes]) -> None:
        """Refuse a list that has grown too long."""
        if len(items) > self.limits.max_list_items:
            raise Refused("That list is too long", code=b"LIMIT")

    def _quoted(self) -> bytes:
        found = (_QUOTED_UTF8 if self.utf8 else _QUOTED).match(self.text, self.pos)
        if found is None:
            # RFC 9051 section 9: a quoted string holds no CR, LF or NUL; 8-bit only with RFC 6855
            raise Refused("Bad quoted string: send a literal")
        self.pos = found.end()
        value = found[1]
        if b"\\" in value:
            value = _ESCAPE.sub(rb"\1", value)
        if self.utf8 and not value.isascii():
            self.utf8_text(value, "The quoted string")
        return value
