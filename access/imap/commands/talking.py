"""Commands that only talk: CAPABILITY, NOOP, CHECK, ID, ENABLE, NAMESPACE, LOGOUT."""

from __future__ import annotations

from access.imap.session import Session
from access.imap.table import ANY, LOGGED_IN, Reply, State, command
from access.imap.wire import responses
from access.imap.wire.commands import Capability, Check, Enable, Id, Logout, Namespace, Noop
from merpati import __version__

MAY_ENABLE = frozenset({"CONDSTORE", "UTF8=ACCEPT"})


@command(Capability, ANY)
async def capability(session: Session, verb: Capability) -> Reply:
    """RFC 9051 section 6.1.1."""
    session.write(responses.capability(session.capabilities()))
    return Reply("Capabilities told")


@command(Noop, ANY)
async def noop(session: Session, verb: Noop) -> Reply:
    """RFC 9051 section 6.1.2: a client that polls asks with it, so it looks at the log and not only at the memory."""
    if session.selected is not None:
        await session.mailbox.refresh()
    return Reply("Nothing done")


@command(Check, State.SELECTED)
async def check(session: Session, verb: Check) -> Reply:
    """RFC 3501 section 6.4.1: everything is always on the disk, so it is NOOP."""
    await session.mailbox.refresh()
    return Reply("All is durable")


@command(Id, ANY)
async def identify(session: Session, verb: Id) -> Reply:
    """RFC 2971: what the client is goes to the log, cut short; what we are goes to the client."""
    fields = {name[:30]: (value or "")[:80] for name, value in (verb.fields or ())[:10]}
    session.log.info("client", **{f"id_{name.lower()}": value for name, value in fields.items() if name.isalnum()})
    session.write(responses.identity({"name": "Merpati", "version": __version__}))
    return Reply("Pleased to meet you")


@command(Enable, LOGGED_IN)
async def enable(session: Session, verb: Enable) -> Reply:
    """RFC 5161: what is not known is passed over; only what is new is told."""
    new = [name for name in dict.fromkeys(verb.capabilities) if name in MAY_ENABLE - session.enabled]
    session.enabled |= frozenset(new)
    session.reader.utf8 = session.utf8
    session.write(responses.enabled(new))
    return Reply("Enabled")


@command(Namespace, LOGGED_IN)
async def namespace(session: Session, verb: Namespace) -> Reply:
    """RFC 2342: one's own, without a prefix."""
    session.write(responses.namespace())
    return Reply("One namespace")


@command(Logout, ANY)
async def logout(session: Session, verb: Logout) -> Reply:
    """RFC 9051 section 6.1.3: BYE, then OK."""
    session.bye("Fly well")
    return Reply("Logged out")
