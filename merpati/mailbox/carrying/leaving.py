"""A mailbox on its way out: its folders and messages, batch by batch, to a writer.  Called by the operator's command.

The state may be an earlier one.  While a batch is written in a thread the next one is read, so two are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from merpati.log.api import Damaged
from merpati.mailbox.account import MailAccount
from merpati.mailbox.carrying.spooling import Content
from merpati.mailbox.carrying.values import (
    BATCH,
    BATCH_BYTES,
    SMALL,
    Carried,
    Departing,
    Outgoing,
    Tally,
    Unwritable,
    Writer,
)
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.values import BodyMissing
from merpati.mailbox.verbs.bring import MARK
from merpati.mailbox.views import AccountAt, FolderAt

AT_ONCE = 8
"""Messages that are read at the same time."""


def departing(state: MailState, only: str = "") -> list[Departing]:
    """The folders that go out, INBOX first; or the one of this name.  Raises `NoSuchFolder`."""
    ids = [state.find(only).id] if only else [info.id for info in AccountAt(state).folders.values()]
    return [_departing(state, state.folders[key], number) for number, key in enumerate(ids, 1)]


def _departing(state: MailState, folder: Folder, number: int) -> Departing:
    return Departing(
        number,
        folder.name,
        folder.uidvalidity,
        folder.uidnext,
        folder.modseq,
        folder.exists,
        folder.size,
        folder.name in state.subscriptions,
        folder.special_use,
        folder.keywords,
        {name: value for name, value in state.metadata.get(folder.id, {}).items() if not name.startswith(MARK)},
    )


async def carried_out(
    account: MailAccount, state: MailState, folders: Sequence[Departing], writer: Writer, tally: Tally | None = None
) -> Carried:
    """Write folders of a state out.  Messages whose bytes are lost are left out, counted, and named."""
    tally = tally or Tally()
    try:
        for folder in folders:
            await _folder(account, state, folder, writer, tally)
        await asyncio.to_thread(writer.close, tally.carried)
    except BaseException as error:
        await asyncio.to_thread(writer.abandon)
        if isinstance(error, OSError):
            raise Unwritable(f"this cannot be written: {error.strerror}", file=error.filename) from error
        raise
    return tally.carried


async def _folder(account: MailAccount, state: MailState, folder: Departing, writer: Writer, tally: Tally) -> None:
    try:
        view = account.past_folder(state.find(folder.name), state)
    except Damaged:
        tally.lost += folder.messages
        tally.note(f"{folder.name}: it is damaged in the store, its messages cannot be found")
        return
    if missing := await asyncio.to_thread(writer.folder, folder):
        tally.note(f"{folder.name}: {missing}")
    tally.folders += 1
    writing: asyncio.Task[None] | None = None
    try:
        async for batch in _batches(account, view):
            if writing is not None:
                await writing
            writing = asyncio.create_task(asyncio.to_thread(_write, writer, batch))
            _count(tally, folder.name, batch)
    finally:
        if writing is not None:
            await writing


def _count(tally: Tally, folder: str, batch: Sequence[Outgoing]) -> None:
    for message in batch:
        if message.content is None:
            tally.lost += 1
            tally.note(f"{folder} UID {message.uid}: its bytes are lost")
        else:
            tally.messages += 1
            tally.size += message.size


def _write(writer: Writer, batch: Sequence[Outgoing]) -> None:
    try:
        writer.write(batch)
    finally:
        for message in batch:
            if message.content is not None:
                message.content.close()


async def _batches(account: MailAccount, view: FolderAt) -> AsyncIterator[list[Outgoing]]:
    """A store that is far away answers several requests in the time of one."""
    for rows in _groups(view.sizes):
        batch: list[Outgoing] = []
        for start in range(0, len(rows), AT_ONCE):
            read = [_outgoing(account, view, row) for row in rows[start : start + AT_ONCE]]
            batch += await asyncio.gather(*read)
        yield batch


def _groups(sizes: Sequence[int]) -> Iterator[range]:
    """The rows that are carried together: a few megabytes, or a large message alone."""
    start = total = 0
    for row, size in enumerate(sizes):
        if row > start and (row - start >= BATCH or total + size > BATCH_BYTES or size > SMALL):
            yield range(start, row)
            start, total = row, 0
        total += size
        if size > SMALL:
            yield range(start, row + 1)
            start, total = row + 1, 0
    if start < len(sizes):
        yield range(start, len(sizes))


async def _outgoing(account: MailAccount, view: FolderAt, row: int) -> Outgoing:
    flags = view.flag_names(view.flags[row])
    content = await _content(account, view, row)
    return Outgoing(view.uids[row], flags, view.dates[row], view.modseqs[row], view.sizes[row], content)


async def _content(account: MailAccount, view: FolderAt, row: int) -> Content | None:
    """The bytes, all of them read and right before one goes out; None if they are lost."""
    content = Content()
    try:
        async for piece in account.body_stream(view.body(row)):
            if content.size + len(piece) <= SMALL:
                content.add(piece)
            else:
                await asyncio.to_thread(content.add, piece)
    except (BodyMissing, Damaged):
        content.close()
        return None
    except BaseException:
        content.close()
        raise
    return content
