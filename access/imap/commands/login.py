"""STARTTLS, LOGIN and AUTHENTICATE: from a stranger to a user (RFC 9051 section 6.2, RFC 4959)."""

from __future__ import annotations

from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import codes, responses
from access.imap.wire.commands import Authenticate, Login, StartTls
from access.imap.wire.events import Fatal, Line
from access.login import Abandoned, Cancelled, Malformed, NoMechanism, Principal, Refused
from merpati.auth.sasl import MAX_RESPONSE, decode_response, encode
from merpati.errors import Temporary
from merpati.net.failures import Disconnected, InjectedPlaintext

MAX_LINE = (MAX_RESPONSE + 2) // 3 * 4
"""Characters of base64 in a client's line of a SASL exchange."""
PRIVACY = Reply("Not in clear: use TLS", codes.PRIVACYREQUIRED, b"NO")
FAILED = Reply("Authentication failed", codes.AUTHENTICATIONFAILED, b"NO")
"""One wording, whatever was wrong: nobody learns which names there are."""
UNAVAILABLE = Reply("Cannot check that now; try again", codes.UNAVAILABLE, b"NO")


@command(StartTls, State.GREETED)
async def start_tls(session: Session, verb: StartTls) -> Reply | None:
    """RFC 9051 section 6.2.1: what was said in clear is forgotten, what was sent behind it is an attack."""
    connection = session.connection
    if connection.tls is not None:
        return Reply("TLS is active", status=b"BAD")
    if session.context.tls is None:
        return Reply("There is no certificate", codes.UNAVAILABLE, b"NO")
    ready = responses.tagged(session.tag, b"OK", "Begin TLS negotiation now")
    await session.flush()
    unread = len(session.reader.take_unread())
    try:
        await connection.start_tls(session.context.tls(), unread=unread, ready=ready)
    except InjectedPlaintext:
        # CVE-2011-0411
        session.write(responses.tagged(session.tag, b"BAD", "Nothing may follow STARTTLS"))
        session.bye("Bytes in clear behind STARTTLS")
        return None
    session.forget_client()
    return None


@command(Login, State.GREETED)
async def login(session: Session, verb: Login) -> Reply:
    """RFC 9051 section 6.2.3."""
    door = session.context.door
    if not door.may_login(session.connection):
        return PRIVACY
    try:
        return _welcome(session, await door.password(session.connection, verb.user, verb.password))
    except (Refused, Temporary) as failure:
        return _sorry(failure)


@command(Authenticate, State.GREETED)
async def authenticate(session: Session, verb: Authenticate) -> Reply | None:
    """RFC 9051 section 6.2.2, with an initial response (RFC 4959)."""
    door = session.context.door
    if not door.may_login(session.connection):
        return PRIVACY

    async def ask(challenge: bytes) -> bytes:
        return await _ask(session, challenge)

    try:
        return _welcome(session, await door.sasl(session.connection, verb.mechanism, verb.initial, ask))
    except NoMechanism:
        return Reply("That mechanism is not offered", codes.CANNOT, b"NO")
    except Abandoned:
        session.over = True
        return None
    except (Cancelled, Malformed) as failure:
        # RFC 9051 section 6.2.2: who gives up with `*`, or says what is no base64, is answered BAD
        return Reply(failure.public, status=b"BAD")
    except (Refused, Temporary) as failure:
        return _sorry(failure)


def _welcome(session: Session, principal: Principal) -> Reply:
    session.log_in(principal)
    # RFC 9051 section 7.1: saves the client asking
    return Reply("Logged in", codes.capability(session.capabilities()))


def _sorry(failure: Refused | Temporary) -> Reply:
    if isinstance(failure, Disconnected):
        raise failure
    return UNAVAILABLE if isinstance(failure, Temporary) else FAILED


async def _ask(session: Session, challenge: bytes) -> bytes:
    """Put the server's part of an exchange to the client; what it answers."""
    session.reader.expect_line(MAX_LINE)
    session.write(responses.continuation(encode(challenge).decode()))
    while (event := session.reader.next()) is None:
        if not await session.receive() or session.over:
            raise Abandoned("the client is gone")
    if isinstance(event, Fatal):
        session.write(event.line)
        raise Abandoned("a line too long")
    return decode_response(event.text if isinstance(event, Line) else b"*")
