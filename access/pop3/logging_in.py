"""POP3 before login: STLS, USER and PASS, AUTH; and CAPA, which says what is offered in each state."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from access.login import Abandoned, Cancelled, Malformed, NoMechanism, Principal, Refused
from access.pop3 import wire
from access.pop3.table import ANY, Sorry, State, command
from access.pop3.wire import Apop, Auth, Capa, Fatal, Line, Pass, Stls, User
from merpati.auth.sasl import decode_response, encode
from merpati.errors import Temporary
from merpati.net.failures import Disconnected, InjectedPlaintext

if TYPE_CHECKING:
    from access.pop3.session import Session

PRIVACY = Sorry("not in clear: use TLS")
FAILED = Sorry("authentication failed", wire.AUTH)
"""One wording, whatever was wrong: nobody learns which names there are."""
UNAVAILABLE = Sorry("cannot check that now; try again", wire.SYS_TEMP)


@command(Capa, ANY)
async def capa(session: Session, verb: Capa) -> None:
    """RFC 2449 section 5."""
    lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
    if session.state is State.AUTHORIZATION:
        if session.context.tls is not None and session.connection.tls is None:
            lines.append("STLS")
        if session.context.door.may_login(session.connection):
            lines += ["USER", f"SASL {' '.join(session.context.door.mechanisms(session.connection))}"]
    session.write(wire.capabilities([*lines, "IMPLEMENTATION Merpati"]))


@command(Stls, State.AUTHORIZATION)
async def stls(session: Session, verb: Stls) -> Sorry | None:
    """RFC 2595 section 4."""
    connection = session.connection
    if connection.tls is not None:
        return Sorry("TLS is active")
    if session.context.tls is None:
        return Sorry("there is no certificate")
    await session.flush()
    unread = len(session.reader.take_unread())
    try:
        await connection.start_tls(session.context.tls(), unread=unread, ready=wire.ok("begin TLS negotiation"))
    except InjectedPlaintext:
        # CVE-2011-0411: what came in clear must never be taken for something said under TLS
        session.over = True
        return Sorry("nothing may follow STLS")
    session.forget_client()
    return None


@command(User, State.AUTHORIZATION)
async def user(session: Session, verb: User) -> Sorry | None:
    """RFC 1939 section 7.  Every name is welcome: which ones there are is told to nobody."""
    if not session.context.door.may_login(session.connection):
        return PRIVACY
    session.user = verb.name
    session.write(wire.ok("and the password?"))
    return None


@command(Pass, State.AUTHORIZATION)
async def password(session: Session, verb: Pass) -> Sorry | None:
    """RFC 1939 section 7."""
    door = session.context.door
    if not door.may_login(session.connection):
        return PRIVACY
    name, session.user = session.user, ""
    if not name:
        return Sorry("USER first")
    return await _logged_in(session, door.password(session.connection, name, verb.password))


@command(Apop, State.AUTHORIZATION)
async def apop(session: Session, verb: Apop) -> Sorry:
    """RFC 1939 section 7: needs passwords that are kept readable; ours are not."""
    return Sorry("APOP is not offered")


@command(Auth, State.AUTHORIZATION)
async def auth(session: Session, verb: Auth) -> Sorry | None:
    """RFC 5034 section 4."""
    door = session.context.door
    if not door.may_login(session.connection):
        return PRIVACY
    if not verb.mechanism:
        session.write(wire.multi_line("", [name.encode() for name in door.mechanisms(session.connection)]))
        return None

    async def ask(challenge: bytes) -> bytes:
        return await _ask(session, challenge)

    return await _logged_in(session, door.sasl(session.connection, verb.mechanism, verb.initial, ask))


async def _logged_in(session: Session, deciding: Awaitable[Principal]) -> Sorry | None:
    try:
        principal = await deciding
    except NoMechanism:
        return Sorry("that mechanism is not offered")
    except Abandoned:
        session.over = True
        return Sorry("gone")
    except (Cancelled, Malformed) as failure:
        return Sorry(failure.public)
    except Refused:
        return FAILED
    except Disconnected:
        raise
    except Temporary:
        return UNAVAILABLE
    return await session.log_in(principal)


async def _ask(session: Session, challenge: bytes) -> bytes:
    """Put the server's part of an exchange to the client; what it answers."""
    session.reader.expect_line()
    session.write(wire.challenge(encode(challenge).decode()))
    while (event := session.reader.next()) is None:
        if not await session.receive():
            raise Abandoned("the client is gone")
    if isinstance(event, Fatal):
        raise Abandoned("a line too long")
    if not isinstance(event, Line):
        raise Malformed
    return decode_response(event.text)
