"""Whether a message goes round in circles, told from its header.  Pure.

HOSTILE R3: two servers that forward to each other must stop, with one report and no growth.
"""

from __future__ import annotations

from merpati.message.headers import Headers
from processors.routing import fold

MAX_HOPS = 50
"""Received fields.  RFC 5321 section 6.3 asks for 100 at least before a loop is assumed; the trusted servers say 50,
and nothing honest comes near either."""


def hops(headers: Headers, prefix: str) -> int:
    """How many servers the message has passed, ourselves included."""
    return (
        len(headers.slices("received")) + prefix.lower().count("\r\nreceived:") + prefix.lower().startswith("received:")
    )


def delivered_to(headers: Headers) -> frozenset[str]:
    """The addresses that forwarded it before, folded."""
    return frozenset(fold(value.strip().strip("<>")) for value in headers.get_all("delivered-to"))
