"""Maildir++ folders on disk, written and read.  Handed to `leaving` and `arriving`; knows nothing of a mailbox's log.

A subfolder is `.` and its levels joined by `.`, in modified UTF-7 as Dovecot and Courier write it.  Flags are in the
file's name, keywords by letters of `dovecot-keywords`, dates are the file's, UIDs are in `dovecot-uidlist`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from merpati.errors import Permanent
from merpati.ids import digest_of
from merpati.mailbox.carrying.paths import checked, from_utf7, quoted, unquoted, utf7
from merpati.mailbox.carrying.spooling import PIECE, Content
from merpati.mailbox.carrying.values import MAX_MESSAGE, Carried, Departing, Incoming, Outgoing, Unreadable
from merpati.mailbox.names import INBOX
from merpati.mailbox.values import DELIMITER

LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
FLAGS = {letter: flag for flag, letter in LETTERS.items()}
KEYWORDS = "dovecot-keywords"
"""Lines of number and keyword; keyword 0 is the letter `a` in a file's name, and so on."""
UIDS = "dovecot-uidlist"
"""`3 V` UIDVALIDITY ` N` UIDNEXT ` G` GUID, then lines of UID, ` :` and the file's name up to its flags."""
SUBSCRIPTIONS = "subscriptions"
"""Names, levels joined by `.`, a line each."""
MOST_KEYWORDS = 26
MAX_TABLE = 1 << 20
"""Bytes of a table of keywords or subscriptions that are read."""

_INFO = re.compile(r":2,([A-Za-z]*)\Z")


def folder_path(name: str) -> str:
    """Where a folder is, below the Maildir: empty for INBOX.  Raises `Permanent` if the name is too long for a file."""
    return "" if name == INBOX else checked("." + _dotted(name), name)


def folder_name(path: str) -> str:
    """The folder that is there."""
    return DELIMITER.join(unquoted(level) for level in from_utf7(path[1:]).split(".")) if path else INBOX


def _dotted(name: str) -> str:
    return utf7(".".join(quoted(level, ".") for level in name.split(DELIMITER)))


class MaildirWriter:
    """A Maildir that must not hold anything yet.  A message is written aside first, so that none is seen torn."""

    def __init__(self, target: Path) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise Permanent(f"{target} is not empty")
        self._target = target
        self._here = target
        self._known: tuple[str, ...] = ()
        self._uids: list[str] = []

    def folder(self, folder: Departing) -> str:
        self._list_uids()
        self._here = self._target / folder_path(folder.name)
        for part in ("tmp", "new", "cur"):
            (self._here / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known = folder.keywords[:MOST_KEYWORDS]
        if self._known:
            lines = [f"{number} {keyword}\n" for number, keyword in enumerate(self._known)]
            (self._here / KEYWORDS).write_text("".join(lines), "utf-8")
        if folder.subscribed:
            with open(self._target / SUBSCRIPTIONS, "a", encoding="utf-8") as file:
                file.write(_dotted(folder.name) + "\n")
        guid = digest_of(folder.name.encode())[:32]
        self._uids = [f"3 V{folder.uidvalidity} N{folder.uidnext} G{guid}\n"]
        beyond = folder.keywords[MOST_KEYWORDS:]
        return f"a Maildir has room for {MOST_KEYWORDS} keywords, but not for {' '.join(beyond)}" if beyond else ""

    def write(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            if message.content is not None:
                self._write(message, message.content)

    def close(self, done: Carried) -> None:
        self._list_uids()

    def abandon(self) -> None:
        """What is there stays, for each message is whole."""

    def _write(self, message: Outgoing, content: Content) -> None:
        base = f"{message.date}.U{message.uid:010}.merpati"
        letters = sorted(LETTERS[name] for name in message.flags if name in LETTERS)
        letters += sorted(chr(ord("a") + self._known.index(name)) for name in message.flags if name in self._known)
        aside = self._here / "tmp" / base
        try:
            with open(aside, "xb") as file:
                file.writelines(content.pieces())
            os.utime(aside, (message.date, message.date))
            aside.rename(self._here / "cur" / f"{base}:2,{''.join(letters)}")
        finally:
            aside.unlink(missing_ok=True)
        self._uids.append(f"{message.uid} :{base}\n")

    def _list_uids(self) -> None:
        if self._uids:
            (self._here / UIDS).write_text("".join(self._uids), "utf-8")


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """A message on disk."""

    date: float
    path: Path
    flags: tuple[str, ...]


class MaildirReader:
    """A Maildir of whichever server."""

    def __init__(self, source: Path, only: str = "") -> None:
        if not (source / "cur").is_dir():
            raise Unreadable(f"{source} is no Maildir: it has no folder `cur`")
        self._source = source
        found = sorted(one.name for one in source.iterdir() if one.name[:1] == "." and (one / "cur").is_dir())
        self._paths = [path for path in ["", *found] if not only or folder_name(path) == only]
        if not self._paths:
            raise Unreadable(f"there is no folder {only} in {source}")

    def folders(self) -> Sequence[str]:
        return [folder_name(path) for path in self._paths]

    def messages(self) -> Iterator[Incoming]:
        for path in self._paths:
            name = folder_name(path)
            for file in _files(self._source / path):
                yield _incoming(name, file)


def _incoming(folder: str, file: _File) -> Incoming:
    base = file.path.name.partition(":")[0]
    content, refused = Content(), ""
    try:
        with open(file.path, "rb") as opened:
            piece = opened.read(PIECE)
            # many a Maildir has no CRLF at the ends of its lines at all
            bare = b"\r" not in piece
            while piece and content.size <= MAX_MESSAGE:
                content.add(piece.replace(b"\n", b"\r\n") if bare else piece)
                piece = opened.read(PIECE)
    except OSError as error:
        # it may have been renamed while it was read, if its server runs: the next import finds it
        refused = f"it cannot be read: {error.strerror}"
    return Incoming(folder, content, file.flags, file.date, f"maildir {folder} {base}", str(file.path), refused)


def _files(here: Path) -> list[_File]:
    """The messages of a folder in the order they came."""
    keywords = _keywords(here / KEYWORDS)
    found = []
    for part in ("cur", "new"):
        for path in (here / part).iterdir() if (here / part).is_dir() else ():
            info = _INFO.search(path.name)
            flags = [FLAGS.get(letter) or keywords.get(letter, "") for letter in (info[1] if info else "")]
            if path.name[0] != "." and (status := _status(path)) is not None:
                found.append(_File(status.st_mtime, path, tuple(flag for flag in flags if flag)))
    return sorted(found)


def _status(path: Path) -> os.stat_result | None:
    """None if this is no file.  A link is none: it may lead to what is nobody's mail."""
    try:
        status = path.lstat()
    except FileNotFoundError:  # renamed by its server a moment ago
        return os.stat_result((0,) * 10)
    return status if stat.S_ISREG(status.st_mode) else None


def _keywords(file: Path) -> dict[str, str]:
    """Keywords by letter."""
    found = {}
    for line in _lines(file):
        number, _, keyword = line.partition(" ")
        if number.isdecimal() and int(number) < MOST_KEYWORDS:
            found[chr(ord("a") + int(number))] = keyword
    return found


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        return []
    with open(file, encoding="utf-8", errors="replace") as opened:
        return opened.read(MAX_TABLE).splitlines()
