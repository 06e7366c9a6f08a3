"""Messages whose sender may send them again though they are on the log: they get the id they had, and stay one message.

It happens when the bus gave no answer (then the reply was 451) and when the client was gone before the 250 (RFC
1047).  A second copy with the id of the first is dropped by every sink; with a new id it would be in the mailbox twice.
Used by the intake; in memory only, so another process or a restart forgets.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from merpati.clock import Clock
from merpati.events import Envelope
from merpati.ids import Digest, MessageId


class Unsure:
    """At most `most` messages, each for `seconds`."""

    def __init__(self, clock: Clock, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[bytes, tuple[float, MessageId]] = OrderedDict()

    def remember(self, mark: bytes, message: MessageId) -> None:
        """The sender of the message with this mark may not know that it was accepted."""
        self._known[mark] = (self._clock.monotonic() + self._seconds, message)
        self._known.move_to_end(mark)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def recall(self, mark: bytes) -> MessageId | None:
        """The id it had, if it is remembered."""
        until, message = self._known.get(mark, (0.0, None))
        return message if until > self._clock.monotonic() else None

    def forget(self, mark: bytes) -> None:
        """Its sender knows now."""
        self._known.pop(mark, None)


def mark_of(envelope: Envelope, digest: Digest) -> bytes:
    """What tells a message that is sent again from another one: sender, recipients, user, and every byte of it."""
    facts = (
        digest,
        envelope.door,
        envelope.client.user,
        envelope.sender,
        *(each.address for each in envelope.recipients),
    )
    return hashlib.blake2b("\0".join(facts).encode("utf-8", "surrogateescape"), digest_size=16).digest()
