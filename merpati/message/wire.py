"""Octets as SMTP and POP3 carry them: dot-stuffing, line ends, line lengths.

Called by ingest, the SMTP client and POP3.  Works on a whole message, or on any piece of one that begins at the start
of a line; every function runs at the speed of `bytes.find` and `bytes.replace` and copies at most once.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322 section 2.1.1)."""
END_OF_DATA = b".\r\n"
"""What follows the last CRLF of the data (RFC 5321 section 4.1.1.4)."""


def dot_stuff(octets: bytes) -> bytes:
    """Lines that begin with a dot get another one (RFC 5321 section 4.5.2, RFC 1939 section 3)."""
    if b"\n." in octets:
        octets = octets.replace(b"\n.", b"\n..")
    return b"." + octets if octets.startswith(b".") else octets


def dot_unstuff(octets: bytes) -> bytes:
    """Lines that begin with a dot lose it."""
    if octets.startswith(b"."):
        octets = octets[1:]
    return octets.replace(b"\n.", b"\n") if b"\n." in octets else octets


def as_data(octets: bytes) -> bytes:
    """A message as it is sent behind DATA or RETR: stuffed, ended by CRLF if it was not, and the final dot."""
    stuffed = dot_stuff(octets)
    if not stuffed or stuffed.endswith(b"\r\n"):
        return stuffed + END_OF_DATA
    return stuffed + b"\r\n" + END_OF_DATA


def has_bare_line_end(octets: bytes) -> bool:
    """Whether a CR or a LF stands alone (RFC 5321 section 2.3.8 forbids both).

    A piece of a message must not be cut between CR and LF.
    """
    pairs = octets.count(b"\r\n")
    return octets.count(b"\n") != pairs or octets.count(b"\r") != pairs


def first_bare_line_end(octets: bytes) -> int:
    """The offset of the first CR or LF that stands alone; -1 if there is none."""
    at = 0
    while True:
        cr, lf = octets.find(b"\r", at), octets.find(b"\n", at)
        if cr < 0 or (0 <= lf < cr):
            return lf
        if octets[cr + 1 : cr + 2] != b"\n":
            return cr
        at = cr + 2


def normalise_line_ends(octets: bytes) -> bytes:
    """Each bare CR and bare LF as CRLF.  The same object if there is none."""
    if not has_bare_line_end(octets):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def has_long_line(octets: bytes, limit: int = MAX_LINE) -> bool:
    """Whether a line is longer than `limit` octets without its line end.

    Looks for a LF in the next `limit` + 2 octets from the far end on, and goes on from there.
    """
    at, end = 0, len(octets)
    while end - at > limit:
        line_end = octets.rfind(b"\n", at, at + limit + 2)
        if line_end < 0:
            return end - at > limit + 1 or not octets.endswith(b"\r")
        if line_end - at > limit and octets[line_end - 1] != 0x0D and octets.find(b"\n", at, line_end) < 0:
            return True
        at = line_end + 1
    return False


def kept_of(raw: bytes, without: Sequence[tuple[int, int]]) -> list[memoryview]:
    """The pieces of `raw` outside the ranges `without` ([start, end), ascending, apart); nothing is copied."""
    view = memoryview(raw)
    starts = [0, *(end for _, end in without)]
    ends = [*(start for start, _ in without), len(raw)]
    return [view[start:end] for start, end in zip(starts, ends, strict=True)]
