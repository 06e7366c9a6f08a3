"""Mail on its way in without UIDs: what a reader finds, appended batch by batch.  Called by the operator's command.

Each message has a cause, so that an import that is run again, within two weeks, adds only what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar

from merpati.mailbox.account import MailAccount
from merpati.mailbox.carrying.paths import fitting
from merpati.mailbox.carrying.spooling import Content
from merpati.mailbox.carrying.values import (
    BATCH,
    BATCH_BYTES,
    MAX_MESSAGE,
    Carried,
    Incoming,
    Reader,
    Tally,
    Unreadable,
)
from merpati.mailbox.causes import cause_of
from merpati.mailbox.names import normalised
from merpati.mailbox.values import Append, FolderExists, Large, MailboxLimits

T = TypeVar("T", bound=Incoming)


async def carried_in(account: MailAccount, reader: Reader, tally: Tally | None = None) -> Carried:
    """Append what the reader finds; folders that are missing are made and subscribed."""
    names = _Names(tally := tally or Tally())
    await account.refresh()
    for name in sorted(await asyncio.to_thread(reader.folders)):
        await _made(account, names.here(name))
    async with aclosing(batches(reader.messages())) as found:
        async for batch in found:
            name = names.here(batch[0].folder)
            await _append(account, name, [message for message in batch if fit(message, tally)], tally)
    tally.folders = len(names.seen)
    return tally.carried


class _Names:
    """What the folders that come in are called here."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._names: dict[str, str] = {}
        self._limits = MailboxLimits()

    @property
    def seen(self) -> set[str]:
        return set(self._names.values())

    def here(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = fitting(name, self._limits)
            if self._names[name] != normalised(name):
                self._tally.note(f"{name!r} is called {self._names[name]!r} here")
        return self._names[name]


async def batches(messages: Iterator[T]) -> AsyncGenerator[list[T], None]:
    """Messages of one folder together, a few megabytes at most; they are read in a thread."""
    gathered = _gathered(messages)
    while True:
        try:
            batch = await asyncio.to_thread(next, gathered, None)
        except OSError as error:
            raise Unreadable(f"this cannot be read: {error.strerror}", file=error.filename) from error
        if batch is None:
            return
        yield batch


def fit(message: Incoming, tally: Tally) -> bool:
    """Whether a mailbox can hold the message; if not it is counted and named."""
    reason = message.refused or ("it is empty" if not message.content.size else "")
    if message.content.size > MAX_MESSAGE:
        reason = f"it has more than {MAX_MESSAGE} bytes"
    if message.lost:
        tally.lost += 1
        tally.note(f"{message.place}: its bytes are lost")
    elif reason:
        tally.refused += 1
        tally.note(f"{message.place}: {reason}")
    return not (message.lost or reason)


async def content_of(account: MailAccount, content: Content) -> bytes | Large:
    """The message as an append takes it; a large one goes to the store."""
    try:
        return content.whole() if content.small else await account.put_large(_pieces(content))
    finally:
        content.close()


async def _made(account: MailAccount, name: str) -> None:
    try:
        await account.create(name)
        await account.subscribe(name)
    except FolderExists:
        pass


async def _append(account: MailAccount, folder: str, batch: Sequence[Incoming], tally: Tally) -> None:
    taken = account.view().state.causes
    # those that came before are told here too, so that no large one goes to the store for nothing
    new = [message for message in batch if taken.get(cause_of(message.cause)) is None]
    tally.there += len(batch) - len(new)
    appends = [
        Append(folder, await content_of(account, message.content), message.flags, message.date, message.cause)
        for message in new
    ]
    for done, message in zip(await account.append(appends, create=True) if new else (), new, strict=True):
        if done.duplicate:
            tally.there += 1
        else:
            tally.messages += 1
            tally.size += message.content.size


async def _pieces(content: Content) -> AsyncIterator[bytes]:
    pieces = content.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _gathered(messages: Iterator[T]) -> Iterator[list[T]]:
    """The content of one that is not small may go when the next is read, so it is the last of its batch."""
    batch: list[T] = []
    size = 0
    for message in messages:
        if batch and (batch[0].folder != message.folder or size + _held(message) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += _held(message)
        if len(batch) >= BATCH or not message.content.small:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _held(message: Incoming) -> int:
    return message.content.size if message.content.small else 0
