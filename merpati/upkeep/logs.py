"""The logs that a bucket has, found by looking at it: not by the directory, for that may be what was lost.

Called by whatever goes through all of them.  Reads, and never writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from merpati.directory.fold import DirectoryFold
from merpati.ids import AccountId
from merpati.log.api import EMPTY, Damaged, Fold
from merpati.log.commits import decoded
from merpati.log.layout import Layout, counted_down, last_number, log_of
from merpati.log.snapshots import read_snapshot
from merpati.mailbox.fold import MailboxFold
from merpati.objects.api import NotFound, ObjectStore

PREFIX = "accounts/"
MAILBOX, DIRECTORY, NOTHING = MailboxFold.name, DirectoryFold.name, ""


async def log_ids(store: ObjectStore) -> AsyncIterator[AccountId]:
    """The ids of all logs, one listing each: `0` sorts after the slash and before whatever an id may have."""
    after = ""
    while True:
        found = ""
        async for info in store.list(PREFIX, after=after, limit=1):
            found = info.key
        if not found:
            return
        name = found.removeprefix(PREFIX).partition("/")[0]
        yield AccountId(name)
        after = f"{PREFIX}{name}0"


async def kind_of(store: ObjectStore, id: AccountId) -> str:
    """Which kind of log it is, or `NOTHING` if it has neither snapshot nor commit.  Raises `Damaged`, `NewerFormat`."""
    layout = log_of(id)
    damage: Damaged | None = None
    async for info in store.list(layout.snapshots):
        try:
            return (await read_snapshot(store, layout, counted_down(info.key))).fold
        except NotFound:  # removed since it was listed
            continue
        except Damaged as error:
            damage = damage or error
    if damage is not None:
        raise damage
    return await _by_its_commits(store, layout)


async def _by_its_commits(store: ObjectStore, layout: Layout) -> str:
    async for info in store.list(layout.commits, limit=1):
        if last_number(info.key) != EMPTY + 1:
            raise Damaged("a log without its beginning", key=info.key, rule="R1")
        data = await store.get(info.key)
        folds: tuple[Fold[Any, Any], ...] = (MailboxFold(), DirectoryFold())
        for fold in folds:
            try:
                decoded(fold, data, info.key)
                return fold.name
            except Damaged:
                continue
        raise Damaged("a log of a kind that is not known", key=info.key, rule="B4")
    return NOTHING
