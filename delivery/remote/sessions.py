"""What the worker asks of a connection to another server, and how the hosts of a domain are tried in turn.

`Connector` and `Session` are implemented over the sans-io SMTP client in `connector`; tests have one in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Protocol

from delivery.remote.schedule import Answer, End
from delivery.remote.targets import Target
from merpati.errors import MerpatiError, Temporary
from merpati.events import Outbound

Message = bytes | AsyncIterable[bytes]
"""A message at hand, or in pieces as they come from the store."""


class Session(Protocol):
    """A connection that has greeted and, where the policy asks for it, TLS."""

    host: str

    async def send(self, event: Outbound, message: Message) -> list[Answer]:
        """One message to its recipients; an answer for each.  Never raises for what the peer does or fails to do."""
        ...

    @property
    def usable(self) -> bool:
        """Whether another message may follow."""
        ...

    async def close(self) -> None:
        """QUIT if the peer still listens; never raises."""
        ...


class Connector(Protocol):
    """Opens sessions."""

    async def connect(self, target: Target) -> Session:
        """Raises `Temporary` if the host cannot be had now, `Permanent` if it says that it takes no mail (RFC 7504)."""
        ...


async def first_that_answers(connector: Connector, targets: Sequence[Target]) -> Session:
    """A session with the first host that gives one.  RFC 5321 section 5.1: in order of preference.

    Raises what the last host did, if none does; `Permanent` only if all were.
    """
    trouble: MerpatiError = Temporary("no host to connect to", enhanced="4.4.1")
    for target in targets:
        try:
            return await connector.connect(target)
        except MerpatiError as failure:
            if isinstance(failure, Temporary) or not isinstance(trouble, Temporary) or target is targets[0]:
                trouble = failure
    raise trouble


def all_later(event: Outbound, reply: str, status: str, host: str = "") -> list[Answer]:
    """The same temporary answer for every recipient."""
    return [Answer(recipient, End.LATER, host, reply, status) for recipient in event.recipients]


def all_refused(event: Outbound, reply: str, status: str, host: str = "") -> list[Answer]:
    """The same permanent answer for every recipient."""
    return [Answer(recipient, End.REFUSED, host, reply, status) for recipient in event.recipients]
