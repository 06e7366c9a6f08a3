"""The header fields that the edge puts before a message: Received, and for our users' mail what their client left out.

Called by the intake; the message itself stays byte for byte as it came.
"""

from __future__ import annotations

from ingest.head import Head
from merpati.events import Envelope
from merpati.ids import MessageId
from merpati.message.addresses import Address, BadAddress, parse_address
from merpati.message.compose import Hop, date_field, header_field, message_id, protocol_name, received


def prefix_of(envelope: Envelope, message: MessageId, hostname: str, now: float, head: Head, *, extended: bool) -> str:
    """The fields as they stand, each with CRLF.  `extended`: the client greeted with EHLO and not with HELO."""
    client = envelope.client
    hop = Hop(
        client_name=client.helo,
        client_address=f"IPv6:{client.ip}" if ":" in client.ip else client.ip,  # RFC 5321 section 4.1.3
        reverse_name=client.name,
        by=hostname,
        protocol=protocol_name(
            esmtp=extended,
            tls=bool(client.tls),
            auth=bool(client.user),
            lmtp=envelope.door == "lmtp",
            utf8=envelope.smtputf8,
        ),
        tls=client.tls,
        id=message,
        # RFC 5321 section 7.6: to name more than one would tell them of each other
        recipient=_address(envelope.recipients[0].address) if len(envelope.recipients) == 1 else None,
        seconds=now,
    )
    fields = received(hop)
    if client.user:
        # RFC 6409 section 8: a submission server puts in what the client has left out
        if not head.has_message_id:
            fields += header_field("Message-ID", message_id(message, hostname))
        if not head.has_date:
            fields += date_field(now)
    return fields.decode("utf-8")


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except BadAddress:
        return None
