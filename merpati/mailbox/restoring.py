"""An earlier state brought back into the mailbox: what can still be read of it.  Called by the operator's command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace

from merpati.log.api import Damaged
from merpati.mailbox.account import MailAccount
from merpati.mailbox.changes import Kept
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import normalised
from merpati.mailbox.state import MailState
from merpati.mailbox.values import BodyMissing
from merpati.mailbox.verbs.restore import NOWHERE
from merpati.mailbox.views import FolderAt

AT_ONCE = 200
"""Messages brought back in one commit."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: messages that came back, and those whose bytes are lost."""

    folders: int = 0
    messages: int = 0
    lost: int = 0
    shut: tuple[str, ...] = ()
    """Folders into which nothing can be brought back, for they are damaged now: rebuild, or bring back beside."""
    unknown: tuple[int, ...] = ()
    """UIDs that were asked for and that the folder did not have then."""


async def restored(
    account: MailAccount, past: MailState, *, folder: str = "", uids: Collection[int] = (), beside: str = ""
) -> Restored:
    """Bring back a folder of `past` (all if empty), or some of its messages, where the mailbox does not have them now.

    `beside`: not into place, but into folders below this name.  Nothing that is there now is changed or removed.
    """
    folders = [_named(past, folder)] if folder else list(past.folders.values())
    done = Restored()
    for each in folders:
        target = f"{beside}/{each.name}" if beside else each.name
        # R6: of a folder that was damaged then, what is known of it comes back
        messages, lost, shut = 0, past.shut[each.id].lost if each.id in past.shut else 0, done.shut
        try:
            async for batch, missing in _batches(account, each, past, uids):
                lost += missing
                messages += await account.restore(batch, each.keywords, target)
        except Damaged:
            if folder:
                raise
            shut = (*shut, target)
        done = Restored(done.folders + bool(messages), done.messages + messages, done.lost + lost, shut)
    if uids:
        had = set(account.past_folder(folders[0], past).uids)
        done = replace(done, unknown=tuple(sorted(uid for uid in uids if uid not in had)))
    return done


def _named(past: MailState, name: str) -> Folder:
    """A folder, damaged or not.  Raises `NoSuchFolder`."""
    key = past.names.get(normalised(name))
    return past.folders[key] if key in past.shut and key is not None else past.find(name)


async def _batches(
    account: MailAccount, folder: Folder, past: MailState, uids: Collection[int]
) -> AsyncIterator[tuple[list[Kept], int]]:
    """The messages that can be read, and how many cannot."""
    view = account.past_folder(folder, past)
    rows = [row for row, uid in enumerate(view.uids) if not uids or uid in uids]
    for start in range(0, len(rows), AT_ONCE):
        batch, lost = [], 0
        for row in rows[start : start + AT_ONCE]:
            try:
                batch.append(await _kept(account, view, row))
            except (BodyMissing, Damaged):
                lost += 1
        yield batch, lost


async def _kept(account: MailAccount, view: FolderAt, row: int) -> Kept:
    """A message with all that a copy needs; its bytes are read, for what cannot be read is not brought back."""
    address = view.body(row)
    async for _ in account.body_stream(address):
        pass
    (summary,) = await view.packed([row])
    place = address.large
    large = (place.offset, place.length, await account.lasting(place.body)) if place else None
    flags, date = view.flags[row], view.dates[row]
    return Kept(flags, date, address.size, address.commit, address.offset, address.check, NOWHERE, summary, large)
