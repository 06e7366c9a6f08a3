"""Encoded words (RFC 2047) in header values, read in linear time.

Called for whatever header text is shown to a processor or kept for searching and sorting.  Never raises.
"""

from __future__ import annotations

import binascii
import re

from merpati.message.charset import decode_text
from merpati.message.transfer import decode_base64

# RFC 2047 section 2; RFC 2231 section 5 adds a language behind an asterisk.  The 75 characters of a word are not
# counted and a space in a "Q" word is let pass: common mailers break both.
_WORD = re.compile(rb"=\?([^?*\s]{1,64}+)(?:\*[^?\s]*+)?\?([bBqQ])\?([^?\r\n]*+)\?=")


def decode_words(value: bytes) -> str:
    """Unfolded header text with its encoded words decoded; other text is read as UTF-8 (RFC 6532).

    White space between two encoded words is dropped (RFC 2047 section 6.2), and neighbours in one charset are decoded
    together: mailers cut multi-byte characters in two, against section 5.
    """
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    text: list[str] = []
    pending: list[bytes] = []
    charset = b""
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        at = match.end()
        word_charset = match[1].lower()
        if pending and (word_charset != charset or between.strip(b" \t")):
            text.append(decode_text(b"".join(pending), charset.decode("latin-1")))
            pending = []
            between = between if between.strip(b" \t") else b""
        elif pending:
            between = b""
        if between:
            text.append(between.decode("utf-8", "replace"))
        charset = word_charset
        pending.append(_octets(match[2], match[3]))
    if pending:
        text.append(decode_text(b"".join(pending), charset.decode("latin-1")))
    text.append(value[at:].decode("utf-8", "replace"))
    return "".join(text)


def _octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"bB":
        return decode_base64(text)
    return binascii.a2b_qp(text, header=True)
