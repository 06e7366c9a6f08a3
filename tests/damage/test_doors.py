"""What clients see of a damaged mailbox and of a full store: a NO that says it is not for ever, and all the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.ids import SeededDice
from merpati.log.layout import log_of
from merpati.log.snapshots import read_snapshot
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import Full
from tests.access.world import World, account_of, message, world


async def damaged(here: World) -> None:
    """The columns of INBOX are gone, and nothing makes up for them."""
    await here.deliver(message("in the inbox"))
    await here.deliver(message("put away"), folder="Archive")
    id = account_of("alice@example.org")
    layout = log_of(id)
    elsewhere = AllMailboxes(here.store, clock=SystemClock(), dice=SeededDice(3))
    account = elsewhere.account(id)
    await account.refresh()
    await account.keep_snapshot()
    assert account.log.tip is not None
    snapshot = await read_snapshot(here.store, layout, account.log.tip.number)
    await here.store.delete([layout.commit(2), layout.chunk(snapshot.chunks[0])])


async def test_a_folder_that_is_damaged_is_refused_and_the_others_are_served(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        await damaged(here)
        client = await here.imap(node=1)
        assert any(b"INBOX" in line for line in await client.ok('LIST "" *'))
        for command in ("SELECT INBOX", "EXAMINE INBOX"):
            assert (await client.refused(command)).startswith(b"NO [UNAVAILABLE] this folder is damaged")
        assert any(b"* 1 EXISTS" in line for line in await client.ok("SELECT Archive"))
        fetched = b"".join(await client.ok("FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        assert b"put away" in fetched
        await client.append(message("new"), folder="Archive")
        assert (await client.refused("COPY 1 INBOX")).startswith(b"NO [UNAVAILABLE]")
        await client.ok("STORE 1 +FLAGS (\\Seen)")


async def test_a_full_store_refuses_what_would_grow_and_shows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message("there"))
        client = await here.imap(select="INBOX")

        async def full(key: str, data: bytes) -> None:
            raise Full("the mail store is full", key=key, lasting=True)

        monkeypatch.setattr(here.store, "create", full)
        monkeypatch.setattr(here.store, "put", full)
        new = message("new")
        client.raw(b"m APPEND INBOX {%d+}\r\n%b\r\n" % (len(new), new))
        assert (await client.answer("m"))[-1] == b"m NO [UNAVAILABLE] the mail store is full"
        for command in ("STORE 1 +FLAGS (\\Deleted)", "COPY 1 Archive", "CREATE New", "MOVE 1 Archive"):
            assert (await client.refused(command)) == b"NO [UNAVAILABLE] the mail store is full"
        assert b"there" in b"".join(await client.ok("FETCH 1 BODY.PEEK[]"))
        assert await client.ok("SEARCH ALL") == [b"* SEARCH 1"]
        monkeypatch.undo()
        await client.append(new)
        assert await client.ok("SEARCH ALL") == [b"* SEARCH 1 2"]
