"""Everything about a client's session that the network could lengthen, and how far it may.

Values only; the service is given one `Limits` and hands it to every door.  Times are seconds, sizes bytes.
"""

from __future__ import annotations

import msgspec

INFINITY = float("inf")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client, and all of them together, may use."""

    max_size: int = 50 * 1024 * 1024
    """Bytes of a message; announced with SIZE (RFC 1870) and enforced while reading."""
    max_line: int = 998
    """Bytes of a line of a message, CRLF not counted (RFC 5322 section 2.1.1)."""
    max_command: int = 512
    """Bytes of a command line with its CRLF (RFC 5321 section 4.5.3.1.4); extensions add to those of MAIL and RCPT."""
    max_auth_line: int = 12_288
    """Bytes of a line of an AUTH exchange (RFC 4954 section 4): the longest line of any kind."""
    max_recipients: int = 1_000
    """Recipients of one transaction; those beyond are answered 452 (RFC 5321 section 4.5.3.1.10)."""
    max_hops: int = 50
    """Received fields a message may bring along before it is taken for a loop."""
    max_errors: int = 20
    """5yz replies a client may earn before it is sent away; a message that was accepted sets the count back."""
    max_junk: int = 100
    """NOOP, RSET, VRFY, HELP and EHLO a client may send without a message between them."""
    max_logins: int = 5
    """Failed AUTH commands of one connection."""
    max_connections: int = 1_000
    """Open connections in all."""
    max_connections_per_client: int = 50
    """Open connections of one address (IPv6: one /64)."""
    max_held: int = 256 << 20
    """Bytes of message bodies in memory, over all sessions; DATA beyond is answered 452."""
    command_timeout: float = 300.0
    """For one whole command, however slowly it drips (RFC 5321 section 4.5.3.2.7)."""
    data_timeout: float = 180.0
    """For the message, to begin with; each `data_rate` bytes that came add a second (RFC 5321 section 4.5.3.2.5)."""
    data_rate: float = 500.0
    """Bytes a second that a message must come with, on the long run."""
    handshake_timeout: float = 30.0
    """For a TLS handshake."""
    accept_timeout: float = 100.0
    """From the final dot to the reply; then it is 451.  Clients wait 10 minutes (RFC 5321 section 4.5.3.2.6)."""
    greet_wait: float = 0.005
    """How long a client is watched for talking before it is greeted."""
    commit_timeout: float = 30.0
    """For the bus to make a batch of messages durable."""
    remember: float = 3_600.0
    """How long a message whose sender may not have learnt that it was accepted keeps its id, should it come again."""
    max_remembered: int = 10_000
    """How many of them."""
