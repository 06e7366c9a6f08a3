"""STORE: flags of messages (RFC 9051 section 6.4.6), also on condition (RFC 7162 section 3.1.3)."""

from __future__ import annotations

from access.imap.selected import Selected, flags_line, uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes
from access.imap.wire.commands import Store
from access.imap.wire.sequence import set_of
from merpati.mailbox.api import Stored
from merpati.mailbox.types import Uid

MODES = {"replace": "set", "add": "add", "remove": "remove"}


@command(Store, State.SELECTED, tells_expunges=lambda verb: verb.uid)
async def store(session: Session, verb: Store) -> Reply:
    """The changed flags are told by what follows every command; here only what that leaves out."""
    selected = session.selected
    assert selected is not None
    if selected.read_only:
        return Reply("The mailbox is open for reading only", codes.NOPERM, b"NO")
    if not verb.uid and verb.messages.beyond(len(selected.uids)):
        return Reply("No such message", status=b"BAD")
    if verb.unchanged_since is not None:
        session.enabled |= {"CONDSTORE"}
    found = selected.find(verb.messages, uid=verb.uid)
    uids = uids_of(found)
    flags = tuple(flag for flag in verb.flags if flag != "\\Recent")
    stored = await session.mailbox.store(
        selected.folder, uids, flags, mode=MODES[verb.how], unchanged_since=verb.unchanged_since
    )
    await _tell(session, selected, verb, uids, stored)
    if stored.modified:
        numbers = stored.modified if verb.uid else selected.seqs(stored.modified)
        return Reply("Some were changed meanwhile", codes.modified(set_of(numbers)))
    return Reply("Stored")


async def _tell(session: Session, selected: Selected, verb: Store, uids: list[Uid], stored: Stored) -> None:
    """RFC 9051 section 6.4.6: without .SILENT every named message is told, changed or not; with it none."""
    view = await session.mailbox.folder(selected.folder)
    changed = set(stored.changed)
    if "CONDSTORE" in session.enabled:
        # RFC 7162 section 3.1.3: the new MODSEQ is told even with .SILENT
        silent = b"* %d FETCH (UID %d MODSEQ (%d))\r\n"
        for uid in stored.changed:
            if row_seq := selected.seq(uid):
                await session.write_much(silent % (row_seq, uid, stored.modseq))
    if verb.silent:
        session.silenced = frozenset(changed)
        return
    for uid in uids:
        row = view.row(uid)
        if uid not in changed and uid not in stored.modified and row >= 0:
            await session.write_much(flags_line(selected.seq(uid), uid, view, row))
