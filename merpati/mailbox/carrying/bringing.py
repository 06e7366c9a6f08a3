"""An archive on its way in: folder by folder, with their UIDs where they can be kept.  Called by the command line.

What becomes of a folder is decided by the verb `bring`, inside commits; so an import that is broken off anywhere goes
on when it is run again, and one that was finished adds nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress

from merpati.log.api import Damaged
from merpati.mailbox.account import MailAccount
from merpati.mailbox.carrying.archive_format import FolderLine
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.mailbox.carrying.arriving import batches, content_of, fit
from merpati.mailbox.carrying.values import Carried, Incoming, Tally, Unreadable
from merpati.mailbox.names import checked_name
from merpati.mailbox.values import Append, BadName, BodyMissing, MailboxLimits, NoSuchFolder
from merpati.mailbox.verbs.bring import MARK, Bringing, Origin


async def brought_in(account: MailAccount, reader: ArchiveReader, tally: Tally | None = None) -> Carried:
    """Bring in what the reader finds.  Raises `Unreadable`; what came before stays aside, for the next attempt."""
    tally = tally or Tally()
    await account.refresh()
    lines = {line.name: line for line in reader.lines}
    for name in lines:
        _check(name)
    turn: _Turn | None = None
    try:
        async with aclosing(batches(reader.messages())) as found:
            async for batch in found:
                if turn is None or turn.line.name != batch[0].folder:
                    if turn is not None:
                        await turn.end()
                    turn = _Turn(account, reader, lines.pop(batch[0].folder), tally)
                    await turn.begin()
                await turn.take([message for message in batch if fit(message, tally)])
    except Unreadable as error:
        aside = {"unfinished": turn.aside} if turn is not None else {}
        raise Unreadable(error.public, **error.facts, **aside, messages=tally.messages) from error  # type: ignore[arg-type]
    if turn is not None:
        await turn.end()
    for line in lines.values():  # those without messages
        turn = _Turn(account, reader, line, tally)
        await turn.begin()
        await turn.end()
    if reader.head.complete and not reader.only:
        await _whole_account(account, reader, tally)
    return tally.carried


class _Turn:
    """One folder of the archive."""

    def __init__(self, account: MailAccount, reader: ArchiveReader, line: FolderLine, tally: Tally) -> None:
        self.line = line
        self._account = account
        self._tally = tally
        self._origin = Origin(
            reader.head.id,
            reader.numbers[line.path],
            line.name,
            line.uidvalidity,
            line.uidnext,
            line.special_use,
            line.subscribed,
            line.keywords,
        )
        self._state = Bringing()

    @property
    def aside(self) -> str:
        """Where its messages are until it is finished."""
        return self._origin.aside

    async def begin(self) -> None:
        self._state = await self._account.bring_begin(self._origin)
        entries = _entries(self.line.annotations)
        if entries and not self._state.done:
            # another import of the same archive may have put it into its place just now, entries and all
            with suppress(NoSuchFolder):
                await self._account.set_metadata(self._origin.aside, entries)

    async def take(self, batch: Sequence[Incoming]) -> None:
        new = [message for message in batch if not await self._is_there(message)]
        self._tally.there += len(batch) - len(new)
        if not new:
            return
        messages = [
            (message.uid, Append("", await content_of(self._account, message.content), message.flags, message.date))
            for message in new
        ]
        came, there = await self._account.bring(self._origin, messages)
        self._tally.messages += came
        self._tally.there += there
        self._tally.size += sum(message.content.size for message in new) if came else 0

    async def _is_there(self, message: Incoming) -> bool:
        """Whether it was brought before, or stands readable in the folder that it would go to: it came from there."""
        if self._state.done or message.uid < self._state.uidnext:
            return True
        try:
            view = await self._account.folder(self.line.name)
            row = view.row(message.uid) if view.info.uidvalidity == self.line.uidvalidity else -1
            if row < 0 or view.sizes[row] != message.content.size:
                return False
            mix = hashlib.blake2b()
            async for piece in self._account.body_stream(view.body(row)):
                mix.update(piece)
        except (NoSuchFolder, BodyMissing, Damaged):
            return False
        return mix.digest() == await asyncio.to_thread(_digest, message)

    async def end(self) -> None:
        self._tally.folders += 1
        if self._state.done:
            return
        name, moved = self.line.name, 0
        while (place := await self._account.bring_end(self._origin)).left:
            moved += place.moved
        moved += place.moved
        self._tally.renumbered += moved
        if place.merged:
            if moved:
                self._tally.note(f"{name} was there: {moved} messages have new UIDs")
            await self._add_what_is_missing()
        elif not place.kept:
            self._tally.note(
                f"{name} has UIDVALIDITY {place.uidvalidity}: {self.line.uidvalidity} had been seen under its name"
            )

    async def _add_what_is_missing(self) -> None:
        """What the folder that was there says of itself stays."""
        there = self._account.view().metadata(self.line.name)
        entries = {key: value for key, value in _entries(self.line.annotations).items() if key not in there}
        if entries:
            await self._account.set_metadata(self.line.name, entries)
        if self.line.subscribed:
            await self._account.subscribe(self.line.name)


async def _whole_account(account: MailAccount, reader: ArchiveReader, tally: Tally) -> None:
    """What belongs to no folder; what the account has of it stays."""
    view = account.view()
    there = view.metadata("")
    entries = {key: value for key, value in _entries(reader.head.annotations).items() if key not in there}
    if entries:
        await account.set_metadata("", entries)
    for name in reader.head.subscriptions:
        if name not in view.folders:
            try:
                await account.subscribe(name)
            except BadName:
                tally.note(f"{name!r} cannot be subscribed: no folder can have that name")


def _digest(message: Incoming) -> bytes:
    mix = hashlib.blake2b()
    for piece in message.content.pieces():
        mix.update(piece)
    return mix.digest()


def _entries(annotations: Mapping[str, bytes]) -> dict[str, bytes | None]:
    return {name: value for name, value in annotations.items() if not name.startswith(MARK)}


def _check(name: str) -> None:
    """All names are looked at before anything is done."""
    try:
        fine = checked_name(name, MailboxLimits()) == name
    except BadName:
        fine = False
    if not fine:
        raise Unreadable("the archive has a folder of a name that no folder can have", folder=name)
