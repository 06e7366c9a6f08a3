"""A directory whose log is damaged: what stands before the damage answers, and nobody is told a no because of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from merpati.directory.editing import INSTALLATION
from merpati.directory.log_directory import LogDirectory
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


async def test_who_lists_can_ask_what_the_list_lacks() -> None:
    site, key = await spoiled(DOMAIN)
    directory = site.directory()
    assert [entry.address for entry in await directory.accounts()] == ["ann@example.org"]
    assert key in directory.lacking
    whole = Site()
    await whole.directory().add_domain("example.org")
    directory = whole.directory()
    assert await directory.accounts() == [] and directory.lacking == ""
