"""An earlier state brought back into the mailbox: what can still be read of it.  Called by the operator's command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace

from merpati.ids import Digest
from merpati.log.api import Damaged
from merpati.mailbox.account import MailAccount
from merpati.mailbox.bodies import Address, LargePlace
from merpati.mailbox.changes import Kept
from merpati.mailbox.flags import names_of
from merpati.mailbox.folder import Folder
from merpati.mailbox.names import normalised
from merpati.mailbox.state import MailState
from merpati.mailbox.values import Append, BodyMissing, Large, NoSuchFolder
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
    account: MailAccount,
    past: MailState,
    *,
    folder: str = "",
    uids: Collection[int] = (),
    beside: str = "",
    without: int = 0,
) -> Restored:
    """Bring back a folder of `past` (all if empty), or some of its messages, where the mailbox does not have them now.

    `beside`: not into place, but into folders below this name.  `without`: flags that do not come back.  Nothing
    that is there now is changed or removed.
    """
    folders = [_named(past, folder)] if folder else list(past.folders.values())
    done = Restored()
    for each in folders:
        target = f"{beside}/{each.name}" if beside else each.name
        # R6: of a folder that was damaged then, what is known of it comes back
        messages, lost, shut = 0, past.shut[each.id].lost if each.id in past.shut else 0, done.shut
        try:
            async for batch, missing in _batches(account, each, past, uids, without):
                lost += missing
                messages += await _brought(account, batch, each.keywords, target)
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
    account: MailAccount, folder: Folder, past: MailState, uids: Collection[int], without: int
) -> AsyncIterator[tuple[list[Kept], int]]:
    """The messages that can be read, and how many cannot."""
    view = account.past_folder(folder, past)
    rows = [row for row, uid in enumerate(view.uids) if not uids or uid in uids]
    for start in range(0, len(rows), AT_ONCE):
        batch, lost = [], 0
        for row in rows[start : start + AT_ONCE]:
            try:
                batch.append(await _kept(account, view, row, without))
            except (BodyMissing, Damaged):
                lost += 1
        yield batch, lost


async def _kept(account: MailAccount, view: FolderAt, row: int, without: int) -> Kept:
    """A message with all that a copy needs; its bytes are read, for what cannot be read is not brought back."""
    address = view.body(row)
    async for _ in account.body_stream(address):
        pass
    (summary,) = await view.packed([row])
    place = address.large
    large = (place.offset, place.length, await account.lasting(place.body)) if place else None
    flags, date = view.flags[row] & ~without, view.dates[row]
    return Kept(flags, date, address.size, address.commit, address.offset, address.check, NOWHERE, summary, large)


async def _brought(account: MailAccount, batch: Sequence[Kept], keywords: Sequence[str], target: str) -> int:
    """Put messages into a folder, as copies; but written anew if their bytes are about to go (P9).  How many came."""
    attachments = {_attachment(kept) for kept in batch}
    try:
        stay = {*await account.staying(attachments), NOWHERE}
    except Damaged:  # then nobody can tell
        stay = {NOWHERE}
    copies = [kept for kept in batch if _attachment(kept) in stay]
    anew = [kept for kept in batch if _attachment(kept) not in stay]
    came = await account.restore(copies, keywords, target) if copies else 0
    there = await _there(account, target) if anew else set()
    for kept in anew:
        address = _address(kept)
        if not _names(address) & there:
            flags = names_of(kept.flags, keywords)
            message = Append(target, await _content(account, address), flags, kept.date)
            came += len(await account.append([message], create=True))
    return came


def _attachment(kept: Kept) -> tuple[int, int]:
    """Where bytes of a message stand in the log; NOWHERE if all of it is an object of its own."""
    if kept.large is None:
        return kept.commit, kept.offset
    offset, length, _ = kept.large
    return (kept.commit, offset) if length else NOWHERE


def _address(kept: Kept) -> Address:
    place = LargePlace(kept.commit, kept.offset, *kept.large) if kept.large else None
    return Address(kept.commit, kept.offset, kept.size, kept.check, place)


async def _content(account: MailAccount, address: Address) -> bytes | Large:
    place = address.large
    if place is None:
        return await account.body(address)
    prefix = await account.body_range(address, 0, place.length)
    return Large(place.body.key, Digest(place.body.digest.hex()), place.body.size, prefix, place.body.without)


async def _there(account: MailAccount, name: str) -> set[object]:
    """What the messages of a folder are known by."""
    try:
        view = await account.folder(name, fresh=True)
    except NoSuchFolder:
        return set()
    return {known for row in range(view.exists) for known in _names(view.body(row))}


def _names(address: Address) -> set[object]:
    """By what a message is known: its address, and its bytes, for one that was written anew has another address."""
    content = address.large.body.digest if address.large else address.check
    return {address.email_id, (address.size, content)}
