"""Address lists as they stand in From, To and their like (RFC 5322 section 3.4), obsolete and broken ones too.

Called by the envelope, the summary and the plugin's view of a message.  Takes any bytes, never raises, one pass, no
recursion.  Where the grammar is broken it keeps what a reader would still recognise as an address.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from merpati.message.comments import end_of_comment

MAX_ADDRESSES = 10_240
"""Tokens of one address list that are looked at (Postfix's header_address_token_limit)."""

MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_DOMAIN = b"MISSING_DOMAIN"
"""What stands for the part that is not there: NIL would say "group" (RFC 3501 section 7.4.2).  Dovecot's words."""


class Mailbox(NamedTuple):
    """One entry: exactly the four fields of IMAP's address structure (RFC 3501 section 7.4.2), as raw bytes.

    A group begins with an entry that has only `local` (the group's name) and ends with one that has nothing.
    """

    name: bytes | None
    """The display name without quotes, encoded words left as they are; None if there is none."""
    route: bytes | None
    """The source route of `<@a,@b:c@d>`."""
    local: bytes | None
    domain: bytes | None

    @property
    def missing(self) -> bool:
        """Whether a part of the address was not there."""
        return self.local == MISSING_MAILBOX or self.domain == MISSING_DOMAIN


GROUP_END = Mailbox(None, None, None, None)

# An encoded word is one token even if it holds specials: mailers write `=?utf-8?Q?Foo,_Bar?=` against RFC 2047.
_TOKEN = re.compile(
    rb"(?P<word>=\?[^?\s]++\?[bBqQ]\?[^?\s]*+\?=|[^\x00-\x20()<>\[\]:;@\\,\"\x7f]++)"
    rb'|(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*"?)'
    rb"|(?P<literal>\[[^\[\]\\]*+(?:\\.[^\[\]\\]*+)*\]?)"
    rb"|(?P<special>[<>:;@,])"
    rb"|(?P<comment>\()",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_FOLD = re.compile(rb"[\r\n\x00]+")
# What nearly every address looks like; the rest of this file is for the others.
_ATOMS = rb"[^\x00-\x20()<>\[\]:;@\\,\"\x7f]++"
_PLAIN = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\\r\n\x00]*+)"|(' + _ATOMS + rb"(?: " + _ATOMS + rb")*))?[ \t]*+"
    rb"<(" + _ATOMS + rb")@(" + _ATOMS + rb")>|(" + _ATOMS + rb")@(" + _ATOMS + rb"))[ \t]*+(?:,|\Z)"
)
_TOKENS_OF_PLAIN, _TOKENS_OF_BARE = 7, 4


def parse_address_list(value: bytes, max_tokens: int = MAX_ADDRESSES) -> list[Mailbox]:
    """The entries of an unfolded address list in order, groups marked as IMAP marks them."""
    entries: list[Mailbox] = []
    at = 0
    while at < len(value) and max_tokens > 0:
        match = _PLAIN.match(value, at)
        if match is None:
            return entries + _Reader(value, at, max_tokens).entries
        quoted, words, local, domain, bare_local, bare_domain = match.groups()
        entries.append(Mailbox(quoted or words or None, None, local or bare_local, domain or bare_domain))
        max_tokens -= _TOKENS_OF_PLAIN if local else _TOKENS_OF_BARE
        at = match.end()
    return entries


class _Reader:
    """Splits tokens at `,` `;` `:` outside brackets, and reads an entry from what stands between."""

    def __init__(self, value: bytes, at: int, max_tokens: int) -> None:
        self.entries: list[Mailbox] = []
        self._tokens: list[tuple[str, bytes]] = []
        self._angle = -1
        self._in_group = False
        self._read(value, at, max_tokens)

    def _read(self, value: bytes, at: int, max_tokens: int) -> None:
        for _ in range(max_tokens):
            match = _TOKEN.search(value, at)
            if match is None:
                break
            at = match.end()
            kind = str(match.lastgroup)
            if kind == "comment":
                at = end_of_comment(value, match.start())
                closed = at - 1 if value[at - 1 : at] == b")" else at
                self._tokens.append((kind, _unquote(value[match.end() : closed])))
            elif kind == "quoted":
                self._tokens.append((kind, _unquote(match[0][1:].removesuffix(b'"'))))
            elif kind == "special":
                self._special(match[0])
            else:
                self._tokens.append((kind, match[0]))
        self._end_of_entry()
        if self._in_group:
            self.entries.append(GROUP_END)

    def _special(self, mark: bytes) -> None:
        if mark == b"<" and self._angle < 0:
            self._angle = len(self._tokens)
        if mark in b",:" and self._angle >= 0 and self._in_route():
            self._tokens.append(("special", mark))
        elif mark == b",":
            self._end_of_entry()
        elif mark == b";":
            self._end_of_entry()
            if self._in_group:
                self.entries.append(GROUP_END)
                self._in_group = False
        elif mark == b":":
            self._begin_group()
        else:
            self._tokens.append(("special", mark))

    def _in_route(self) -> bool:
        """Whether the open angle bracket has a source route behind it: `<@a,@b:c@d>` (RFC 5322 section 4.4)."""
        return self._tokens[self._angle + 1 : self._angle + 2] == [("special", b"@")] and not any(
            token == ("special", b">") for token in self._tokens[-1:]
        )

    def _begin_group(self) -> None:
        if self._in_group or self._angle >= 0:
            self._end_of_entry()
            return
        self.entries.append(Mailbox(None, None, _phrase(self._tokens), None))
        self._tokens = []
        self._in_group = True

    def _end_of_entry(self) -> None:
        tokens, angle = self._tokens, self._angle
        self._tokens, self._angle = [], -1
        entry = _in_brackets(tokens, angle) if angle >= 0 else _bare(tokens)
        if entry is not None:
            self.entries.append(entry)


