"""Folder names: which ones there can be, and in what form they are kept.  Pure.  Names never become keys of the store.

Unicode in normalisation form C (RFC 9051 section 5.1 asks for Net-Unicode), levels apart by `/`, INBOX in upper case.
"""

from __future__ import annotations

import unicodedata

from merpati.mailbox.values import DELIMITER, BadName, MailboxLimits

INBOX = "INBOX"
MAX_LEVEL = 255
"""Bytes of one level in UTF-8."""


def folded(name: str) -> str:
    """A name, or a pattern for names, as they are kept: NFC, a first level that reads INBOX in upper case.

    RFC 9051 section 5.1: INBOX is not case-sensitive; so what lies below it must not be either.
    """
    name = unicodedata.normalize("NFC", name)
    first, slash, rest = name.partition(DELIMITER)
    return INBOX + slash + rest if first.upper() == INBOX and first.isascii() else name


def normalised(name: str) -> str:
    """The form in which a name is looked up: `folded`, no slash at the end."""
    return folded(name.removesuffix(DELIMITER))


def checked_name(name: str, limits: MailboxLimits) -> str:
    """The normalised name of a folder that is to be made.  Raises `BadName`."""
    name = normalised(name)
    levels = name.split(DELIMITER)
    try:
        sizes = [len(level.encode()) for level in levels]
    except UnicodeEncodeError:
        raise BadName("a folder's name must be Unicode") from None
    if not all(sizes):
        raise BadName("a folder's name must not have an empty level")
    if sum(sizes) + len(levels) - 1 > limits.max_name or max(sizes) > MAX_LEVEL:
        raise BadName("a folder's name must not be that long")
    if len(levels) > limits.max_depth:
        raise BadName("folders must not lie that deep")
    if any(level in (".", "..") or level != level.strip() for level in levels):
        raise BadName("a level of a folder's name must not be dots alone, nor begin or end with a space")
    if any(_is_unfit(character) for character in name):
        raise BadName("a folder's name must not hold wildcards, control or formatting characters")
    return name


def above(name: str) -> list[str]:
    """The names of the folders above one, from the top."""
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:count]) for count in range(1, len(levels))]


def is_below(name: str, folder: str) -> bool:
    """Whether a name lies below a folder."""
    return name.startswith(folder + DELIMITER)


def _is_unfit(character: str) -> bool:
    # RFC 9051 section 5.1: no controls, and * and % would make it unlistable; Cf has what turns text around, and the
    # two joiners that some scripts and emoji are written with
    if character in "\u200c\u200d":
        return False
    return character in "*%" or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
