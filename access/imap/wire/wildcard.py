"""Matching mailbox names with LIST patterns: `*` is anything, `%` anything but the separator (RFC 9051 section 6.3.9).

The view calls it once per pattern and name.  All ways a pattern can match are followed at once, as bits of one integer:
the time is the name's length times the pattern's, however hostile the pattern; no regular expression is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SEPARATOR = "/"

_WILDCARDS = re.compile(r"[*%]{2,}")


def matcher(pattern: str, separator: str = SEPARATOR) -> Callable[[str], bool]:
    """A function that says whether a name matches `pattern`; INBOX in any case where the pattern is exactly that."""
    # neighbours say no more than the strongest of them; no two wildcards in a row are left
    pattern = _WILDCARDS.sub(lambda found: "*" if "*" in found[0] else "%", pattern)
    if pattern == "*":
        return lambda name: True
    if pattern == "%":
        return lambda name: separator not in name
    if "*" not in pattern and "%" not in pattern:
        wanted = _inbox(pattern)
        return lambda name: name == wanted
    match = _automaton(pattern, separator)
    # RFC 9051 section 5.1: INBOX is known in any case
    inbox = _automaton(pattern.upper(), separator)("INBOX")
    return lambda name: inbox if name == "INBOX" else match(name)


def _inbox(pattern: str) -> str:
    return "INBOX" if pattern.upper() == "INBOX" else pattern


def _automaton(pattern: str, separator: str) -> Callable[[str], bool]:
    """Bit i of the state is set while the first i characters of the pattern match what was read of the name."""
    steps: dict[str, int] = {}
    stay = stay_within = 0
    for at, character in enumerate(pattern):
        if character == "*":
            stay |= 1 << at
        elif character == "%":
            stay_within |= 1 << at
        else:
            steps[character] = steps.get(character, 0) | 1 << at
    skip = stay | stay_within  # a wildcard may match nothing
    begin = 1 | (skip & 1) << 1
    accepted = 1 << len(pattern)

    def match(name: str) -> bool:
        state = begin
        for character in name:
            kept = state & stay if character == separator else state & skip
            state = (state & steps.get(character, 0)) << 1 | kept
            state |= (state & skip) << 1
            if not state:
                return False
        return bool(state & accepted)

    return match
