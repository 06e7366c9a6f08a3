"""Failures of the core as IMAP says them: NO with a response code (RFC 5530, RFC 9051 section 7.1)."""

from __future__ import annotations

from access.imap.table import Reply
from access.imap.wire import codes
from access.imap.wire.commands import Append, Copy, Move, Verb
from merpati.errors import MerpatiError, Temporary
from merpati.mailbox.api import BadName, FolderExists, Forbidden, NoSuchFolder, OverQuota, TooMany

CODES: tuple[tuple[type[MerpatiError], bytes], ...] = (
    (FolderExists, codes.ALREADYEXISTS),
    (BadName, codes.CANNOT),
    (Forbidden, codes.CANNOT),
    (TooMany, codes.LIMIT),
    (OverQuota, codes.OVERQUOTA),
    (NoSuchFolder, codes.NONEXISTENT),
    (Temporary, codes.UNAVAILABLE),
)


def no_for(failure: MerpatiError, verb: Verb) -> Reply:
    """The tagged NO for a failure of a command."""
    if isinstance(failure, NoSuchFolder) and isinstance(verb, Append | Copy | Move):
        # RFC 9051 section 6.3.12: the client may try CREATE first
        return Reply("No such mailbox", codes.TRYCREATE, b"NO")
    code = next((code for kind, code in CODES if isinstance(failure, kind)), b"")
    return Reply(failure.public, code, b"NO")
