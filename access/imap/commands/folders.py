"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: the tree of folders."""

from __future__ import annotations

from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, command
from access.imap.wire import codes
from access.imap.wire.commands import Create, Delete, Rename, Subscribe, Unsubscribe
from merpati.mailbox.api import DELIMITER, Forbidden

USES = frozenset({"\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"})


@command(Create, LOGGED_IN)
async def create(session: Session, verb: Create) -> Reply:
    """RFC 9051 section 6.3.4: a trailing separator only says that folders below will follow."""
    if unknown := [use for use in verb.use if use not in USES]:
        return Reply(f"No such use: {unknown[0][:20]}", codes.USEATTR, b"NO")
    if len(verb.use) > 1:
        return Reply("One use a folder", codes.USEATTR, b"NO")
    try:
        await session.mailbox.create(verb.mailbox.removesuffix(DELIMITER), "".join(verb.use))
    except Forbidden as failure:
        return Reply(failure.public, codes.USEATTR, b"NO")  # RFC 6154 section 3: that use is given already
    info = session.mailbox.view().find(verb.mailbox)
    return Reply("Created", codes.mailbox_id(info.mailbox_id) if info else b"")


@command(Delete, LOGGED_IN)
async def delete(session: Session, verb: Delete) -> Reply:
    """RFC 9051 section 6.3.5."""
    selected = session.selected
    info = (await session.mailbox.refresh()).find(verb.mailbox)
    await session.mailbox.delete(verb.mailbox)
    if selected is not None and info is not None and selected.folder == info.id:
        session.selected = None  # the client did it itself: no need for BYE
    return Reply("Deleted")


@command(Rename, LOGGED_IN)
async def rename(session: Session, verb: Rename) -> Reply:
    """RFC 9051 section 6.3.6."""
    await session.mailbox.rename(verb.mailbox.removesuffix(DELIMITER), verb.target.removesuffix(DELIMITER))
    return Reply("Renamed")


@command(Subscribe, LOGGED_IN)
async def subscribe(session: Session, verb: Subscribe) -> Reply:
    """RFC 9051 section 6.3.7."""
    await session.mailbox.subscribe(verb.mailbox.removesuffix(DELIMITER))
    return Reply("Subscribed")


@command(Unsubscribe, LOGGED_IN)
async def unsubscribe(session: Session, verb: Unsubscribe) -> Reply:
    """RFC 9051 section 6.3.8."""
    await session.mailbox.unsubscribe(verb.mailbox.removesuffix(DELIMITER))
    return Reply("Unsubscribed")
