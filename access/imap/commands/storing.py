"""STORE: flags of messages (RFC 9051 section 6.4.6), also on condition (RFC 7162 section 3.1.3)."""

from __future__ import annotations

from typing import Literal

from access.imap.selected import Found, flags_line, uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes
from access.imap.wire.commands import Store
from access.imap.wire.sequence import set_of
from merpati.mailbox.api import FolderView, Stored

MODES: dict[str, Literal["set", "add", "remove"]] = {"replace": "set", "add": "add", "remove": "remove"}


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
    flags = tuple(flag for flag in verb.flags if flag != "\\Recent")
    stored = await session.mailbox.store(
        selected.folder, uids_of(found), flags, mode=MODES[verb.how], unchanged_since=verb.unchanged_since
    )
    after = await session.mailbox.folder(selected.folder)
    if verb.silent:
        session.silenced = _believed(verb, flags, found, after, stored)
    await _tell_unchanged(session, verb, found, after, stored)
    if stored.modified:
        numbers = stored.modified if verb.uid else selected.seqs(stored.modified)
        return Reply("Some were changed meanwhile", codes.modified(set_of(numbers)))
    return Reply("Stored")


def _believed(
    verb: Store, flags: tuple[str, ...], found: list[Found], after: FolderView, stored: Stored
) -> dict[int, int]:
    """The flag bits that the client takes its messages to have now, who asked not to be told."""
    named = after.flag_bits(flags)
    changed = set(stored.changed)
    believed = {}
    for _, view, row in found:
        uid, bits = view.uids[row], view.flags[row]
        if uid in changed:
            believed[uid] = named if verb.how == "replace" else bits | named if verb.how == "add" else bits & ~named
    return believed


async def _tell_unchanged(session: Session, verb: Store, found: list[Found], after: FolderView, stored: Stored) -> None:
    """RFC 9051 section 6.4.6: without .SILENT every named message is told, those too that had the flags already."""
    conditional = verb.unchanged_since is not None
    if verb.silent and not conditional:
        return
    done = {*stored.changed, *stored.modified}
    for seq, view, row in found:
        uid = view.uids[row]
        now = after.row(uid)
        if uid in done or now < 0:
            continue
        if verb.silent:
            # RFC 7162 section 3.1.3: of a conditional STORE the MODSEQ is always told
            await session.write_much(b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (seq, uid, after.modseqs[now]))
        else:
            await session.write_much(flags_line(seq, uid, after, now, modseq=session.condstore))
