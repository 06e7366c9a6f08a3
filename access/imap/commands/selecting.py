"""SELECT and EXAMINE, CLOSE and UNSELECT: opening a mailbox and leaving it."""

from __future__ import annotations

from access.imap.selected import Selected
from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, State, command
from access.imap.wire import codes, responses
from access.imap.wire.commands import Close, Select, Unselect


@command(Select, LOGGED_IN)
async def select(session: Session, verb: Select) -> Reply:
    """RFC 9051 section 6.3.2: a strong read; if it fails, no mailbox is selected."""
    if verb.qresync is not None:
        return Reply("QRESYNC is not enabled", status=b"BAD")  # RFC 7162 section 3.2.5
    if session.selected is not None:
        session.selected = None
        session.write(responses.ok("The mailbox before is closed", codes.CLOSED))
    view = await session.mailbox.folder(verb.mailbox, fresh=True)
    if verb.condstore:
        session.enabled |= {"CONDSTORE"}  # RFC 7162 section 3.1: one of the enabling commands
    session.selected = Selected(session.mailbox, view, read_only=verb.read_only)
    session.write(session.selected.opening())
    return Reply("Selected", codes.READ_ONLY if verb.read_only else codes.READ_WRITE)


@command(Close, State.SELECTED)
async def close(session: Session, verb: Close) -> Reply:
    """RFC 9051 section 6.4.1: what is marked goes, and nothing is told of it."""
    selected, session.selected = session.selected, None
    if selected is not None and not selected.read_only:
        await session.mailbox.expunge(selected.folder)
    return Reply("Closed")


@command(Unselect, State.SELECTED)
async def unselect(session: Session, verb: Unselect) -> Reply:
    """RFC 3691: as CLOSE, and nothing goes."""
    session.selected = None
    return Reply("Unselected")
