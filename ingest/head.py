"""What the edge wants to know of a message's header: its hops, who it says it is from, and what is missing.

Called by the intake, on the first bytes of a message.  Received bytes are looked at, never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from merpati.directory.api import AccountEntry, Directory
from merpati.errors import Permanent
from merpati.message.addresses import address_of, parse_address_list
from merpati.message.headers import MAX_FIELDS, MAX_HEADER, field_value, split_headers

MAX_AUTHORS = 100
"""Addresses in From."""


@dataclass(frozen=True, slots=True)
class Head:
    """A header, as far as it matters here."""

    hops: int
    """Received fields."""
    has_date: bool
    has_message_id: bool
    authors: tuple[bytes, ...]
    """The value of each From field."""
    whole: bool
    """Whether all of it was looked at."""


def read_head(raw: bytes) -> Head:
    """Read the header of a message that begins with `raw` (at most `MAX_HEADER` bytes are looked at)."""
    fields, body = split_headers(raw)
    names = [field[0] for field in fields]
    return Head(
        hops=names.count(b"received"),
        has_date=b"date" in names,
        has_message_id=b"message-id" in names,
        authors=tuple(field_value(raw, field) for field in fields if field[0] == b"from"),
        whole=len(fields) <= MAX_FIELDS and body < MAX_HEADER,
    )


async def check_author(directory: Directory, account: AccountEntry, head: Head) -> None:
    """Whether a user may be the author of this message: every address in From is the user's own (RFC 6409 section 6.1).

    Raises `Permanent`.
    """
    if not head.whole:
        # A second From may be where we do not look
        raise Permanent("header too big", code=552, enhanced="5.3.4")
    mailboxes = [mailbox for value in head.authors for mailbox in parse_address_list(value)]
    if len(mailboxes) > MAX_AUTHORS:
        raise Permanent("too many authors", code=553, enhanced="5.7.1")
    for mailbox in mailboxes:
        if mailbox.domain is None:
            continue  # the name of a group, or its end
        address = address_of(mailbox)
        if address is None or not await directory.may_send_as(account, str(address)):
            raise Permanent("From is not an address of yours", code=553, enhanced="5.7.1")
