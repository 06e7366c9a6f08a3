"""Comments in structured header fields (RFC 5322 section 3.2.2): parentheses that nest.

Called by the address and the parameter readers.  One pass, no recursion: a thousand open parentheses are a loop.
"""

from __future__ import annotations

import re

_TO_PARENTHESIS = re.compile(rb"[^()\\]*+(?:\\.[^()\\]*+)*", re.DOTALL)
_QUOTED_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"?', re.DOTALL)
_QUOTE_OR_COMMENT = re.compile(rb'["(]')


def end_of_comment(text: bytes, start: int) -> int:
    """The offset behind the comment that opens at `start`; the end of the text if it is never closed."""
    depth = 0
    at = start
    while at < len(text):
        if text[at] == 0x28:  # (
            depth += 1
        elif text[at] == 0x29:  # )
            depth -= 1
            if not depth:
                return at + 1
        match = _TO_PARENTHESIS.match(text, at + 1)
        at = match.end() if match else len(text)
        if at < len(text) and text[at] == 0x5C:  # a backslash that ends the text escapes nothing
            return len(text)
    return len(text)


def strip_comments(text: bytes) -> bytes:
    """The text with each comment outside quoted strings as one space."""
    if b"(" not in text:
        return text
    kept: list[bytes] = []
    at = done = 0
    while match := _QUOTE_OR_COMMENT.search(text, at):
        if match[0] == b'"':
            quoted = _QUOTED_STRING.match(text, match.start())
            at = quoted.end() if quoted else len(text)
        else:
            kept += text[done : match.start()], b" "
            at = done = end_of_comment(text, match.start())
    kept.append(text[done:])
    return b"".join(kept)
