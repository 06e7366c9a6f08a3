"""When a client that idles hears of mail: at once, and within a bounded time whatever becomes of the push."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from access.service import AccessService
from merpati.bus.api import Consumed
from merpati.events import Changed, encode
from merpati.ids import EventId
from merpati.log.layout import log_of
from tests.access.world import Client, World, account_of, message, world

LARGE = message("large", "x" * 100_000)
"""A commit with it is too large to go along with its push: it must be read."""


async def idle(here: World, user: str = "alice", node: int = 0) -> Client:
    client = await here.imap(user, select="INBOX", node=node)
    await client.idle()
    await asyncio.sleep(0.05)  # it has looked once
    return client


async def silent(client: Client) -> None:
    with pytest.raises(TimeoutError):
        await client.line(0.2)


def deafen(node: AccessService, folder: list[Sequence[Consumed]] | None = None) -> None:
    """The node hears of no change; what it would have heard goes to `folder`."""
    heard = folder if folder is not None else []
    node._feed_one = lambda record: heard.append([record])  # type: ignore[method-assign]


async def test_a_push_that_comes_while_the_store_is_away_is_followed_when_it_is_back(tmp_path: Path) -> None:
    """The one attempt to read what it told of had failed, and nothing tried again."""
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(message(), node=1)
        client = await idle(here)
        here.store.deaf = True
        await here.deliver(LARGE, node=1)
        await silent(client)
        here.store.deaf = False
        assert await client.line() == b"* 2 EXISTS"


async def test_a_push_that_comes_before_idle_while_the_store_is_away_is_followed_too(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(message(), node=1)
        client = await here.imap(select="INBOX")
        here.store.deaf = True
        await here.deliver(LARGE, node=1)
        await asyncio.sleep(0.05)
        await client.idle()
        await silent(client)
        here.store.deaf = False
        assert await client.line() == b"* 2 EXISTS"


async def test_who_says_idle_again_hears_of_what_no_push_told(tmp_path: Path) -> None:
    """RFC 2177 section 3 has clients do that at least every 29 minutes."""
    async with world(tmp_path, nodes=2) as here:
        client = await idle(here)
        deafen(here.nodes[0])
        await here.deliver(message(), node=1)
        await silent(client)
        await client.done()
        client.send("idle IDLE")
        assert (await client.line()).startswith(b"+")
        assert await client.line() == b"* 1 EXISTS"


async def test_a_delivery_that_comes_again_tells_what_the_first_could_not(tmp_path: Path) -> None:
    """A process that dies between its commit and its push: the message is delivered again, and is there already."""
    async with world(tmp_path, nodes=2) as here:
        client = await idle(here)
        lost = list[Sequence[Consumed]]()
        hear = here.nodes[0]._feed_one
        deafen(here.nodes[0], lost)
        await here.deliver(message(), node=1, cause="once")
        await silent(client)
        here.nodes[0]._feed_one = hear  # type: ignore[method-assign]
        await here.deliver(message(), node=1, cause="once")
        assert await client.line() == b"* 1 EXISTS"
        assert len(lost) == 1


async def test_a_mailbox_that_cannot_be_read_keeps_nobody_else_from_news(tmp_path: Path) -> None:
    """Looking again at all mailboxes ended at the first that failed, and began anew, and so on."""
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(message(), node=1)
        await here.deliver(message(), node=1, user="bob")
        alice, bob = await idle(here), await idle(here, "bob")
        layout = log_of(account_of("alice@example.org"))
        newer = bytearray(await here.store.get(layout.commit(2)))
        newer[9] = 99
        await here.store.put(layout.commit(3), bytes(newer))
        await here.nodes[0]._tasks.cancel()
        await here.deliver(message(), node=1, user="bob")
        here.nodes[0]._tasks.loop("changes", here.nodes[0]._follow)
        assert await bob.line() == b"* 2 EXISTS"
        await here.deliver(message(), node=1, user="bob")
        assert await bob.line() == b"* 3 EXISTS"
        assert here.nodes[0].ready() == ""
        await silent(alice)


async def test_pushes_that_come_twice_late_in_disorder_or_from_elsewhere_do_no_harm(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        client = await idle(here)
        pushes = list[Sequence[Consumed]]()
        hear = here.nodes[0]._feed_one
        deafen(here.nodes[0], pushes)
        for number in range(4):
            await here.deliver(message(str(number)), node=1)
        await here.deliver(message("bob's"), node=1, user="bob")
        await asyncio.sleep(0.1)
        records = [record for taken in pushes for record in taken]
        assert len(records) >= 3
        theirs = next(record for record in records if record.key == account_of("bob@example.org").encode())
        wrong = Changed(EventId("0" * 32), account_of("alice@example.org"), 0.0, 3)
        odd = encode(wrong, theirs.value)
        hear(Consumed(odd.topic, 0, 0, 0.0, odd.key, odd.value, odd.headers))
        for record in (*reversed(records), *records, *records):
            hear(record)
        assert await client.line() == b"* 4 EXISTS"
        await silent(client)
        await client.done()
        fetched = b"".join(await client.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        assert [f"Subject: {number}\r\n".encode() in fetched for number in range(4)] == [True] * 4
        assert b"bob" not in fetched
