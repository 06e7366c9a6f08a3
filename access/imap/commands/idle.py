"""IDLE: news as they come, until the client says DONE (RFC 2177).

Nothing is polled: the session sleeps until the account's log has a newer commit or the client sends something.
"""

from __future__ import annotations

import asyncio

from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, command
from access.imap.wire import responses
from access.imap.wire.commands import Idle
from access.imap.wire.events import Line
from merpati.net.streams import Draining, TimedOut

MAX_LINE = 64
"""Bytes of what a client may say to end IDLE; it has only DONE to say."""


@command(Idle, LOGGED_IN)
async def idle(session: Session, verb: Idle) -> Reply:
    """RFC 2177 section 3: anything but DONE is BAD."""
    session.reader.expect_line(MAX_LINE)
    session.write(responses.continuation("idling"))
    await session.tell(expunges=True)
    await session.flush()
    pushing = asyncio.create_task(_push(session)) if session.selected is not None else None
    try:
        line = await _said(session)
    finally:
        if pushing is not None:
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)
    if line is None:
        session.over = True
        return Reply("Gone", status=b"BAD")
    if line.upper() != b"DONE":
        return Reply("DONE was expected", status=b"BAD")
    return Reply("No longer idling")


async def _push(session: Session) -> None:
    """Tell each change as it becomes known; flags and arrivals of one burst together."""
    known = 0
    while (selected := session.selected) is not None and not session.over:
        known = await session.mailbox.wait_changed(max(known, selected.view.number))
        await session.tell(expunges=True)
        await session.flush()


async def _said(session: Session) -> bytes | None:
    """What the client says to end it; None if it went away or was silent for too long."""
    while (event := session.reader.next()) is None:
        try:
            data = await session.connection.read(timeout=session.context.limits.idle, between=True)
        except TimedOut:
            session.bye("Autologout; idle for too long")
            return None
        except Draining:
            session.bye("This server is being restarted; come again")
            return None
        if not data:
            return None
        session.reader.feed(data)
    return event.text if isinstance(event, Line) else b""