def _unquote(text: bytes) -> bytes:
    text = _FOLD.sub(b"", text)
    return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text


def _phrase(tokens: list[tuple[str, bytes]]) -> bytes:
    """A display name: its words with one space between them, and none around a stray special."""
    phrase = b""
    glued = True
    for kind, text in tokens:
        if kind != "comment" and text:
            special = kind == "special"
            phrase += text if glued or special else b" " + text
            glued = special
    return phrase


def _in_brackets(tokens: list[tuple[str, bytes]], angle: int) -> Mailbox:
    """`name <local@domain>`; what follows the closing bracket is dropped."""
    inside = [token for token in tokens[angle + 1 :] if token[0] != "comment"]
    if ("special", b">") in inside:
        inside = inside[: inside.index(("special", b">"))]
    route = None
    if ("special", b":") in inside:
        end = len(inside) - 1 - inside[::-1].index(("special", b":"))
        route = b"".join(text for _, text in inside[:end])
        inside = inside[end + 1 :]
    local, domain = _split_at(inside)
    return Mailbox(
        _phrase(tokens[:angle]) or None,
        route,
        b"".join(text for _, text in local) or MISSING_MAILBOX,
        b"".join(text for _, text in domain) or MISSING_DOMAIN,
    )


def _split_at(tokens: list[tuple[str, bytes]]) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """What stands before and behind the last `@`: of `a@good.example@evil.example` the last is where mail would go."""
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index] == ("special", b"@"):
            return tokens[:index], tokens[index + 1 :]
    return tokens, []


def _bare(tokens: list[tuple[str, bytes]]) -> Mailbox | None:
    """`local@domain` with words or a comment that name its owner; None if there is nothing."""
    comments = [text for kind, text in tokens if kind == "comment" and text]
    words = [token for token in tokens if token[0] != "comment"]
    if not words:
        return None
    before, behind = _split_at(words)
    # Before RFC 822's successors a comment was the way to give a name: `user@host (Full Name)`.
    comment = comments[-1].strip() or None if comments else None
    if len(before) == len(words):
        if len(words) > 1:
            return Mailbox(_phrase(words) or comment, None, MISSING_MAILBOX, MISSING_DOMAIN)
        return Mailbox(comment, None, words[0][1] or MISSING_MAILBOX, MISSING_DOMAIN)
    start = _start_of_dotted(before)
    local = b"".join(text for _, text in before[start:])
    end = _end_of_dotted(behind)
    domain = b"".join(text for _, text in behind[:end])
    name = _phrase(before[:start] + behind[end:]) or comment
    return Mailbox(name, None, local or MISSING_MAILBOX, domain or MISSING_DOMAIN)


_JOINTS = (b".", b"@")  # an address with more than one `@` keeps all of them but the last in its local part


def _start_of_dotted(tokens: list[tuple[str, bytes]]) -> int:
    """Where the last run of words joined by dots begins: `a . b` is one local part (RFC 5322 section 4.4)."""
    start = max(len(tokens) - 1, 0)
    while start > 0 and (tokens[start][1][:1] in _JOINTS or tokens[start - 1][1][-1:] in _JOINTS):
        start -= 1
    return start


def _end_of_dotted(tokens: list[tuple[str, bytes]]) -> int:
    """Where the first run of words joined by dots ends."""
    end = min(1, len(tokens))
    while 0 < end < len(tokens) and (tokens[end][1][:1] == b"." or tokens[end - 1][1][-1:] == b"."):
        end += 1
    return end
