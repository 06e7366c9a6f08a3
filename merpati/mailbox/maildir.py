"""Mailboxes out of and into Maildir++ folders on disk, a message at a time.  Called by the operator's command.

A subfolder is `.` and its levels joined by `.`; what may not stand in a file's name is written as %XX, so that no name
leads out of the folder.  Flags are in the file's name, keywords by letters of `dovecot-keywords`, dates are the file's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from merpati.errors import Permanent
from merpati.mailbox.account import MailAccount
from merpati.mailbox.names import INBOX
from merpati.mailbox.values import DELIMITER, MAX_INLINE, Append, BodyMissing
from merpati.mailbox.views import FolderAt

LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}
FLAGS = {letter: flag for flag, letter in LETTERS.items()}
KEYWORDS = "dovecot-keywords"
"""Lines of number and keyword; keyword 0 is the letter `a` in a file's name, and so on."""
MOST_KEYWORDS = 26
AT_ONCE = 100
"""Messages in one commit of an import."""
PIECE = 1 << 18
MAX_FILE_NAME = 255

_UNSAFE = re.compile(r"[%./\x00-\x1f]")
_QUOTED = re.compile(r"%([0-9A-F]{2})")
_INFO = re.compile(r":2,([A-Za-z]*)\Z")


@dataclass(frozen=True, slots=True)
class Carried:
    """What an export or import did."""

    folders: int = 0
    messages: int = 0
    lost: int = 0
    """Messages whose bytes cannot be read."""


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """A message on disk."""

    date: float
    path: Path
    size: int
    flags: tuple[str, ...]


def folder_path(name: str) -> str:
    """Where a folder is, below the Maildir: empty for INBOX.  Raises `Permanent` if the name is too long for a file."""
    if name == INBOX:
        return ""
    levels = (_UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", level) for level in name.split(DELIMITER))
    path = "." + ".".join(levels)
    if len(path.encode()) > MAX_FILE_NAME:
        raise Permanent("this folder's name is too long for a file", folder=name)
    return path


def folder_name(path: str) -> str:
    """The folder that is there."""
    levels = (_QUOTED.sub(lambda found: chr(int(found[1], 16)), level) for level in path[1:].split("."))
    return DELIMITER.join(levels) if path else INBOX


async def exported(account: MailAccount, target: Path) -> Carried:
    """Write the whole mailbox to `target`, which must not hold anything yet."""
    if await asyncio.to_thread(_occupied, target):
        raise Permanent(f"{target} is not empty")
    done = Carried()
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        here = target / folder_path(name)
        await asyncio.to_thread(_make, here, view)
        messages = lost = 0
        for row in range(view.exists):
            try:
                await _export(account, view, row, here)
                messages += 1
            except BodyMissing:
                lost += 1
        done = Carried(done.folders + 1, done.messages + messages, done.lost + lost)
    return done


def _occupied(target: Path) -> bool:
    return target.exists() and any(target.iterdir())


def _make(here: Path, view: FolderAt) -> None:
    for part in ("tmp", "new", "cur"):
        (here / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    if view.keywords:
        lines = [f"{number} {keyword}\n" for number, keyword in enumerate(view.keywords[:MOST_KEYWORDS])]
        (here / KEYWORDS).write_text("".join(lines), "utf-8")


async def _export(account: MailAccount, view: FolderAt, row: int, here: Path) -> None:
    """Aside first: a torn file must not look like a message."""
    base = f"{view.dates[row]}.U{view.uids[row]:010}.merpati"
    names = view.flag_names(view.flags[row])
    letters = sorted(LETTERS[name] for name in names if name in LETTERS)
    known = view.keywords[:MOST_KEYWORDS]
    letters += sorted(chr(ord("a") + known.index(name)) for name in names if name in known)
    aside = here / "tmp" / base
    try:
        with await asyncio.to_thread(open, aside, "xb") as file:
            async for piece in account.body_stream(view.body(row)):
                await asyncio.to_thread(file.write, piece)
        os.utime(aside, (view.dates[row], view.dates[row]))
        aside.rename(here / "cur" / f"{base}:2,{''.join(letters)}")
    finally:
        aside.unlink(missing_ok=True)


async def imported(account: MailAccount, source: Path) -> Carried:
    """Append what is in the Maildir `source`.  Doing it again within two weeks adds only what is new."""
    paths = await asyncio.to_thread(_subfolders, source)
    await account.refresh()
    done = Carried()
    for path in ["", *paths]:
        name, messages = folder_name(path), 0
        batch: list[Append] = []
        for file in await asyncio.to_thread(_files, source / path):
            batch.append(await _message(account, name, file))
            if len(batch) == AT_ONCE:
                messages += await _append(account, batch)
                batch = []
        messages += await _append(account, batch)
        done = Carried(done.folders + 1, done.messages + messages)
    return done


def _subfolders(source: Path) -> list[str]:
    if not (source / "cur").is_dir():
        raise Permanent(f"{source} is no Maildir: it has no folder `cur`")
    return sorted(one.name for one in source.iterdir() if one.name.startswith(".") and (one / "cur").is_dir())


def _files(here: Path) -> list[_File]:
    """The messages of a folder in the order they came."""
    keywords = _keywords(here / KEYWORDS)
    found = []
    for part in ("cur", "new"):
        for path in (here / part).iterdir() if (here / part).is_dir() else ():
            info, stat = _INFO.search(path.name), path.stat()
            flags = [FLAGS.get(letter) or keywords.get(letter, "") for letter in (info[1] if info else "")]
            if path.is_file():
                found.append(_File(stat.st_mtime, path, stat.st_size, tuple(flag for flag in flags if flag)))
    return sorted(found)


def _keywords(file: Path) -> dict[str, str]:
    """Keywords by letter."""
    found = {}
    for line in file.read_text("utf-8", "replace").splitlines() if file.is_file() else ():
        number, _, keyword = line.partition(" ")
        if number.isdecimal() and int(number) < MOST_KEYWORDS:
            found[chr(ord("a") + int(number))] = keyword
    return found


async def _message(account: MailAccount, folder: str, file: _File) -> Append:
    content = await account.put_large(_pieces(file.path)) if file.size > MAX_INLINE else await _whole(file.path)
    cause = f"maildir {folder} {file.path.name.partition(':')[0]}"
    return Append(folder, content, file.flags, file.date, cause)


async def _whole(file: Path) -> bytes:
    return b"".join([piece async for piece in _pieces(file)])


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    """The message with CRLF at the ends of its lines: many a Maildir has none at all."""
    with await asyncio.to_thread(open, file, "rb") as opened:
        piece = await asyncio.to_thread(opened.read, PIECE)
        bare = b"\r" not in piece
        while piece:
            yield piece.replace(b"\n", b"\r\n") if bare else piece
            piece = await asyncio.to_thread(opened.read, PIECE)


async def _append(account: MailAccount, batch: list[Append]) -> int:
    if not batch:
        return 0
    return sum(not one.duplicate for one in await account.append(batch, create=True))
