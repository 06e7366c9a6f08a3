"""A bucket is all that an installation needs to come back: a new one pointed at it serves every mailbox."""

from __future__ import annotations

import pytest

from merpati.clock import ManualClock
from merpati.directory.editing import INSTALLATION
from merpati.directory.editing import log_of as of_domain
from merpati.directory.fold import DirectoryFold
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.directory.rebuilding import rebuilt
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.commit_log import CommitLog
from merpati.log.layout import log_of
from merpati.log.reading import GRACE, Reader
from merpati.log.verifying import verified
from merpati.mailbox.api import Append
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.damage.spoiling import Shape, shape
from tests.mailbox.worlds import mail, mailboxes

PEOPLE = ("ann@one.test", "bob@one.test", "cid@two.test")


def directory_of(store: MemoryStore, clock: ManualClock, seed: int) -> LogDirectory:
    return open_directory(store, None, clock, SeededDice(seed), Metrics())


async def inhabited(store: MemoryStore, clock: ManualClock) -> dict[str, Shape]:
    directory = directory_of(store, clock, 1)
    for domain in ("one.test", "two.test"):
        await directory.add_domain(domain)
    seen = {}
    for number, address in enumerate(PEOPLE):
        entry = await directory.add_account(address, f"hash of {address}")
        account = await mailboxes(store, clock, SeededDice(10 + number)).open(entry.id)
        await account.create("Plans/2030")
        for count in range(5):
            await account.append([Append("INBOX", mail(f"{address} {count}"), ("\\Seen", "$mine"))])
        await account.append([Append("Plans/2030", mail(f"{address} large", 300_000))])
        await account.expunge("INBOX", [2], only_deleted=False)
        if number:
            await account.compact()
            await clock.advance(GRACE + 1)
            await account.compact()
        await account.keep_snapshot()
        await account.append([Append("INBOX", mail(f"{address} last"))])
        seen[address] = await shape(account)
    await directory.add_alias("all@one.test", PEOPLE)
    await directory.stop(0)
    return seen


async def served(store: MemoryStore, clock: ManualClock) -> dict[str, Shape]:
    """What a new installation shows that knows nothing but the bucket."""
    directory = directory_of(store, clock, 2)
    found = {}
    for domain in await directory.domains():
        for entry in await directory.accounts(domain.name):
            assert entry.password_hash == f"hash of {entry.address}"
            found[entry.address] = await shape(await mailboxes(store, clock, SeededDice(99)).open(entry.id))
    assert (await directory.resolve("all@one.test")).known
    await directory.stop(0)
    return found


async def test_a_new_installation_serves_all_mail_of_the_bucket() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    expected = await inhabited(store, clock)
    assert await served(store, clock) == expected
    gone = [info.key async for info in store.list("accounts/") if "/snap/" in info.key or "/chunk/" in info.key]
    await store.delete(gone)
    assert len(gone) > 10
    assert await served(store, clock) == expected, "the logs alone are enough: directories and mailboxes"


async def test_the_log_of_a_directory_is_verified_as_a_mailbox_is() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await inhabited(store, clock)
    layout = log_of(INSTALLATION)
    reader = Reader(store, layout, DirectoryFold(), clock, SeededDice(4))
    assert await verified(reader) == []
    await store.put(layout.commit(2), b"x")
    assert [(each.key, each.rule) for each in await verified(reader)] == [(layout.commit(2), "B2")]


async def test_a_directory_with_a_lost_commit_is_mended_and_changed_again() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    directory = directory_of(store, clock, 1)
    await directory.add_domain("one.test")
    for name in ("ann", "bob", "cid"):
        await directory.add_account(f"{name}@one.test", "hash")
    layout = log_of(of_domain("one.test"))
    numbers = [int(info.key[-20:]) async for info in store.list(layout.commits)]
    await store.put(layout.commit(numbers[1]), b"x")
    other = directory_of(store, clock, 2)
    assert [entry.address for entry in await other.accounts("one.test")] == ["ann@one.test"]
    with pytest.raises(Damaged):
        await other.add_account("dan@one.test", "hash")
    log = CommitLog(store, layout, DirectoryFold(), clock=clock, dice=SeededDice(5))
    done = await rebuilt(log)
    assert not done.exact and done.lost == (f"what was done by commit {numbers[1]}",)
    third = directory_of(store, clock, 3)
    assert {entry.address for entry in await third.accounts("one.test")} == {"ann@one.test", "cid@one.test"}
    await third.add_account("dan@one.test", "hash")
    await clock.advance(60)
    assert await other.account("dan@one.test"), "who knew the damage goes on"
    assert await directory.account("cid@one.test")
    for each in (directory, other, third):
        await each.stop(0)
