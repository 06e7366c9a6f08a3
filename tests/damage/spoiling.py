"""A mailbox with an object of every kind, ways to spoil them, and what is compared afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from merpati.clock import ManualClock
from merpati.ids import AccountId, SeededDice
from merpati.log.layout import log_of
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, BodyMissing
from merpati.objects.api import NotFound, ObjectStore
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, mail, mailboxes, messages

OTHER = AccountId("c" * 26)
"""Whose objects stand where they do not belong."""

Message = tuple[int, bytes, tuple[str, ...]]
"""UID, bytes, flags."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a client can see of a mailbox."""

    folders: dict[str, list[Message]]
    identities: Mapping[str, tuple[int, int]]
    """UIDVALIDITY and UIDNEXT."""

    @property
    def bodies(self) -> set[bytes]:
        return {body for rows in self.folders.values() for _, body, _ in rows}


async def lived(store: ObjectStore, clock: ManualClock, account: AccountId = ACCOUNT, seed: int = 7) -> MailAccount:
    """Compacted and truncated up to some commit, a snapshot later, and commits after that."""
    mailbox = await mailboxes(store, clock, SeededDice(seed)).open(account)
    name = str(account)[0]
    await mailbox.create("Work/Plans")
    for number in range(8):
        await mailbox.append(messages(f"{name}{number}", flags=("$a",) if number % 3 else ()))
    await mailbox.append([Append("Archive", mail(f"{name}large", 300_000))])
    await mailbox.store("INBOX", [1, 4], ["\\Seen", "$later"])
    await mailbox.copy("INBOX", [2, 3], "Work/Plans")
    await mailbox.expunge("INBOX", [3, 5], only_deleted=False)
    await mailbox.compact()
    await clock.advance(GRACE + 1)
    await mailbox.compact()
    await mailbox.append(messages(f"{name}between", folder="Work"))
    await mailbox.keep_snapshot()
    await clock.advance(1.0)
    for number in range(5):
        await mailbox.append(messages(f"{name}tail {number}"))
    await mailbox.store("INBOX", [1], ["\\Flagged"])
    return mailbox


async def shape(account: MailAccount) -> Shape:
    folders, identities = {}, {}
    view = await account.refresh()
    for name, info in view.folders.items():
        folder = await account.folder(name)
        folders[name] = [
            (folder.uids[row], await account.body(folder.body(row)), folder.flag_names(folder.flags[row]))
            for row in range(folder.exists)
        ]
        identities[name] = (info.uidvalidity, info.uidnext)
    return Shape(folders, identities)


async def left(account: MailAccount, but: str = "") -> Shape:
    """What can be read of a mailbox, without the messages that cannot, and without one folder."""
    folders, identities = {}, {}
    for name, info in (await account.refresh()).folders.items():
        if name == but:
            continue
        folder = await account.folder(name)
        rows = []
        for row in range(folder.exists):
            try:
                body = await account.body(folder.body(row))
            except BodyMissing:
                continue
            rows.append((folder.uids[row], body, folder.flag_names(folder.flags[row])))
        folders[name], identities[name] = rows, (info.uidvalidity, info.uidnext)
    return Shape(folders, identities)


async def keys(store: ObjectStore, kind: str, account: AccountId = ACCOUNT) -> list[str]:
    return [info.key async for info in store.list(f"{log_of(account).prefix}/{kind}/")]


async def everything(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: await store.get(info.key) async for info in store.list("")}


def _flipped(at: Callable[[int], int]) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        place = at(len(data))
        return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]

    return flip


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "cut in the preamble": lambda data: data[:7],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut by one byte": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "a bit of the kind": _flipped(lambda size: 8),
    "a bit before the end": _flipped(lambda size: size - 50),
    "a bit of the digest": _flipped(lambda size: size - 1),
    "another text": lambda data: b"<html>404</html>",
}


async def spoil(store: MemoryStore, key: str, how: str) -> None:
    """`gone`, `foreign` (that of another account), or one of SPOILED."""
    if how == "gone":
        await store.delete([key])
    elif how == "foreign":
        await store.put(key, await _foreign(store, key))
    else:
        await store.put(key, SPOILED[how](await store.get(key)))


async def _foreign(store: MemoryStore, key: str) -> bytes:
    """An object of the same kind of another account, with the same number if it has one."""
    there = key.replace(ACCOUNT, OTHER)
    try:
        return await store.get(there)
    except NotFound:
        kind = key.removeprefix(LAYOUT.prefix).split("/")[1]
        return await store.get((await keys(store, kind, OTHER))[0])
