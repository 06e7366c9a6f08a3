"""A maildrop: INBOX as it was at login, numbered once, with what the client wants deleted at QUIT (RFC 1939).

Made by the session at login.  Nothing changes in the mailbox before `update`; what arrives meanwhile is for the next
session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from access.pop3.wire import top
from merpati.errors import Temporary
from merpati.mailbox.api import SEEN, Account, BodyRef, FolderView
from merpati.mailbox.reading import Ahead
from merpati.telemetry import logger

INBOX = "INBOX"
PIECE = 256 * 1024
"""Bytes of a large message sent at once."""
TOP_READ = 128 * 1024
"""Bytes read for TOP at first; more only if they are not enough."""


class Maildrop:
    """One session's messages.  Numbers are from 1, as the protocol has them."""

    def __init__(self, account: Account, view: FolderView) -> None:
        self._account = account
        self._view = view
        self._deleted: set[int] = set()
        self._read: set[int] = set()
        self._ahead = Ahead(account.body)
        self._last = 0
        self._run = 0
        """Messages that were asked for one after the other, up to the last."""

    @classmethod
    async def open(cls, account: Account) -> Maildrop:
        """As it is now, by a strong read."""
        return cls(account, await account.folder(INBOX, fresh=True))

    def has(self, number: int) -> bool:
        """Whether there is such a message, and not marked as deleted."""
        return 1 <= number <= self._view.exists and number not in self._deleted

    def numbers(self) -> Iterator[int]:
        """Those not marked as deleted."""
        return (number for number in range(1, self._view.exists + 1) if number not in self._deleted)

    def totals(self) -> tuple[int, int]:
        """Messages and octets, marked ones left out (RFC 1939 section 5, STAT)."""
        octets = sum(self._view.sizes) - sum(self.size(number) for number in self._deleted)
        return self._view.exists - len(self._deleted), octets

    def size(self, number: int) -> int:
        """Octets of a message as it is kept: what RETR sends, dots that are stuffed not counted."""
        return self._view.sizes[number - 1]

    def unique_id(self, number: int) -> str:
        """RFC 1939 section 7, UIDL: the same in every session, never used again, as IMAP's UIDs are."""
        return f"{self._view.info.uidvalidity:08x}{self._view.uids[number - 1]:08x}"

    def mark(self, number: int) -> None:
        """To be deleted at QUIT."""
        self._deleted.add(number)

    def unmark_all(self) -> None:
        """RFC 1939 section 5, RSET."""
        self._deleted.clear()

    async def message(self, number: int) -> bytes:
        """The whole of it.  Raises `BodyMissing`, `Unavailable`."""
        self._run = self._run + 1 if number == self._last + 1 else 0
        self._last = number
        # the next ones are read ahead: none yet for who only looks at one, then more with each
        data = await self._ahead.body(self._view.body(number - 1), self._following(number), 2 * self._run)
        self._read.add(number)
        return data

    def _following(self, number: int) -> Iterator[BodyRef]:
        return (self._view.body(each - 1) for each in range(number + 1, self._view.exists + 1) if self.has(each))

    def close(self) -> None:
        """The session is over."""
        self._ahead.close()

    async def pieces(self, number: int) -> AsyncIterator[bytes]:
        """The same, in bounded memory."""
        async for piece in self._account.body_stream(self._view.body(number - 1), PIECE):
            yield piece
        self._read.add(number)

    async def top(self, number: int, lines: int) -> bytes:
        """The header and so many lines of the body."""
        ref = self._view.body(number - 1)
        if ref.size > TOP_READ:
            beginning = await self._account.body_range(ref, 0, TOP_READ)
            if len(found := top(beginning, lines)) < len(beginning):
                return found
        return top(await self._account.body(ref), lines)

    async def update(self) -> int:
        """RFC 1939 section 6: delete what is marked; how many are gone for good when this returns.

        What was read and stays is marked \\Seen, for the user's other devices, if that can be done.
        """
        view = self._view
        seen = [view.uids[n - 1] for n in sorted(self._read - self._deleted) if not view.flags[n - 1] & SEEN]
        if seen:
            try:
                await self._account.store(view.info.id, seen, ("\\Seen",), mode="add")
            except Temporary as failure:
                logger("access/pop3").info("not marked as seen", account=self._account.id, failure=str(failure))
        gone = [view.uids[number - 1] for number in sorted(self._deleted)]
        if gone:
            await self._account.expunge(view.info.id, gone, only_deleted=False)
        return len(gone)
