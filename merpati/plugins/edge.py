"""What a door asks of the processors before it answers 250: the contract between ingest and `stage = "edge"`.

Ingest asks, the processors' `EdgeProcessors` answers; `merpati.cli` brings the two together.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from merpati.errors import MerpatiError
from merpati.events import Envelope, Received, Recipient


class Verdict(msgspec.Struct, frozen=True):
    """What is to become of a message, for all its recipients."""

    refusal: MerpatiError | None = None
    """The reply of 4yz or 5yz in its stead, or None: take it."""
    prefix: str = ""
    """Header fields to put before the message, below our Received, each with CRLF."""
    tags: tuple[str, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    actions: tuple[tuple[str, str], ...] = ()
    """As in `Received`."""


ACCEPT = Verdict()


class EdgePipeline(Protocol):
    """Asked at RCPT and after the final dot.  Whatever it raises is answered 451; it keeps its own time limits."""

    async def judge_recipient(self, envelope: Envelope, recipient: Recipient) -> MerpatiError | None:
        """The reply to RCPT if it is to be refused.  `envelope` has the recipients taken so far."""
        ...

    async def judge(self, received: Received, raw: bytes) -> Verdict:
        """What to do with a whole message.  `raw` is empty if `received.body.key` names it in the object store."""
        ...
