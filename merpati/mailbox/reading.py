"""The bytes of messages, wherever they are: inside a commit, in a pack, or an object of their own.

`Bodies` is called by `account`: it checks what it reads against the digest that the state has: `BodyMissing`, never
wrong bytes.  `Ahead` is for the doors: it reads what a client will ask for next while it takes what it has asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from typing import Any

from merpati.ids import Digest
from merpati.log.api import Damaged
from merpati.log.attachments import Attachments
from merpati.log.lately import Lately
from merpati.log.reading import Reader
from merpati.mailbox.api import BodyRef
from merpati.mailbox.bodies import Address, LargePlace
from merpati.mailbox.values import BodyMissing, Large
from merpati.objects.api import NotFound

PIECE = 1 << 18
"""Bytes read at once of a body that is streamed."""

AHEAD = 8
"""Messages that are read ahead of what a client has asked for."""
AHEAD_BYTES = 512 << 10
"""Bytes of them, together."""

Span = tuple[str, int, int]
"""Key, start, end; without a key, of the attachment that stands before a large body."""


class Bodies:
    """The bodies of one account."""

    def __init__(self, reader: Reader[Any, Any], lately: Lately | None = None) -> None:
        """`lately` is shared by the accounts of a process."""
        self._store = reader.store
        self._layout = reader.layout
        self._attachments = Attachments(reader, lately)
        self._damages = reader.damages

    async def whole(self, address: Address) -> bytes:
        """The message, byte for byte.  Raises `BodyMissing`, `Unavailable`."""
        if address.large is not None:
            return b"".join([piece async for piece in self.stream(address)])
        held: list[bytes] = []

        def right(data: bytes) -> bool:
            if check_of(data) == address.check:
                held.append(data)
            return bool(held)

        data = await self._attachment(address.commit, address.offset, address.size, right)
        if not held and not right(data):
            raise self._lost("damaged", self._layout.commit(address.commit))
        return data

    async def range(self, address: Address, start: int, end: int) -> bytes:
        """Bytes [start, end) of the message; of a small one all are read and checked."""
        if address.large is None:
            return (await self.whole(address))[start:end]
        pieces = [await self._piece(address.large, *span) for span in _within(self._spans(address.large), start, end)]
        return b"".join(pieces)

    async def stream(self, address: Address, chunk: int = PIECE) -> AsyncIterator[bytes]:
        """The message in pieces of about `chunk` bytes; the end of a large one is only given if all of it was right."""
        if address.large is None:
            data = await self.whole(address)
            for start in range(0, len(data), chunk):
                yield data[start : start + chunk]
            return
        mix = hashlib.blake2b(digest_size=32)
        for key, start, end in self._spans(address.large):
            for begin in range(start, end, chunk):
                piece = await self._piece(address.large, key, begin, min(begin + chunk, end))
                if key:
                    mix.update(piece)
                yield piece
        if not address.large.body.without and mix.digest() != address.large.body.digest:
            raise self._lost("damaged", address.large.body.key)

    def _spans(self, large: LargePlace) -> list[Span]:
        """Where the pieces of a large body are, in order."""
        spans = [("", 0, large.length)]
        start = 0
        for gap_start, gap_end in (*large.body.without, (large.body.size, large.body.size)):
            spans.append((large.body.key, start, gap_start))
            start = gap_end
        return [span for span in spans if span[1] < span[2]]

    async def _piece(self, large: LargePlace, key: str, start: int, end: int) -> bytes:
        if key:
            return await self._range(key, start, end)
        return (await self._attachment(large.commit, large.offset, large.length))[start:end]

    async def staying(self, attachments: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """P9: of attachments by commit and offset, those that another state may refer to.  Raises `Damaged`."""
        return await self._attachments.staying(attachments)

    async def _attachment(
        self, commit: int, offset: int, length: int, right: Callable[[bytes], bool] | None = None
    ) -> bytes:
        key = self._layout.commit(commit)
        try:
            data = await self._attachments.get(commit, offset, length, right)
        except NotFound:
            raise self._lost("missing", key) from None
        except Damaged as error:
            raise self._lost("damaged", **error.facts) from error
        if len(data) != length:
            raise self._lost("cut short", key)
        return data

    def _lost(self, how: str, key: object, rule: object = "B2", **more: object) -> BodyMissing:
        facts: dict[str, object] = {"key": key, "rule": rule, **more}
        lost = BodyMissing(f"the message is {how} in the store", **facts)  # type: ignore[arg-type]
        self._damages.met(lost)
        return lost

    async def _range(self, key: str, start: int, end: int) -> bytes:
        try:
            data = await self._store.get_range(key, start, end)
        except NotFound:
            raise self._lost("missing", key) from None
        if len(data) != end - start:
            raise self._lost("cut short", key)
        return data


class Ahead:
    """Reads messages before they are asked for; one for each run of requests.  Bounded by AHEAD and AHEAD_BYTES.

    A store that is far away answers many requests in the time of one.
    """

    def __init__(self, read: Callable[[BodyRef], Awaitable[bytes]]) -> None:
        """`read` gives the whole message, as `Account.body` does."""
        self._read = read
        self._reading: dict[BodyRef, asyncio.Task[bytes]] = {}

    async def body(self, ref: BodyRef, following: Iterable[BodyRef] = (), width: int = AHEAD) -> bytes:
        """The message; and up to `width` of those that will be asked for next begin to be read.

        What was being read and is not among them is let go.  Raises `BodyMissing`, `Unavailable`.
        """
        task = self._reading.pop(ref, None)
        self._begin(following, min(width, AHEAD))
        if task is None:
            return await self._read(ref)
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            raise

    def close(self) -> None:
        """Nothing more is asked for."""
        self._begin((), 0)

    def _begin(self, following: Iterable[BodyRef], width: int) -> None:
        before, self._reading = self._reading, {}
        size = 0
        for ref in following if width else ():
            size += ref.size
            if size > AHEAD_BYTES:
                break
            task = before.pop(ref, None)
            self._reading[ref] = task if task is not None else self._started(ref)
            if len(self._reading) >= width:
                break
        for task in before.values():
            task.cancel()

    def _started(self, ref: BodyRef) -> asyncio.Task[bytes]:
        task = asyncio.ensure_future(self._read(ref))
        # nobody may ever ask for it, and then nobody hears of its failure
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task


def check_of(data: bytes) -> int:
    """The first eight bytes of the BLAKE2b-256, as the columns keep them."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=32).digest()[:8], "big")


def _within(spans: list[Span], start: int, end: int) -> list[Span]:
    """The parts of `spans`, laid end to end, that make up bytes [start, end)."""
    found, at = [], 0
    for key, first, last in spans:
        low, high = max(start - at, 0), min(end - at, last - first)
        if low < high:
            found.append((key, first + low, first + high))
        at += last - first
    return found


def size_of(large: Large) -> int:
    """Bytes of a message that is being appended as `Large`."""
    return len(large.prefix) + large.size - sum(end - start for start, end in large.without)


def digest_bytes(digest: Digest) -> bytes:
    """A digest as changes carry it."""
    return bytes.fromhex(digest)
