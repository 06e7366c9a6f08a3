"""POP3 after login: what is in the maildrop, its messages, and QUIT, which alone deletes (RFC 1939 sections 5 to 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access.pop3 import wire
from access.pop3.table import ANY, Sorry, State, command
from access.pop3.wire import Dele, List, Noop, Quit, Retr, Rset, Stat, Top, Uidl
from merpati.errors import MerpatiError
from merpati.message.wire import END_OF_DATA
from merpati.net.failures import Disconnected

if TYPE_CHECKING:
    from access.pop3.session import Session

NONE = Sorry("no such message")


@command(Stat, State.TRANSACTION)
async def stat(session: Session, verb: Stat) -> None:
    """Messages and octets."""
    count, octets = session.maildrop.totals()
    session.write(wire.ok(f"{count} {octets}"))


@command(List, State.TRANSACTION)
async def list_(session: Session, verb: List) -> Sorry | None:
    """Octets of one message, or of each."""
    drop = session.maildrop
    if verb.number is None:
        entries = [(number, drop.size(number)) for number in drop.numbers()]
        await session.write_much(wire.listing(f"{len(entries)} messages", entries))
        return None
    if not drop.has(verb.number):
        return NONE
    session.write(wire.ok(f"{verb.number} {drop.size(verb.number)}"))
    return None


@command(Uidl, State.TRANSACTION)
async def uidl(session: Session, verb: Uidl) -> Sorry | None:
    """The unique id of one message, or of each."""
    drop = session.maildrop
    if verb.number is None:
        await session.write_much(wire.listing("", [(number, drop.unique_id(number)) for number in drop.numbers()]))
        return None
    if not drop.has(verb.number):
        return NONE
    session.write(wire.ok(f"{verb.number} {drop.unique_id(verb.number)}"))
    return None


@command(Retr, State.TRANSACTION)
async def retr(session: Session, verb: Retr) -> Sorry | None:
    """The message, dots stuffed."""
    drop = session.maildrop
    if not drop.has(verb.number):
        return NONE
    size = drop.size(verb.number)
    if size > session.context.limits.stream_from:
        await _stream(session, verb.number)
        return None
    for piece in wire.message(f"{size} octets", await drop.message(verb.number)):
        await session.write_much(piece)
    return None


async def _stream(session: Session, number: int) -> None:
    """A large message in pieces; stuffed so that a piece may begin anywhere in a line."""
    size, sent = session.maildrop.size(number), 0
    pieces = session.maildrop.pieces(number)
    piece = await anext(pieces, b"")  # what is missing is noticed before +OK
    await session.write_much(wire.ok(f"{size} octets"))
    end = b"\r\n"
    try:
        while piece:
            sent += len(piece)
            # RFC 1939 section 3: a line that begins with a dot gets another one
            stuffed = piece.replace(b"\n.", b"\n..") if b"\n." in piece else piece
            if piece.startswith(b".") and end.endswith(b"\n"):
                stuffed = b"." + stuffed
            await session.write_much(stuffed)
            end = (end + piece)[-2:] if len(piece) < 2 else piece[-2:]
            piece = await anext(pieces, b"")
    except Disconnected:
        raise
    except MerpatiError as failure:
        session.log.error("body broke off", failure=str(failure))
    if sent != size:
        # a final dot would say that this was all of it
        session.connection.abort()
        raise Disconnected("the message could not be read to its end")
    await session.write_much(END_OF_DATA if end == b"\r\n" else b"\r\n" + END_OF_DATA)


@command(Top, State.TRANSACTION)
async def top(session: Session, verb: Top) -> Sorry | None:
    """The header and some lines."""
    if not session.maildrop.has(verb.number):
        return NONE
    for piece in wire.message("", await session.maildrop.top(verb.number, verb.lines)):
        await session.write_much(piece)
    return None


@command(Dele, State.TRANSACTION)
async def dele(session: Session, verb: Dele) -> Sorry | None:
    """Mark for deletion at QUIT."""
    if not session.maildrop.has(verb.number):
        return NONE
    session.maildrop.mark(verb.number)
    session.write(wire.ok("marked"))
    return None


@command(Noop, State.TRANSACTION)
async def noop(session: Session, verb: Noop) -> None:
    """Nothing."""
    session.write(wire.ok())


@command(Rset, State.TRANSACTION)
async def rset(session: Session, verb: Rset) -> None:
    """Nothing is marked any more."""
    session.maildrop.unmark_all()
    session.write(wire.ok())


@command(Quit, ANY)
async def quit_(session: Session, verb: Quit) -> Sorry | None:
    """RFC 1939 section 6: what is marked is gone for good before +OK is said."""
    session.over = True
    gone = 0
    if session.drop is not None:
        try:
            gone = await session.drop.update()
        except MerpatiError as failure:
            session.log.warning("deletion failed", failure=str(failure))
            # RFC 3206 section 4: nothing is lost, the client may try again
            return Sorry("the messages could not be deleted now", wire.SYS_TEMP)
    session.write(wire.ok(f"{gone} deleted, fly well" if gone else "fly well"))
    return None
