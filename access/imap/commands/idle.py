"""IDLE: news as they come, until the client says DONE (RFC 2177).

Nothing is polled: the session sleeps until the account's log has a newer commit or the client sends something.  The log
is looked at once, as IDLE begins: whatever becomes of a push, its news are told when the client says IDLE again, which
RFC 2177 section 3 has it do every 29 minutes.
"""

from __future__ import annotations

import asyncio

from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, command
from access.imap.wire import responses
from access.imap.wire.commands import Idle
from access.imap.wire.events import Fatal, Line
from merpati.errors import MerpatiError
from merpati.net.failures import Disconnected, Draining, TimedOut

MAX_LINE = 64
"""Bytes of what a client may say to end IDLE; it has only DONE to say."""
TRY_AGAIN, MOST_WAIT = 1.0, 30.0
"""Seconds before the log is looked at again after it could not be read: at first, and at last."""


@command(Idle, LOGGED_IN)
async def idle(session: Session, verb: Idle) -> Reply | None:
    """RFC 2177 section 3: anything but DONE is BAD."""
    session.reader.expect_line(MAX_LINE)
    session.write(responses.continuation("idling"))
    await session.tell(expunges=True)
    await session.flush()
    if session.over:
        return None
    line = await _said_while_pushing(session)
    if line is None:
        session.over = True
        return None
    if line.upper() != b"DONE":
        return Reply("DONE was expected", status=b"BAD")
    return Reply("No longer idling")


async def _said_while_pushing(session: Session) -> bytes | None:
    """What the client says to end it; None if the session is over."""
    if session.selected is None:
        return await _said(session)
    said = asyncio.create_task(_said(session))
    pushing = asyncio.create_task(_push(session))
    try:
        await asyncio.wait((said, pushing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (said, pushing):
            task.cancel()
        await asyncio.gather(said, pushing, return_exceptions=True)
    if not said.cancelled():
        return said.result()
    return pushing.result()


async def _push(session: Session) -> None:
    """Tell each change as it becomes known, those of one burst together; ends if the mailbox or the client is gone."""
    known, wait = 0, TRY_AGAIN
    session.mailbox.missed()
    while (selected := session.selected) is not None and not session.over:
        try:
            known = await session.mailbox.wait_changed(max(known, selected.view.number))
            told = await session.tell(expunges=True)
        except Disconnected:
            raise
        except MerpatiError as failure:
            session.log.info("no news in IDLE", failure=str(failure))
            told = False
        await session.flush()
        if told:
            wait = TRY_AGAIN
            continue
        known = 0  # the log could not be read just now: what there is to tell is still to be told
        await session.context.clock.sleep(wait)
        wait = min(2 * wait, MOST_WAIT)


async def _said(session: Session) -> bytes | None:
    """What the client says to end it; None if it went away or was silent for too long."""
    while (event := session.reader.next()) is None:
        try:
            data = await session.connection.read(timeout=session.context.limits.idle, between=True)
        except TimedOut:
            session.bye("Autologout; idle for too long")
            return None
        except Draining:
            session.farewell()
            return None
        if not data:
            return None
        session.reader.feed(data)
    if isinstance(event, Fatal):
        session.write(event.line)
        return None
    return event.text if isinstance(event, Line) else b""
