"""Which form a mailbox goes out to or comes in from, told by a name or the first bytes.  Called by the commands."""

from __future__ import annotations

import io
from enum import StrEnum
from pathlib import Path

from merpati.mailbox.carrying.archive_format import GZIP, HEAD
from merpati.mailbox.carrying.mbox import SUFFIX, begins_as_mbox
from merpati.mailbox.carrying.values import Unreadable

STANDARD = "-"
"""Standard input or output."""
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")


class Form(StrEnum):
    """What mailboxes are carried in."""

    MAILDIR = "maildir"
    MBOX = "mbox"
    ARCHIVE = "archive"


def form_of_target(target: str) -> Form:
    """The form that a name asks for; without a sign, and for a folder, Maildir."""
    if target == STANDARD or target.endswith(ARCHIVE_SUFFIXES):
        return Form.ARCHIVE
    return Form.MBOX if target.endswith(SUFFIX) else Form.MAILDIR


def form_of_source(source: Path) -> Form:
    """The form of what is there.  Raises `Unreadable`."""
    if (source / "cur").is_dir():
        return Form.MAILDIR
    if source.is_dir():
        if (source / HEAD).exists():
            raise Unreadable(f"{source} is an archive that was unpacked: import the archive itself")
        return Form.MBOX
    if not source.exists():
        raise Unreadable(f"{source} is not there")
    if begins_as_mbox(source):
        return Form.MBOX
    with open(source, "rb") as file:
        return form_of_bytes(file.read(len(HEAD)), str(source))


def form_of_stream(file: io.BufferedReader) -> Form:
    """The form of what will be read; nothing is taken from it.  Raises `Unreadable`."""
    return form_of_bytes(file.peek(len(HEAD))[: len(HEAD)], "standard input")


def form_of_bytes(first: bytes, place: str) -> Form:
    """The form of what begins like this.  Raises `Unreadable`."""
    if first.startswith(GZIP) or first == HEAD.encode():
        return Form.ARCHIVE
    if first.lstrip(b"\r\n").startswith(b"From "):
        return Form.MBOX
    raise Unreadable(f"{place} is none of Maildir, mbox and archive; if you know which, say --format")
