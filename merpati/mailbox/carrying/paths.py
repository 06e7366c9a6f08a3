"""Folder names as names of files, and back.  Pure.  No name leads out of the folder that all is written into.

What may not stand in a file's name is written as %XX of its UTF-8; a name that is too long for a file is refused.
"""

from __future__ import annotations

import re

from merpati.errors import Permanent
from merpati.mailbox import utf7 as modified
from merpati.mailbox.names import MAX_LEVEL, checked_name
from merpati.mailbox.values import DELIMITER, BadName, MailboxLimits

MAX_FILE_NAME = 255
"""Bytes of a file's name."""

_UNFIT = re.compile(r"[*%\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ALWAYS = r"%/\\:\x00-\x1f\x7f"
_QUOTED = re.compile(r"(?:%[0-9A-F]{2})+")


def quoted(level: str, also: str = "") -> str:
    """A level of a name as a file's name; characters of `also` are written as %XX too."""
    level = re.sub(f"[{_ALWAYS}{re.escape(also)}]", lambda found: _percent(found[0]), level)
    return _percent(level[0]) + level[1:] if level[:1] == "." else level


def unquoted(name: str) -> str:
    """The level that `quoted` made this of; what it cannot have made stays as it is."""
    return _QUOTED.sub(lambda found: _plain(found[0]), name)


def utf7(name: str) -> str:
    """A name in the modified UTF-7 of RFC 3501 section 5.1.3, in which other servers write names of Maildir folders."""
    return modified.encode(name).decode()


def from_utf7(name: str) -> str:
    """The name that this stands for; what is no modified UTF-7 stays as it is."""
    try:
        return modified.decode(name.encode())
    except ValueError:
        return name


def fitting(name: str, limits: MailboxLimits) -> str:
    """A name that a folder can have, as like this one as can be: other servers allow more than we do."""
    try:
        return checked_name(name, limits)
    except BadName:
        levels = [_UNFIT.sub("_", level).strip()[: MAX_LEVEL // 4] for level in name.split(DELIMITER)]
        levels = [level if level.strip(".") else "_" * max(1, len(level)) for level in levels]
        joined = DELIMITER.join(level.strip() for level in levels[: limits.max_depth])
    try:
        return checked_name(joined, limits)
    except BadName:
        # what is left are formatting characters, or too many long levels
        return checked_name("".join(each if each.isascii() else "_" for each in joined)[:MAX_LEVEL].strip("/ "), limits)


def checked(name: str, folder: str) -> str:
    """The file's name itself.  Raises `Permanent` if it is too long."""
    if len(name.encode()) > MAX_FILE_NAME:
        raise Permanent("this folder's name is too long for a file", folder=folder)
    return name


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _plain(escapes: str) -> str:
    try:
        return bytes.fromhex(escapes.replace("%", "")).decode()
    except UnicodeDecodeError:
        return escapes
