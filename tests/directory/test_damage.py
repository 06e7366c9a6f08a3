"""A directory whose log is damaged: what stands before the damage answers, and nobody is told a no because of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from merpati.directory.editing import INSTALLATION
from merpati.directory.log_directory import FRESH, LogDirectory
from merpati.errors import Unavailable
from merpati.ids import AccountId
from tests.directory.test_snapshots import DOMAIN, HASH, Site


async def spoiled(log: AccountId) -> tuple[Site, str]:
    """Two accounts, of which the second came with the commit that is damaged; or a second domain that did."""
    site = Site()
    directory = site.directory()
    await directory.add_domain("example.org")
    await directory.add_account("ann@example.org", HASH)
    await (directory.add_account("bob@example.org", HASH) if log == DOMAIN else directory.add_domain("other.org"))
    await directory.stop(0)
    last = (await site.keys("log", log))[-1]
    data = await site.bare.get(last)
    await site.bare.put(last, data[:-1] + bytes([data[-1] ^ 1]))
    return site, last


async def may_send(directory: LogDirectory, address: str) -> object:
    ann = await directory.account("ann@example.org")
    assert ann is not None
    return await directory.may_send_as(ann, address)


ASKED: dict[str, Callable[[LogDirectory, str], Awaitable[object]]] = {
    "where mail goes": LogDirectory.resolve,
    "who logs in": LogDirectory.account,
    "who may send as": may_send,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))
@pytest.mark.parametrize(("log", "address"), [(DOMAIN, "bob@example.org"), (INSTALLATION, "bob@other.org")])
async def test_damage_is_no_reason_for_a_no(
    log: AccountId, address: str, ask: Callable[[LogDirectory, str], Awaitable[object]]
) -> None:
    site, key = await spoiled(log)
    directory = site.directory()
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await ask(directory, address)
        assert key in str(caught.value)
    assert await ask(directory, "ann@example.org")
    assert (await directory.resolve("ann@example.org")).known


@pytest.mark.parametrize("by", ["the catch-all", "an alias"])
async def test_nobody_else_takes_the_mail_of_an_account_that_may_be_lost(by: str) -> None:
    """Who is not found may stand behind the damage: the catch-all does not get it, nor do the others of a team."""
    site = Site()
    directory = site.directory()
    await directory.add_domain("example.org", "ann@example.org" if by == "the catch-all" else "")
    await directory.add_account("ann@example.org", HASH)
    await directory.add_account("eve@example.org", HASH)
    await directory.add_alias("team@example.org", ("ann@example.org", "bob@example.org"))
    asked = "bob@example.org" if by == "the catch-all" else "team@example.org"
    before = await directory.resolve(asked)
    assert [target.address for target in before.accounts] == ["ann@example.org"]
    await directory.add_account("bob@example.org", HASH)
    assert "bob@example.org" in [target.address for target in (await directory.resolve(asked)).accounts]
    await directory.stop(0)
    last = (await site.keys("log", DOMAIN))[-1]
    await site.bare.put(last, b"torn")
    with pytest.raises(Unavailable) as caught:
        await site.directory().resolve(asked)
    assert last in str(caught.value)
    assert (await site.directory().resolve("eve@example.org")).known


async def test_an_account_that_was_just_added_elsewhere_gets_its_mail_and_not_the_catch_all() -> None:
    site = Site()
    here, elsewhere = site.directory(), site.directory()
    await here.add_domain("example.org", "ann@example.org")
    await here.add_account("ann@example.org", HASH)
    assert [target.address for target in (await here.resolve("bob@example.org")).accounts] == ["ann@example.org"]
    await elsewhere.add_account("bob@example.org", HASH)
    await site.clock.advance(FRESH + 0.1)
    assert [target.address for target in (await here.resolve("bob@example.org")).accounts] == ["bob@example.org"]


async def test_who_lists_can_ask_what_the_list_lacks() -> None:
    site, key = await spoiled(DOMAIN)
    directory = site.directory()
    assert [entry.address for entry in await directory.accounts()] == ["ann@example.org"]
    assert key in directory.lacking
    whole = Site()
    await whole.directory().add_domain("example.org")
    directory = whole.directory()
    assert await directory.accounts() == [] and directory.lacking == ""
