"""The header fields in which an mbox keeps what a mailbox knows of a message.  Pure; used by `mbox`.

They belong to the file and not to the message: left out of what is written (nobody sets flags by sending them), and
taken out of what is read.  Ours stand first and end with `X-Merpati-Lines`, so that what follows is byte for byte the
message's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FIELDS = (
    *(b"status", b"x-status", b"x-keywords", b"x-uid", b"x-imap", b"x-imapbase", b"content-length"),
    *(b"x-mozilla-status", b"x-mozilla-status2", b"x-mozilla-keys", b"x-merpati-lines"),
)
MAX_HEADER = 1 << 18
"""Bytes in which a header must end for these fields to be found in it."""
X_STATUS = {"\\Answered": "A", "\\Flagged": "F", "\\Draft": "T", "\\Deleted": "D"}
_OF_X_STATUS = {letter: name for name, letter in X_STATUS.items()}
_OF_MOZILLA = {1: "\\Seen", 2: "\\Answered", 4: "\\Flagged"}
_MOZILLA_EXPUNGED = 8
KEPT = "kept"
"""The lines of this message have the ends that they had, for not all were CRLF."""
UNENDED = "unended"
"""The last line of this message had no end."""

_END = re.compile(rb"(?:\A|(?<=\n))\r?\n")
_FIELD = re.compile(
    rb"^(" + b"|".join(FIELDS) + rb")[ \t]*:([^\n]*\n?(?:[ \t][^\n]*\n?)*)", re.MULTILINE | re.IGNORECASE
)
_OURS = re.compile(
    rb"(?:(?:Status|X-Status|X-Keywords|X-UID|X-IMAPbase):[^\n]*\n)*X-Merpati-Lines:([^\n]*)\n", re.IGNORECASE
)
_INTERNAL = re.compile(rb"^Subject: DON'T DELETE THIS MESSAGE", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Status:
    """What these fields say."""

    flags: tuple[str, ...] = ()
    lines: frozenset[str] = frozenset()
    expunged: bool = False
    """It is only waiting to be cleared away, or is no message at all."""


def header_end(head: bytes, *, whole: bool) -> int:
    """Where the blank line behind the header begins; -1 if not within MAX_HEADER bytes.  `whole`: nothing follows."""
    found = _END.search(head, 0, MAX_HEADER)
    if found is None:
        return len(head) if whole and len(head) <= MAX_HEADER else -1
    return found.start()


def without_fields(head: bytes, *, whole: bool) -> bytes:
    """The beginning of a message without these fields."""
    end = header_end(head, whole=whole)
    return head if end < 0 else _FIELD.sub(b"", head[:end]) + head[end:]


def written(uid: int, flags: Sequence[str], lines: Iterable[str], base: str) -> bytes:
    """The fields of a message.  `base`: what the first message says of the folder, else empty."""
    x_status = "".join(letter for name, letter in X_STATUS.items() if name in flags)
    keywords = " ".join(name for name in flags if name[0] != "\\")
    fields = [
        f"X-IMAPbase: {base}\n" if base else "",
        f"X-UID: {uid}\n",
        "Status: RO\n" if "\\Seen" in flags else "Status: O\n",
        f"X-Status: {x_status}\n" if x_status else "",
        f"X-Keywords: {keywords}\n" if keywords else "",
        f"X-Merpati-Lines: {' '.join(lines)}\n",
    ]
    return "".join(fields).encode()


def read(head: bytes, *, whole: bool) -> tuple[bytes, Status]:
    """The beginning of a message as it was, and what the fields in it said."""
    flags: dict[str, None] = {}
    block, lines = b"", frozenset[str]()
    if ours := _OURS.match(head):
        block, head = ours[0], head[ours.end() :]
        lines = frozenset(ours[1].decode("ascii", "replace").split())
    end = max(header_end(head, whole=whole), 0)
    # c-client keeps what it knows of a folder in a message that is none
    expunged = _INTERNAL.search(head, 0, end) is not None and b"\nX-IMAP:" in b"\n" + head[:end]
    for source in (block, head[:end]):
        for found in _FIELD.finditer(source):
            expunged |= _read_field(found[1].lower(), found[2].decode("ascii", "replace").strip(), flags)
    return _FIELD.sub(b"", head[:end]) + head[end:], Status(tuple(flags), lines, expunged)


def _read_field(name: bytes, value: str, flags: dict[str, None]) -> bool:
    """Take the flags of one field; True if it says that the message is gone."""
    if name == b"status" and "R" in value:
        flags["\\Seen"] = None
    elif name == b"x-status":
        flags.update({_OF_X_STATUS[letter]: None for letter in value if letter in _OF_X_STATUS})
    elif name in (b"x-keywords", b"x-mozilla-keys"):
        flags.update({word: None for word in value.replace(",", " ").split() if word[0] != "\\"})
    elif name == b"x-mozilla-status":
        bits = int(value, 16) if re.fullmatch("[0-9a-fA-F]{1,8}", value) else 0
        flags.update({flag: None for bit, flag in _OF_MOZILLA.items() if bits & bit})
        return bool(bits & _MOZILLA_EXPUNGED)
    return False
