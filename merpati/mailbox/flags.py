"""Flags by name and by bit.  Pure; the bits of keywords are each folder's own, by its table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from merpati.errors import Permanent
from merpati.mailbox.values import MAX_KEYWORDS, SYSTEM_FLAGS, TooMany

_SYSTEM = {name.lower(): 1 << bit for bit, name in enumerate(SYSTEM_FLAGS)}
_FIRST_KEYWORD = len(SYSTEM_FLAGS)
MAX_KEYWORD = 100
"""Characters of a keyword."""

# RFC 9051 section 9: flag-keyword is an atom
_KEYWORD = re.compile(r"[\x21\x23\x24\x26\x27\x2b-\x5b\x5e-\x7a\x7c\x7e]+\Z")


def bits_of(names: Iterable[str], keywords: Sequence[str]) -> int:
    """The bits of the flags that are known; others give none.  RFC 9051 section 2.3.2: case does not matter."""
    table = {name.lower(): 1 << bit for bit, name in enumerate(keywords, _FIRST_KEYWORD)}
    bits = 0
    for name in names:
        lower = name.lower()
        bits |= _SYSTEM.get(lower, 0) or table.get(lower, 0)
    return bits


def names_of(bits: int, keywords: Sequence[str]) -> tuple[str, ...]:
    """The names of some bits, system flags first."""
    return tuple(name for bit, name in enumerate((*SYSTEM_FLAGS, *keywords)) if bits >> bit & 1)


def new_keywords(names: Iterable[str], keywords: Sequence[str], *, strict: bool) -> tuple[str, ...]:
    """The keywords among `names` that are not in the table yet and must be added to it.

    If the table would be full: `TooMany` if `strict`, else the last ones are left out (mail is never refused for them).
    """
    known = {name.lower() for name in keywords}
    new: list[str] = []
    for name in names:
        if name.lower() in known or name.lower() in _SYSTEM:
            continue
        if not is_keyword(name):
            if strict:
                raise Permanent("no such flag", flag=name)
            continue
        if len(keywords) + len(new) >= MAX_KEYWORDS:
            if strict:
                raise TooMany("this folder has too many keywords already")
            break
        known.add(name.lower())
        new.append(name)
    return tuple(new)


def is_keyword(name: str) -> bool:
    """Whether this can be a keyword: an atom, and no system flag (RFC 9051 section 9)."""
    return len(name) <= MAX_KEYWORD and _KEYWORD.match(name) is not None
