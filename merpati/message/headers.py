"""The header section of a message or of a MIME part, as slices of the bytes it stands in.

Called by the MIME scanner, the envelope, the sections, and whoever wants a header field by name.  Nothing here copies
a message, raises for bad input, or uses more than linear time; a header beyond the limits is cut, never refused: the
end of the section is always found, so that a body is a body however long its header is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from merpati.message.encoded_words import decode_words

MAX_HEADER = 102_400
"""Bytes of a header section in which fields are looked for, and bytes of one field that are decoded (Postfix's cap)."""
MAX_FIELDS = 1_000
"""Fields of one header section that are told apart."""

Field = tuple[bytes, int, int]
"""Name in lower case (empty for a line that is no field), start, end: `raw[start:end]` is name, colon, value, CRLF."""

# RFC 5322 section 2.2: a name is printable US-ASCII without colon (no longer than a line, section 2.1.1); section 4.5
# lets white space stand before the colon.  Section 2.2.3: a line that begins with white space continues the field.
#
# Throughout this package a possessive quantifier stands behind a single set only: behind a group it matches wrongly
# before Python 3.11.5 (gh-106052), and Debian 12 has 3.11.2.
_NAME = rb"(?:([!-9;-~]{1,998}+)[ \t]{0,998}+:)?"
_FIRST_LINE = re.compile(_NAME)
_LINE = re.compile(rb"\n(?![ \t])" + _NAME)
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")


def split_headers(
    raw: bytes, start: int = 0, end: int | None = None, max_fields: int = MAX_FIELDS
) -> tuple[list[Field], int]:
    """The fields of the header section that begins at `start`, and the offset of the body behind its empty line.

    Only an empty line ends the section (RFC 5322 section 2.1); without one it reaches to `end` and the body is empty.
    A line that is no field becomes one without a name.  The slices follow each other without a gap; what lies beyond
    `MAX_HEADER` bytes or `max_fields` fields is one last slice without a name.
    """
    end = len(raw) if end is None else end
    stop, body = _end_of_header(raw, start, end)
    fields: list[Field] = []
    limit = start + MAX_HEADER
    at = start
    name = _name(_FIRST_LINE.match(raw, start, stop)) if max_fields > 0 else b""
    for line in _LINE.finditer(raw, start, stop) if max_fields > 0 else ():
        after = line.start() + 1
        fields.append((name, at, after))
        at = after
        if at >= limit or len(fields) >= max_fields:
            name = b""
            break
        name = (line[1] or b"").lower()
    if at < stop:
        fields.append((name, at, stop))
    return fields, body


def _name(line: re.Match[bytes] | None) -> bytes:
    return ((line and line[1]) or b"").lower()


def _end_of_header(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the last field ends, and where the body begins."""
    if raw.startswith(b"\r\n", start, end):
        return start, start + 2
    if raw.startswith(b"\n", start, end):
        return start, start + 1
    crlf = raw.find(b"\n\r\n", start, end)
    # A message kept with bare LF (IMAP APPEND takes it) has its empty line too.
    lf = raw.find(b"\n\n", start, end if crlf < 0 else crlf + 1)
    if lf >= 0:
        return lf + 1, lf + 2
    return (crlf + 1, crlf + 3) if crlf >= 0 else (end, end)


def field_value(raw: bytes, field: Field) -> bytes:
    """The value of a field: unfolded (RFC 5322 section 2.2.3), without the white space around it, not decoded."""
    name, start, end = field
    text = raw[start : min(end, start + MAX_HEADER)]
    if name:
        text = text[text.index(b":") + 1 :]
    text = text.strip(b" \t\r\n")
    if b"\n" in text:
        text = text.replace(b"\r\n", b"").replace(b"\n", b"")
    return text


def one_line(text: str) -> str:
    """Text with each run of control characters (an encoded word may hold CR, LF, NUL) as one space."""
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


class Headers:
    """The fields of one header section, by name in any case, decoded (RFC 2047) or as they stand."""

    __slots__ = ("_by_name", "_fields", "_raw")

    def __init__(self, raw: bytes, fields: list[Field] | tuple[Field, ...]) -> None:
        self._raw = raw
        self._fields = fields
        self._by_name: dict[bytes, list[Field]] | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Headers:
        """The header section at the start of `raw`."""
        return cls(raw, split_headers(raw)[0])

    def get(self, name: str) -> str | None:
        """The first field of this name as one line of decoded text; None if there is none."""
        found = self._find(name)
        return self._decoded(found[0]) if found else None

    def get_all(self, name: str) -> list[str]:
        """Each field of this name as one line of decoded text, in the order they stand."""
        return [self._decoded(field) for field in self._find(name)]

    def get_raw(self, name: str) -> bytes | None:
        """The value of the first field of this name: unfolded, not decoded."""
        found = self._find(name)
        return field_value(self._raw, found[0]) if found else None

    def get_all_raw(self, name: str) -> list[bytes]:
        """The value of each field of this name: unfolded, not decoded."""
        return [field_value(self._raw, field) for field in self._find(name)]

    def slices(self, name: str) -> list[bytes]:
        """Each field of this name byte for byte: name, colon, folded value, CRLF."""
        return [self._raw[start:end] for _, start, end in self._find(name)]

    def items(self) -> Iterator[tuple[str, str]]:
        """Name in lower case and decoded text of each field, in the order they stand."""
        return ((field[0].decode("ascii"), self._decoded(field)) for field in self._fields if field[0])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._find(name))

    def __iter__(self) -> Iterator[str]:
        return (name.decode("ascii") for name, _, _ in self._fields if name)

    def __len__(self) -> int:
        return sum(1 for name, _, _ in self._fields if name)

    def _decoded(self, field: Field) -> str:
        return one_line(decode_words(field_value(self._raw, field)))

    def _find(self, name: str) -> list[Field]:
        if self._by_name is None:
            self._by_name = {}
            for field in self._fields:
                if field[0]:
                    self._by_name.setdefault(field[0], []).append(field)
        return self._by_name.get(name.lower().encode("utf-8", "replace"), [])
