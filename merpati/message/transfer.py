"""The two content transfer encodings of RFC 2045, taken off leniently: what can be decoded is, the rest is dropped.

Called for bodies and for encoded words.  Never raises and never yields more than was asked for.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

MAX_DECODED = 32 * 1024 * 1024
"""Bytes of one decoded body, unless the caller names another limit."""
MAX_RUNS = 1_000
"""Runs of base64 behind an earlier run's padding that are still decoded."""
WINDOW = 256 * 1024
"""Encoded bytes that are decoded at a time, so that a small limit costs little on a large body."""

# RFC 2045 section 6.8: "any characters outside of the base64 alphabet are to be ignored in base64-encoded data".
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET))
_LINE_END_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")


def decode_base64(text: bytes, limit: int = MAX_DECODED) -> bytes:
    """The octets of base64 text, at most `limit`.

    Foreign characters are skipped, missing padding is supplied, a last lonely character is dropped, and text behind
    padding (several encoded pieces in a row) is decoded as well.
    """
    if limit <= 0:
        return b""
    octets: list[bytes] = []
    have = 0
    for run in _runs_of_base64(text):
        whole = len(run) - (len(run) % 4 == 1)
        octets.append(binascii.a2b_base64(run[:whole] + b"=" * (-whole % 4)))
        have += len(octets[-1])
        if have >= limit:
            break
    decoded = octets[0] if len(octets) == 1 else b"".join(octets)
    return decoded[:limit]


def _runs_of_base64(text: bytes) -> Iterator[bytes]:
    """Pieces without padding, foreign characters or line ends; each but the last of a run a multiple of four long."""
    rest = b""
    runs = 0
    for at in range(0, len(text), WINDOW):
        rest += text[at : at + WINDOW].translate(None, _NOT_BASE64)
        while (pad := rest.find(b"=")) >= 0 and runs < MAX_RUNS:
            yield rest[:pad]
            rest = rest[pad:].lstrip(b"=")
            runs += 1
        if runs >= MAX_RUNS:
            return
        whole = len(rest) - len(rest) % 4
        yield rest[:whole]
        rest = rest[whole:]
    yield rest


def decode_quoted_printable(text: bytes, limit: int = MAX_DECODED) -> bytes:
    """The octets of quoted-printable text, at most `limit`.  What is no valid escape stands for itself."""
    # RFC 2045 section 6.7 rule 3: white space at the end of an encoded line was added on the way.
    text = _LINE_END_SPACE.sub(b"", text)
    return binascii.a2b_qp(text)[: max(limit, 0)]
