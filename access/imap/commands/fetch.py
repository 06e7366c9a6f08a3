"""FETCH: what a client wants to know of messages, and their bytes (RFC 9051 section 6.4.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from access.imap import columns
from access.imap.bodies import message_line
from access.imap.selected import Found, Selected, uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes
from access.imap.wire.commands import Fetch
from access.imap.wire.fetch import Att, Item, sets_seen
from merpati.mailbox.api import SEEN, BodyMissing, FolderView

ROWS = 5_000
"""Messages answered in one sweep."""


@command(Fetch, State.SELECTED, tells_expunges=lambda verb: verb.uid)
async def fetch(session: Session, verb: Fetch) -> Reply:
    """Answers by sequence number as the client counts; messages gone meanwhile are still answered."""
    selected = session.selected
    assert selected is not None
    if not verb.uid and verb.messages.beyond(len(selected.uids)):
        return Reply("No such message", status=b"BAD")
    items = _items(session, verb)
    found = selected.find(verb.messages, uid=verb.uid)
    if verb.changed_since is not None:
        found = [one for one in found if one[1].modseqs[one[2]] > verb.changed_since]
    if any(map(sets_seen, items)) and not selected.read_only:
        items = await _mark_seen(session, selected, found, items)
        found = [(seq, *_newest(selected, view, row)) for seq, view, row in found]
    if columns.needs_bytes(items):
        return await _with_bytes(session, found, items)
    for view, run in _by_view(found):
        await session.write_much(await columns.lines(view, run, items))
    return Reply("Fetched")


def _items(session: Session, verb: Fetch) -> tuple[Item, ...]:
    items = list(dict.fromkeys(verb.items))
    if verb.uid and Att.UID not in items:
        items.insert(0, Att.UID)  # RFC 9051 section 6.4.9
    if Att.MODSEQ in items or verb.changed_since is not None:
        session.enabled |= {"CONDSTORE"}
        if Att.MODSEQ not in items:
            items.append(Att.MODSEQ)  # RFC 7162 section 3.1.4.1
    return tuple(items)


async def _mark_seen(
    session: Session, selected: Selected, found: Sequence[Found], items: tuple[Item, ...]
) -> tuple[Item, ...]:
    """RFC 9051 section 6.4.5: fetching a body sets \\Seen, and the flags come with it."""
    unseen = [one for one in found if not one[1].flags[one[2]] & SEEN]
    if not unseen:
        return items
    stored = await session.mailbox.store(selected.folder, uids_of(unseen), ("\\Seen",), mode="add")
    session.silenced = frozenset(stored.changed)  # told here, not again behind the command
    session.write(await selected.news(expunges=False, silent=session.silenced))  # the view must have what is told
    return items if Att.FLAGS in items else (*items, Att.FLAGS)


def _newest(selected: Selected, view: FolderView, row: int) -> tuple[FolderView, int]:
    uid = view.uids[row]
    now = selected.view.row(uid)
    return (selected.view, now) if now >= 0 else (view, row)


async def _with_bytes(session: Session, found: Sequence[Found], items: Sequence[Item]) -> Reply:
    missing = 0
    for seq, view, row in found:
        try:
            await message_line(session, seq, view, row, items)
        except BodyMissing as failure:
            missing += 1
            session.log.error("body missing", uid=view.uids[row], failure=str(failure))
    if missing:
        return Reply(f"{missing} of the messages cannot be read now", codes.UNAVAILABLE, b"NO")
    return Reply("Fetched")


def _by_view(found: Sequence[Found]) -> Iterator[tuple[FolderView, Sequence[Found]]]:
    """Runs of messages of one view, in order, none longer than ROWS."""
    start = 0
    for at in range(1, len(found) + 1):
        if at == len(found) or found[at][1] is not found[start][1] or at - start == ROWS:
            yield found[start][1], found[start:at]
            start = at
