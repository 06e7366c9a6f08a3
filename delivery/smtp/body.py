"""A message as it goes behind DATA: lines end in CRLF and nothing else, dots are stuffed, the end is a lone dot.

Called by the driver with the message in pieces of any size; however it is cut, the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from merpati.message.wire import END_OF_DATA, dot_stuff, normalise_line_ends

PIECE = 256 * 1024


class Stuffer:
    """One message."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._at_line_start = True

    def feed(self, piece: bytes | memoryview) -> bytes:
        """What is to be written for `piece`."""
        data = self._held + piece if self._held else bytes(piece)
        self._held = b""
        if data.endswith(b"\r"):
            # whether it stands alone, the next piece shows
            self._held, data = b"\r", data[:-1]
        if not data:
            return b""
        # RFC 5321 section 2.3.8: no CR and no LF but as CRLF, or the next server may see an end where there is none
        data = normalise_line_ends(data)
        at_line_start, self._at_line_start = self._at_line_start, data.endswith(b"\n")
        if at_line_start:
            return dot_stuff(data)
        # RFC 5321 section 4.5.2; what stands first here is in the middle of a line
        return data.replace(b"\n.", b"\n..") if b"\n." in data else data

    def end(self) -> bytes:
        """What is to be written behind the last piece."""
        unfinished = self._held or not self._at_line_start
        return b"\r\n" + END_OF_DATA if unfinished else END_OF_DATA


def pieces(message: bytes, size: int = PIECE) -> Iterator[memoryview]:
    """`message` in pieces, none of them copied."""
    view = memoryview(message)
    for at in range(0, len(message), size):
        yield view[at : at + size]
