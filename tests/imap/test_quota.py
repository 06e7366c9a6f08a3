"""What makes a mailbox grow is refused beyond the quota, and nothing else is (RFC 9208)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.world import Client, message, world

ONE = message(body="x" * 500)
SIZE = len(ONE)
FULL = b"NO [OVERQUOTA] the mailbox is full"


async def multi(client: Client, *messages: bytes) -> bytes:
    """An APPEND of several; the tagged response without the tag."""
    client.raw(b"m APPEND INBOX")
    for each in messages:
        client.raw(b" {%d+}\r\n%b" % (len(each), each))
    client.raw(b"\r\n")
    return (await client.answer("m"))[-1].partition(b" ")[2]


async def test_an_append_beyond_the_quota_is_refused_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.users.change("alice", quota=2 * SIZE)
        client = await here.imap(select="INBOX")
        assert await multi(client, ONE, ONE, ONE) == FULL
        assert await client.ok("SEARCH ALL") == [b"* SEARCH"]
        assert (await multi(client, ONE, ONE)).startswith(b"OK")
        assert await multi(client, ONE) == FULL
        other = await here.imap("bob")
        assert (await multi(other, ONE, ONE, ONE)).startswith(b"OK"), "another's quota is another's"


async def test_a_copy_counts_and_a_move_does_not(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.users.change("alice", quota=2 * SIZE)
        await here.deliver(ONE)
        client = await here.imap(select="INBOX")
        await client.ok("CREATE There")
        await client.ok("COPY 1 There")
        assert await client.refused("COPY 1 There") == FULL
        assert await client.refused("UID COPY 1 INBOX") == FULL
        await client.ok("MOVE 1 There")
        await client.ok("SELECT There")
        assert await client.ok("SEARCH ALL") == [b"* SEARCH 1 2"]


async def test_who_makes_room_or_is_given_more_can_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.users.change("alice", quota=SIZE)
        await here.deliver(ONE)
        client = await here.imap(select="INBOX")
        assert await multi(client, ONE) == FULL
        await client.ok("STORE 1 +FLAGS (\\Deleted)")
        await client.ok("EXPUNGE")
        assert (await multi(client, ONE)).startswith(b"OK")
        assert await multi(client, ONE) == FULL
        here.users.change("alice", quota=2 * SIZE)
        assert (await multi(client, ONE)).startswith(b"OK")
        here.users.change("alice", quota=0)
        assert (await multi(client, ONE, ONE)).startswith(b"OK"), "0 is no limit"


@pytest.mark.parametrize("command", ["COPY 1 INBOX", "APPEND"])
async def test_while_the_quota_cannot_be_told_nothing_grows(tmp_path: Path, command: str) -> None:
    async with world(tmp_path) as here:
        await here.deliver(ONE)
        client = await here.imap(select="INBOX")
        here.users.down = True
        refused = await multi(client, ONE) if command == "APPEND" else await client.refused(command)
        assert refused.startswith(b"NO [UNAVAILABLE]")
        await client.ok("STORE 1 +FLAGS (\\Seen)")
        here.users.down = False
        assert await client.ok("SEARCH ALL") == [b"* SEARCH 1"]


async def test_a_login_that_counts_no_more_makes_nothing_grow(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap(select="INBOX")
        here.users.change("alice", enabled=False)
        assert (await multi(client, ONE)).startswith(b"NO [EXPIRED]")
        assert (await client.line()).startswith(b"* BYE [EXPIRED]")
