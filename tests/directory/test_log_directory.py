"""The directory as the services see it: fresh, quick, patient with a store that is away, and never wrong for long."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import pytest

from merpati.bus.memory import MemoryBus
from merpati.clock import ManualClock
from merpati.directory.editing import INSTALLATION, log_of
from merpati.directory.log_directory import FRESH, HARD, MAX_DOMAINS, STALE, LogDirectory
from merpati.errors import Permanent, Unavailable
from merpati.events import topic_specs
from merpati.ids import SeededDice
from merpati.telemetry import Metrics
from tests.directory.shared_logs import Bucket


class Site:
    """A bucket, a bus, a clock, and directories of as many processes as a test wants."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.bucket = Bucket()
        self.bus = MemoryBus(clock, SeededDice(1))
        self.seed = 0

    def directory(self, *, follows: bool = False) -> LogDirectory:
        self.seed += 1
        bus = self.bus if follows else None
        return LogDirectory(self.bucket.open, self.clock, SeededDice(self.seed), Metrics(), bus)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site(ManualClock())
    await site.bus.start()
    await site.bus.ensure_topics(topic_specs(2, ()))
    yield site
    await site.bus.close()


async def filled(site: Site) -> LogDirectory:
    directory = site.directory()
    await directory.add_domain("A.test")
    await directory.add_account("Bob@a.test", "$argon2id$x", quota=7)
    await directory.add_alias("sales@a.test", ("bob@a.test", "friend@else.where"))
    return directory


async def test_what_was_added_is_found_by_the_one_who_added_it_and_by_others(site: Site) -> None:
    mine = await filled(site)
    for directory in (mine, site.directory()):
        found = await directory.resolve("bob+x@a.test")
        assert [(t.address, t.detail, t.quota) for t in found.accounts] == [("Bob@a.test", "x", 7)]
        account = await directory.account("BOB@A.test")
        assert account is not None and account.quota == 7
        assert await directory.may_send_as(account, "bob+news@a.test")
        assert (await directory.resolve("sales@a.test")).remote == ("friend@else.where",)
        assert [entry.name for entry in await directory.domains()] == ["a.test"]
        assert [entry.address for entry in await directory.accounts()] == ["Bob@a.test"]
        assert [entry.address for entry in await directory.aliases("a.test")] == ["sales@a.test"]


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda d: d.add_domain("a.test"), "there already"),
        (lambda d: d.add_domain("a b"), "domain"),
        (lambda d: d.add_domain("b.test", "nowhere"), "no address"),
        (lambda d: d.add_account("x@elsewhere.test", ""), "no domain of ours"),
        (lambda d: d.add_account("x y@a.test", ""), "no address"),
        (lambda d: d.add_account("x", ""), "no address"),
        (lambda d: d.add_account("bob@a.test", ""), "there is an account"),
        (lambda d: d.add_alias("new@a.test", ()), "needs a target"),
        (lambda d: d.add_alias("new@a.test", ("a b",)), "no address"),
        (lambda d: d.remove_domain("a.test"), "still has 1 accounts"),
        (lambda d: d.remove_domain("c.test"), "no domain"),
        (lambda d: d.remove_account("eve@a.test"), "no account"),
        (lambda d: d.accounts("c.test"), "no domain"),
    ],
)
async def test_a_mistake_is_answered_in_words(site: Site, attempt, words: str) -> None:  # type: ignore[no-untyped-def]
    directory = await filled(site)
    with pytest.raises(Permanent, match=words):
        await attempt(directory)


async def test_a_domain_goes_when_it_is_empty_and_its_mail_is_foreign_then(site: Site) -> None:
    directory = await filled(site)
    await directory.remove_alias("sales@a.test")
    await directory.remove_account("bob@a.test")
    await directory.remove_domain("a.test")
    assert not (await directory.resolve("bob@a.test")).local_domain


async def test_names_in_two_writings_of_one_domain_are_one(site: Site) -> None:
    directory = site.directory()
    await directory.add_domain("Bücher.test")
    await directory.add_account("käthe@xn--bcher-kva.TEST", "")
    assert (await directory.resolve("KÄTHE@bücher.test")).known


async def test_look_ups_do_not_read_while_what_is_known_is_fresh(site: Site) -> None:
    await filled(site)
    directory = site.directory()
    await directory.resolve("bob@a.test")
    before = site.bucket.reads.total()
    for _ in range(100):
        await directory.resolve("bob@a.test")
    assert site.bucket.reads.total() == before


async def test_a_change_elsewhere_is_seen_within_seconds_of_use(site: Site) -> None:
    writer, reader = await filled(site), site.directory()
    account = await reader.account("bob@a.test")
    assert account is not None and account.enabled
    await writer.change_account("bob@a.test", enabled=False)
    await site.clock.advance(FRESH + 0.1)
    await reader.account("bob@a.test")  # sees that it is old, and reads in the background
    await site.clock.advance(0.1)
    account = await reader.account("bob@a.test")
    assert account is not None and not account.enabled and account.version == 2


