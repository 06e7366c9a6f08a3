"""What is done with a message before anything is decided: it is summarised, and put aside if it is large.

Called by `account`; the only part of an append that takes time of the processor, so large messages go to a thread and
few of them at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace

from merpati.clock import Clock
from merpati.errors import Permanent
from merpati.events import longest_reference
from merpati.ids import Dice, Digest, digest_of
from merpati.mailbox.bodies import LARGE, Address, LargePlace
from merpati.mailbox.causes import cause_of
from merpati.mailbox.changes import LargeBody
from merpati.mailbox.reading import Bodies, digest_bytes, size_of
from merpati.mailbox.summaries import packed
from merpati.mailbox.values import MAX_INLINE, Append, BodyMissing, Large
from merpati.mailbox.verbs.append import Prepared
from merpati.message.summary import summarise
from merpati.objects.api import NotFound, ObjectStore
from merpati.objects.keys import blob_key

IN_LOOP = 64 * 1024
"""Bytes up to which a message is summarised in the event loop: a tenth of a millisecond."""
AT_ONCE = 2
"""Large messages that are in memory at once for being summarised."""
SPOOL = 4 << 20
"""Bytes of a message of unknown length that are kept in memory before it goes to a temporary file."""
PIECE = 1 << 20
MAX_TOGETHER = 4 << 20
"""Bytes of the messages of one append that ride inside its commit; those that follow are large, whatever their size."""
YOUNG = longest_reference() / 2
"""Seconds for which a large body may be referred to as it is (rule V7)."""


class Preparing:
    """Makes messages ready to be appended to any account of one store."""

    def __init__(self, store: ObjectStore, clock: Clock, dice: Dice) -> None:
        self._store = store
        self._clock = clock
        self._dice = dice
        self._few = asyncio.Semaphore(AT_ONCE)
        self.young = YOUNG

    async def prepared(self, messages: tuple[Append, ...], bodies: Bodies) -> list[Prepared]:
        """The messages, each with its summary; those that are too large to ride along are in the store."""
        ready, inline = [], 0
        for message in messages:
            content = message.content
            if isinstance(content, bytes):
                inline += len(content)
                if len(content) > MAX_INLINE or inline > MAX_TOGETHER:
                    inline -= len(content)
                    ready.append(await self._as_large(message, await self._put(content), content, bodies))
                    continue
                ready.append(await self._as_inline(message, content))
            else:
                kept = replace(content, key=await self.lasting(content.key, content.digest))
                ready.append(await self._as_large(message, kept, None, bodies))
        return ready

    async def put_large(self, chunks: AsyncIterator[bytes]) -> Large:
        """Keep a message that comes in pieces, in bounded memory."""
        with tempfile.SpooledTemporaryFile(SPOOL) as spool:
            mix, size = hashlib.blake2b(digest_size=32), 0
            async for chunk in chunks:
                mix.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(spool.write, chunk)
            digest = Digest(mix.hexdigest())
            key = blob_key(digest, self._dice.bytes(8))
            spool.seek(0)
            await self._store.put_stream(key, _pieces(spool))
        return Large(key, digest, size)

    async def lasting(self, key: str, digest: Digest) -> str:
        """V7: where a body is to be referred to from now on: its own key if it is young, else that of a copy.

        The vacuum of `blobs/` may be about to remove an old one.  Raises `BodyMissing`.
        """
        try:
            if self._clock.time() - (await self._store.head(key)).modified <= self.young:
                return key
            copy = blob_key(digest, self._dice.bytes(8))
            await self._store.put_stream(copy, self._store.get_stream(key))
        except NotFound:
            raise BodyMissing("the message is missing in the store", key=key, rule="B2") from None
        return copy

    async def rendered(self, address: Address, bodies: Bodies) -> bytes:
        """The packed summary of a message that the log has already."""
        async with self._few:
            return packed(await asyncio.to_thread(summarise, await bodies.whole(address)))

    async def _put(self, content: bytes) -> Large:
        digest = await asyncio.to_thread(digest_of, content)
        key = blob_key(digest, self._dice.bytes(8))
        await self._store.put(key, content)
        return Large(key, digest, len(content))

    async def _as_inline(self, message: Append, content: bytes) -> Prepared:
        if message.summary is not None:
            summary = message.summary
        elif len(content) <= IN_LOOP:
            summary = summarise(content)
        else:
            async with self._few:
                summary = await asyncio.to_thread(summarise, content)
        return _prepared(message, content, len(content), packed(summary), None)

    async def _as_large(self, message: Append, large: Large, content: bytes | None, bodies: Bodies) -> Prepared:
        body = LargeBody(large.key, digest_bytes(large.digest), large.size, tuple(large.without))
        _check_ranges(large)
        summary = message.summary
        if summary is None:
            async with self._few:
                raw = content if content is not None else await _read(large, body, bodies)
                summary = await asyncio.to_thread(summarise, raw)
        return _prepared(message, large.prefix, size_of(large), packed(summary), body)


def _prepared(message: Append, body: bytes, size: int, summary: bytes, large: LargeBody | None) -> Prepared:
    if not size:
        # its address would be that of its neighbour; RFC 9051 section 6.3.12 has a zero literal cancel the append
        raise Permanent("there is nothing in this message", enhanced="5.6.0")
    cause = cause_of(message.cause) if message.cause else b""
    return Prepared(message.folder, body, size, summary, message.flags, message.date, cause, large)


def _check_ranges(large: Large) -> None:
    at = 0
    for start, end in (*large.without, (large.size, large.size)):
        if not at <= start <= end:
            raise Permanent("ranges of a large body must ascend and lie within it", without=large.without)
        at = end


async def _read(large: Large, body: LargeBody, bodies: Bodies) -> bytes:
    """The whole message, for summarising: the prefix is at hand, the rest is read."""
    rest = Address(0, LARGE, size_of(large) - len(large.prefix), 0, LargePlace(0, LARGE, 0, 0, body))
    return large.prefix + await bodies.whole(rest)


async def _pieces(spool: tempfile.SpooledTemporaryFile[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(spool.read, PIECE):
        yield piece
