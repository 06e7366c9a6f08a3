"""A commit with one small message, byte by byte: the example of docs/mailbox-log.md, made from the object itself.

For the second reader, so nothing here comes from merpati: each line is cut from the bytes and says what they hold, in
the order that the page gives.  What does not stand where the page says is an error, or makes another listing.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

WIDTH = 32
"""Bytes on a line."""
HEADS = {0xC4: 2, 0xD9: 2, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xCB: 9}
"""Bytes of a MessagePack value that stand before what it holds, by its first byte; 1 for all others here."""


class Cursor:
    """Where we are in the bytes, and what was said so far."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.lines: list[str] = []

    def take(self, count: int, what: str) -> bytes:
        """The next bytes, whatever they are."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        for start in range(0, max(count, 1), WIDTH):
            row = taken[start : start + WIDTH].hex()
            self.lines.append(f"{row:{2 * WIDTH}}  {what if start == 0 else ''}".rstrip())
        return taken

    def value(self, what: str) -> Any:
        """A value of MessagePack: a number, a text, nil or bytes."""
        first = self._data[self._at]
        size = HEADS.get(first, 1)
        if first in (0xC4, 0xD9):
            size += self._data[self._at + 1]
        elif 0xA0 <= first < 0xC0:
            size += first - 0xA0
        value = msgspec.msgpack.decode(self._data[self._at : self._at + size])
        told = "" if isinstance(value, bytes) and value else f": {_told(value)}"
        self.take(size, f"{what}{told}")
        return value

    def array(self, what: str) -> int:
        """The beginning of an array of less than sixteen."""
        count = self._data[self._at] - 0x90
        if not 0 <= count < 16:
            raise ValueError(f"{what} is no array")
        self.take(1, f"{what}: an array of {count}")
        return count

    def binary(self, what: str) -> None:
        """The beginning of up to 255 bytes that are taken apart in their turn."""
        length = self._data[self._at + 1]
        if self.take(2, f"{what}: {length} bytes")[0] != 0xC4:
            raise ValueError(f"{what} is not binary")


def listing(data: bytes) -> str:
    """The whole object."""
    cursor = Cursor(data)
    cursor.take(8, "MERPATI LF")
    cursor.take(8, f"kind {data[8:9].decode()}, version {data[9]}, six zero bytes")
    head = len(data) - 36 - int.from_bytes(data[-36:-32], "big")
    cursor.take(head - 16, "payload, at offset 16: the one attachment, a message")
    _head(cursor)
    cursor.take(4, f"length of the head: {len(data) - 36 - head}")
    cursor.take(32, "BLAKE2b-256 of the first 16 bytes, the head and its length")
    return "\n".join(cursor.lines)


def _head(cursor: Cursor) -> None:
    cursor.array("head")
    cursor.value("id")
    cursor.value("number")
    cursor.value("id of the commit before")
    cursor.value("time")
    cursor.value("writer")
    cursor.array("parts")
    cursor.array("the part")
    cursor.binary("its changes")
    cursor.array("changes")
    cursor.array("the change")
    cursor.value("letter")
    cursor.value("folder")
    cursor.array("rows")
    cursor.array("the row")
    for what in ("flags", "date", "size"):
        cursor.value(what)
    cursor.binary("summary")
    _summary(cursor)
    for what in ("body, an index into the attachments", "large", "cause", "UID, 0 is the folder's UIDNEXT"):
        cursor.value(what)
    cursor.array("its attachments")
    cursor.array("the attachment")
    cursor.value("length")
    cursor.value("BLAKE2b-256 of it")


def _summary(cursor: Cursor) -> None:
    lengths = struct.unpack(">III", cursor.take(12, "three lengths"))
    for length, what in zip(lengths, ("ENVELOPE", "BODY", "BODYSTRUCTURE"), strict=True):
        cursor.take(length, what)
    cursor.array("for sorting")
    for what in (
        "size", "Date in seconds", "Date in days", "subject", "base subject", "is an answer", "name of the author",
        "address of the author", "Message-ID", "In-Reply-To",
    ):  # fmt: skip
        cursor.value(what)
    cursor.array("References")


def _told(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if value == b"":
        return "no bytes"
    return f'"{value}"' if isinstance(value, str) else str(value)
