"""APPEND: messages put into a folder by the client; all of a MULTIAPPEND or none (RFC 9051 6.3.12, RFC 3502)."""

from __future__ import annotations

from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, command
from access.imap.wire import codes
from access.imap.wire.commands import Append, AppendMessage
from access.imap.wire.sequence import set_of
from merpati.mailbox import api


@command(Append, LOGGED_IN)
async def append(session: Session, verb: Append) -> Reply:
    """Durable when OK is said.  A repeated APPEND is a second message, as the protocol has it."""
    if any(not message.data for message in verb.messages):
        return Reply("An empty message", codes.CANNOT, b"NO")
    if any(b"\0" in message.data and not message.binary for message in verb.messages):
        return Reply("NUL in a message", codes.CANNOT, b"NO")  # RFC 9051 section 4.3
    messages = [_one(verb.mailbox, message) for message in verb.messages]
    # RFC 9208 section 4.3.1: what would go beyond the quota is refused whole, with OVERQUOTA
    appended = await session.mailbox.append(messages, quota=await session.quota())
    code = codes.append_uid(appended[0].uidvalidity, set_of(one.uid for one in appended))
    return Reply("Appended", code)


def _one(folder: str, message: AppendMessage) -> api.Append:
    flags = tuple(flag for flag in message.flags if flag != "\\Recent")
    return api.Append(folder, message.data, flags, message.at)
