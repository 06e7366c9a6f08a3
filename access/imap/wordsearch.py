"""Whether a message's words hold what SEARCH looks for: header fields and texts, decoded (RFC 9051 section 6.4.4).

Called beside the event loop with the message's bytes.  Substrings, without regard to case, in the characters a reader
sees: encoded words, transfer encodings and character sets are undone, HTML is read as text.  Bounded by named limits.
"""

from __future__ import annotations

from collections.abc import Iterator

from access.imap.wire.search import Header, Text
from merpati.message.body import body_parts, html_to_text
from merpati.message.headers import Headers
from merpati.message.mime import scan

MAX_TEXT = 4 << 20
"""Bytes of decoded text that are looked through in one message."""


def matches(key: Text | Header, raw: bytes) -> bool:
    """Whether `key` finds the message `raw`; for keys of the header, its header is enough."""
    wanted = key.value.casefold()
    if isinstance(key, Header):
        return any(wanted in value.casefold() for value in Headers.parse(raw).get_all(key.name))
    if key.where not in ("BODY", "TEXT"):
        return any(wanted in value.casefold() for value in Headers.parse(raw).get_all(key.where))
    if key.where == "TEXT" and any(wanted in field.casefold() for field in _fields(Headers.parse(raw))):
        return True
    return any(wanted in text.casefold() for text in _texts(raw, headers=key.where == "TEXT"))


def reads_header_only(key: Text | Header) -> bool:
    """Whether the message's header is enough for `matches`."""
    return isinstance(key, Header) or key.where not in ("BODY", "TEXT")


def _fields(headers: Headers) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in headers.items())


def _texts(raw: bytes, *, headers: bool) -> Iterator[str]:
    left = MAX_TEXT
    for part in body_parts(raw, scan(raw)):
        if headers and part.number:
            yield from _fields(part.headers)
        if not part.content_type.startswith("text/") or left <= 0:
            continue
        text = part.text(left)
        left -= max(1, len(text))
        yield html_to_text(text) if part.content_type == "text/html" else text