async def test_after_a_long_silence_the_first_answer_is_fresh_already(site: Site) -> None:
    writer, reader = await filled(site), site.directory()
    await reader.account("bob@a.test")
    await writer.change_account("bob@a.test", password_hash="new")
    await site.clock.advance(HARD + 1)
    account = await reader.account("bob@a.test")
    assert account is not None and account.password_hash == "new"


async def test_a_no_is_looked_up_again_but_not_for_each_who_asks(site: Site) -> None:
    writer, reader = await filled(site), site.directory()
    assert not (await reader.resolve("eve@a.test")).known
    await writer.add_account("eve@a.test", "")
    before = site.bucket.reads[log_of("a.test")]
    for _ in range(50):
        await reader.resolve("eve@a.test")
    assert site.bucket.reads[log_of("a.test")] == before  # a guesser costs the store nothing
    await site.clock.advance(FRESH + 0.1)
    assert (await reader.resolve("eve@a.test")).known
    assert site.bucket.reads[log_of("a.test")] == before + 1


async def test_many_who_ask_at_once_share_one_reading(site: Site) -> None:
    await filled(site)
    site.bucket.reads.clear()
    reader = site.directory()
    await asyncio.gather(*(reader.resolve("bob@a.test") for _ in range(200)))
    assert site.bucket.reads == {INSTALLATION: 1, log_of("a.test"): 1}


async def test_without_the_store_the_last_state_serves_for_a_while_then_nothing_is_said(site: Site) -> None:
    await filled(site)
    reader = site.directory()
    await reader.resolve("bob@a.test")
    site.bucket.down = True
    for seconds in (FRESH + 1, HARD, STALE / 2):
        await site.clock.advance(seconds)
        assert (await reader.resolve("bob@a.test")).known
    await site.clock.advance(STALE)
    with pytest.raises(Unavailable):
        await reader.resolve("bob@a.test")
    site.bucket.down = False
    await site.clock.advance(2)
    assert (await reader.resolve("bob@a.test")).known


async def test_without_the_store_nobody_is_told_that_a_user_is_not_there(site: Site) -> None:
    await filled(site)
    reader = site.directory()
    await reader.resolve("bob@a.test")
    site.bucket.down = True
    await site.clock.advance(FRESH + 1)
    for address in ("nobody@a.test", "somebody@else.where"):
        with pytest.raises(Unavailable):
            await reader.resolve(address)
    with pytest.raises(Unavailable):
        await reader.account("nobody@a.test")


async def test_a_store_that_was_never_there_is_no_reason_not_to_start(site: Site) -> None:
    site.bucket.down = True
    directory = site.directory()
    await directory.start()
    with pytest.raises(Unavailable):
        await directory.resolve("bob@a.test")
    assert directory.ready() == "directory unavailable"
    site.bucket.down = False
    await site.clock.advance(2)
    assert not (await directory.resolve("bob@a.test")).local_domain
    assert directory.ready() == ""
    await directory.stop(1)


async def test_a_reading_that_hangs_keeps_no_answer_back_that_is_known(site: Site) -> None:
    await filled(site)
    reader = site.directory()
    await reader.resolve("bob@a.test")
    site.bucket.hang = asyncio.Event()
    await site.clock.advance(FRESH + 1)
    assert (await reader.resolve("bob@a.test")).known
    await reader.stop(1)


async def test_the_bus_tells_of_a_change_at_once(site: Site) -> None:
    reader, writer = site.directory(follows=True), site.directory(follows=True)
    await reader.start()
    await writer.add_domain("a.test")
    await writer.add_account("bob@a.test", "old")
    await reader.account("bob@a.test")
    await writer.change_account("bob@a.test", password_hash="new")
    async with asyncio.timeout(5):
        while True:
            await site.clock.advance(0.01)
            account = await reader.account("bob@a.test")
            if account is not None and account.password_hash == "new":
                break
    await reader.stop(1)


async def test_domains_that_nobody_asks_about_are_forgotten_first(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merpati.directory.log_directory.MAX_DOMAINS", 20)
    assert MAX_DOMAINS > 20
    writer = site.directory()
    for n in range(40):
        await writer.add_domain(f"d{n}.test")
    reader = site.directory()
    for n in range(40):
        await site.clock.advance(0.01)
        await reader.resolve("x@d0.test")
        await reader.resolve(f"x@d{n}.test")
    assert len(reader._shelf) <= 22
    assert log_of("d0.test") in reader._shelf and INSTALLATION in reader._shelf


async def test_look_ups_are_quick_enough_for_every_rcpt(site: Site) -> None:
    directory = await filled(site)
    await directory.resolve("bob@a.test")
    n = 20_000
    began = perf_counter()
    for _ in range(n):
        await directory.resolve("bob@a.test")
    assert n / (perf_counter() - began) > 20_000  # over 100,000 on an idle machine
