"""FETCH: what a client wants to know of messages, and their bytes (RFC 9051 section 6.4.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile

from access.imap import columns
from access.imap.bodies import HEAD, message_line
from access.imap.selected import Found, Selected, by_view, uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes
from access.imap.wire.commands import Fetch
from access.imap.wire.fetch import Att, Item, sets_seen
from merpati.errors import Temporary
from merpati.mailbox.api import SEEN, BodyMissing, BodyRef, FolderView, Stored
from merpati.mailbox.reading import Ahead
from merpati.telemetry import logger

ROWS = 5_000
"""Messages answered in one sweep."""
SEEN_WITHIN = 3.0
"""Seconds that a body is kept back for its \\Seen to be durable."""


@command(Fetch, State.SELECTED, tells_expunges=lambda verb: verb.uid)
async def fetch(session: Session, verb: Fetch) -> Reply:
    """Answers by sequence number as the client counts; messages gone meanwhile are still answered."""
    selected = session.selected
    assert selected is not None
    if not verb.uid and verb.messages.beyond(len(selected.uids)):
        return Reply("No such message", status=b"BAD")
    if verb.vanished:
        return Reply("QRESYNC is not enabled", status=b"BAD")  # RFC 7162 section 3.2.6
    items = _items(session, verb)
    found = selected.find(verb.messages, uid=verb.uid)
    if verb.changed_since is not None:
        found = [one for one in found if one[1].modseqs[one[2]] > verb.changed_since]
    if any(map(sets_seen, items)) and not selected.read_only:
        items = await _mark_seen(session, selected, found, items)
        found = [(seq, *_newest(selected, view, row)) for seq, view, row in found]
    if columns.needs_bytes(items):
        return await _with_bytes(session, found, items)
    for view, run in by_view(found, ROWS):
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
    storing = asyncio.ensure_future(session.mailbox.store(selected.folder, uids_of(unseen), ("\\Seen",), mode="add"))
    done, _ = await asyncio.wait((storing,), timeout=SEEN_WITHIN)
    if not done or isinstance(storing.exception(), Temporary):
        # a store that takes nothing in must not keep anybody from reading; if it is done later, it is told later
        storing.add_done_callback(_late)
        session.log.warning("not marked as seen", uids=len(unseen))
        return items
    stored = storing.result()
    changed = set(stored.changed)
    told = {view.uids[row]: view.flags[row] | SEEN for _, view, row in unseen if view.uids[row] in changed}
    # the view must have what is told; flags that somebody else set besides are told by this
    session.write(await selected.news(expunges=False, modseq=session.condstore, silent=told))
    wanted = (Att.FLAGS, Att.MODSEQ) if session.condstore else (Att.FLAGS,)
    return (*items, *(item for item in wanted if item not in items))


def _late(storing: asyncio.Future[Stored]) -> None:
    if not storing.cancelled() and (failure := storing.exception()) is not None:
        logger("access/imap").info("not marked as seen", failure=str(failure))


def _newest(selected: Selected, view: FolderView, row: int) -> tuple[FolderView, int]:
    uid = view.uids[row]
    now = selected.view.row(uid)
    return (selected.view, now) if now >= 0 else (view, row)


async def _with_bytes(session: Session, found: Sequence[Found], items: Sequence[Item]) -> Reply:
    missing = 0
    ahead = Ahead(session.mailbox.body)
    try:
        for place, (seq, view, row) in enumerate(found, 1):
            read = partial(ahead.body, following=_following(found, place))
            try:
                await message_line(session, seq, view, row, items, read)
            except BodyMissing as failure:
                missing += 1
                session.log.error("body missing", uid=view.uids[row], failure=str(failure))
    finally:
        ahead.close()
    if missing:
        return Reply(f"{missing} of the messages cannot be read now", codes.UNAVAILABLE, b"NO")
    return Reply("Fetched")


def _following(found: Sequence[Found], place: int) -> Iterator[BodyRef]:
    """The messages that are answered from `place` on, as far as all of each is read at once."""
    refs = (found[at][1].body(found[at][2]) for at in range(place, len(found)))
    return takewhile(lambda ref: ref.size <= HEAD, refs)
