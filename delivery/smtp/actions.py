"""What the client wants done.  The driver does it, in order."""

from __future__ import annotations

from msgspec import Struct

from delivery.smtp.outcome import Outcome, Trouble


class Send(Struct, frozen=True, gc=False):
    """Write these bytes at once."""

    data: bytes


class SendBody(Struct, frozen=True, gc=False):
    """Write the message as `body.Stuffer` makes it, the final dot included; then call `Client.body_sent`.

    If the message cannot be had to its end, write no dot and call `Client.body_failed`.
    """


class StartTls(Struct, frozen=True, gc=False):
    """Go over to TLS with nothing read in between; then call `Client.tls_started` or `Client.tls_failed`."""


class Ready(Struct, frozen=True, gc=False):
    """A message may be handed over: `Client.deliver`."""


class Done(Struct, frozen=True, gc=False):
    """The message is dealt with: an outcome for each recipient, in the order they were given."""

    outcomes: tuple[Outcome, ...]


class Failed(Struct, frozen=True, gc=False):
    """There will be no session."""

    trouble: Trouble


class Close(Struct, frozen=True, gc=False):
    """Close the connection; the client wants nothing more."""


Action = Send | SendBody | StartTls | Ready | Done | Failed | Close
