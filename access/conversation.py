"""What a session of either protocol shares: writing to the client without gathering too much, and being sent away.

The base of the sessions of IMAP and POP3; knows neither.
"""

from __future__ import annotations

from merpati.net.streams import Connection

FLUSH = 256 * 1024
"""Bytes of answers gathered before the client is waited for."""


class Conversation:
    """One client's connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.over = False
        """Set when nothing more is to be read."""
        self._dismissed = False
        self._written = 0

    def write(self, data: bytes) -> None:
        """Send soon."""
        self.connection.write(data)
        self._written += len(data)

    async def flush(self) -> None:
        """Wait until the client has taken what was written, or most of it."""
        self._written = 0
        await self.connection.drain()

    async def write_much(self, data: bytes) -> None:
        """Send a part of a long answer, waiting for the client as it goes."""
        self.write(data)
        if self._written > FLUSH:
            await self.flush()

    def dismiss(self) -> None:
        """The right to be here has ended: a word about it and the end, at once or after the command at work."""
        self._dismissed = True
        self.connection.stop()
