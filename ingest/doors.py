"""The doors as values: what tells the listener for other servers from those for users and from LMTP."""

from __future__ import annotations

import msgspec


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for everyone who comes in by one kind of listener."""

    name: str
    """As in `Envelope.door`."""
    implicit_tls: bool = False
    """TLS from the first byte (RFC 8314 section 3.3); else STARTTLS is offered."""
    users: bool = False
    """For our own users: AUTH is offered and required, and mail may go anywhere (RFC 6409)."""
    lmtp: bool = False
    """RFC 2033: LHLO, and a reply for each recipient after the message."""
    watches: bool = False
    """Whether a client that talks before it is greeted is turned away."""

    @property
    def protocol(self) -> str:
        """The protocol's plain name, as RFC 3848 builds on it."""
        return "LMTP" if self.lmtp else "ESMTP"


DOORS = {
    door.name: door
    for door in (
        Door(name="mx", watches=True),
        Door(name="submission", users=True, watches=True),
        Door(name="submissions", users=True, implicit_tls=True),
        Door(name="lmtp", lmtp=True),
    )
}
"""By name; the settings name listeners so."""
