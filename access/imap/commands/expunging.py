"""EXPUNGE and UID EXPUNGE: what is marked \\Deleted goes (RFC 9051 section 6.4.3, RFC 4315 section 2.1)."""

from __future__ import annotations

from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes
from access.imap.wire.commands import Expunge


@command(Expunge, State.SELECTED)
async def expunge(session: Session, verb: Expunge) -> Reply:
    """The EXPUNGE responses are told by what follows every command."""
    selected = session.selected
    assert selected is not None
    if selected.read_only:
        return Reply("The mailbox is open for reading only", codes.NOPERM, b"NO")
    uids = None if verb.uids is None else verb.uids.members(selected.uids)
    await session.mailbox.expunge(selected.folder, uids)
    return Reply("Expunged")
