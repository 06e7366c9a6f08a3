"""The parts of a message as a processor sees them: decoded on demand, never more than asked for.

Called by the view that processors get (`mail.text`, `mail.attachments`, `mail.parts`).  Nothing is decoded before it is
asked for, nothing is unpacked, no file name is made safe for a disk: it is what the sender wrote.
"""

from __future__ import annotations

import html
import re

from merpati.message.charset import decode_text
from merpati.message.content import Part
from merpati.message.headers import Headers, one_line
from merpati.message.transfer import MAX_DECODED, decode_base64, decode_quoted_printable

MAX_TEXT = 1024 * 1024
"""Octets of text that are decoded of one part."""

_BLANK = re.compile(r"[^\S\n]+")
_HIDDEN = re.compile(r"<(script|style|head|template)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]*(?:>|\Z)", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z/!?][^>]*(?:>|\Z)")


class BodyPart:
    """One part of a message; `number` is its IMAP part number, such as `1.2`."""

    __slots__ = ("_part", "_raw", "number")

    def __init__(self, raw: bytes, part: Part, number: str) -> None:
        self._raw = raw
        self._part = part
        self.number = number

    @property
    def content_type(self) -> str:
        """`type/subtype` in lower case; text/plain if the message gives no valid one."""
        return self._part.content_type

    @property
    def filename(self) -> str:
        """The name the sender gave it, decoded, on one line; empty if none."""
        return one_line(self._part.filename)

    @property
    def charset(self) -> str:
        return self._part.charset

    @property
    def disposition(self) -> str:
        """`attachment`, `inline`, another word in lower case, or empty."""
        return (self._part.content.disposition or b"").decode("ascii", "replace")

    @property
    def content_id(self) -> str:
        """The Content-ID without angle brackets; empty if none."""
        return (self._part.content.id or b"").decode("utf-8", "replace").strip("<> ")

    @property
    def headers(self) -> Headers:
        """The part's own header fields."""
        return Headers(self._raw, self._part.fields)

    @property
    def size(self) -> int:
        """Octets as transferred, before decoding."""
        return self._part.octets

    @property
    def is_attachment(self) -> bool:
        """Whether a reader would show it as something to open: it is named, said to be one, or no text."""
        content = self._part.content
        if content.is_multipart:
            return False
        return content.disposition == b"attachment" or content.media != b"text" or bool(self._part.filename)

    def decoded(self, limit: int = MAX_DECODED) -> bytes:
        """The body with its transfer encoding taken off, at most `limit` octets; what is broken is skipped.

        An encoding that RFC 2045 does not name is left on.
        """
        part = self._part
        encoding = part.content.encoding
        if encoding == b"base64":
            return decode_base64(self._raw[part.body : part.end], limit)
        if encoding == b"quoted-printable":
            return decode_quoted_printable(self._raw[part.body : part.end], limit)
        return self._raw[part.body : min(part.end, part.body + max(limit, 0))]

    def text(self, limit: int = MAX_TEXT) -> str:
        """The body as text in its charset, lines ended by LF, from at most `limit` octets."""
        return decode_text(self.decoded(limit), self._part.charset).replace("\r\n", "\n")


def body_parts(raw: bytes, root: Part) -> list[BodyPart]:
    """Each part in the order of the message, multiparts and the parts of messages inside it included."""
    parts: list[BodyPart] = []
    waiting: list[tuple[Part, str]] = [(root, "" if root.content.is_multipart else "1")]
    while waiting:
        part, number = waiting.pop()
        parts.append(BodyPart(raw, part, number))
        inner = part.children
        if part.content.is_message:
            # RFC 3501 section 6.4.5: the parts of the message inside are numbered behind this part's number; a
            # multipart in it has no number of its own.
            message = inner[0]
            if message.content.is_multipart:
                parts.append(BodyPart(raw, message, number))
                inner = message.children
        prefix = number + "." if number else ""
        waiting.extend((each, f"{prefix}{index}") for index, each in reversed(list(enumerate(inner, 1))))
    return parts


def attachments(raw: bytes, root: Part) -> list[BodyPart]:
    """The parts that `is_attachment`, those of messages inside the message too."""
    return [part for part in body_parts(raw, root) if part.is_attachment]


def readable_text(raw: bytes, root: Part, limit: int = MAX_TEXT) -> str:
    """What a person would read: the text/plain parts that are no attachments; without any, the HTML ones as text.

    At most about `limit` octets are decoded.
    """
    shown = [part for part in body_parts(raw, root) if not part.is_attachment]
    for kind in ("text/plain", "text/html"):
        texts: list[str] = []
        left = limit
        for part in shown:
            if part.content_type == kind and left > 0:
                text = part.text(left)
                left -= max(1, len(text))
                texts.append(html_to_text(text) if kind == "text/html" else text)
        if texts:
            return "\n".join(texts)
    return ""


def html_to_text(markup: str) -> str:
    """The words of HTML without its tags, in linear time; good enough to search, not to show."""
    text = _HIDDEN.sub(" ", markup)
    text = _BREAK.sub("\n", text)
    text = html.unescape(_TAG.sub(" ", text))
    return _BLANK.sub(" ", text).strip()
