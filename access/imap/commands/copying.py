"""COPY and MOVE: messages into another folder, bodies never copied (RFC 9051 sections 6.4.7 and 6.4.8, RFC 6851)."""

from __future__ import annotations

from access.imap.selected import uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes, responses
from access.imap.wire.commands import Copy, Move
from access.imap.wire.sequence import set_of
from merpati.mailbox.api import Copied


@command(Copy, State.SELECTED)
async def copy(session: Session, verb: Copy) -> Reply:
    """One commit: all or none."""
    selected = session.selected
    assert selected is not None
    if not verb.uid and verb.messages.beyond(len(selected.uids)):
        return Reply("No such message", status=b"BAD")
    uids = uids_of(selected.find(verb.messages, uid=verb.uid))
    # RFC 9208 section 4.3.1: a copy counts as a message of its own; MOVE makes nothing grow
    copied = await session.mailbox.copy(selected.folder, uids, verb.mailbox, quota=await session.quota())
    return Reply("Copied", _code(copied))


@command(Move, State.SELECTED)
async def move(session: Session, verb: Move) -> Reply:
    """One commit; RFC 6851 section 4.3: COPYUID comes untagged, before the EXPUNGEs that tell it."""
    selected = session.selected
    assert selected is not None
    if selected.read_only:
        return Reply("The mailbox is open for reading only", codes.NOPERM, b"NO")
    if not verb.uid and verb.messages.beyond(len(selected.uids)):
        return Reply("No such message", status=b"BAD")
    uids = uids_of(selected.find(verb.messages, uid=verb.uid))
    moved = await session.mailbox.move(selected.folder, uids, verb.mailbox)
    if moved.source:
        session.write(responses.ok("Moved", _code(moved)))
    return Reply("Moved")


def _code(copied: Copied) -> bytes:
    # RFC 4315 section 3: nothing copied, no code
    if not copied.source:
        return b""
    return codes.copy_uid(copied.uidvalidity, set_of(copied.source), set_of(copied.target))
