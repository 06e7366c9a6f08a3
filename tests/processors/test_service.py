"""The processors as a service: from `mail.received` to the outputs, second tries, a graceful end, and readiness."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from merpati.clock import SystemClock
from merpati.errors import Misconfigured
from merpati.events import Happened, Local, What, decode, encode
from merpati.ids import SeededDice
from merpati.net.dns import StaticResolver
from merpati.service import Service, running
from merpati.settings import ProcessorSettings
from processors.service import ProcessorsService
from tests.processors.site import HOST, RAW, Site

HOSTILE = "tests.processors.hostile:Hostile"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = await Site(SystemClock()).open()
    yield site
    await site.bus.close()


def service(site: Site, *entries: ProcessorSettings) -> ProcessorsService:
    resolver = StaticResolver({"site.test": {"TXT": ["v=spf1"]}}, SeededDice(1))
    return ProcessorsService(site.bus, site.store, site.directory, resolver, entries, site.clock, HOST, site.metrics)


async def send(site: Site, subject: str = "hello", n: int = 1) -> set[str]:
    raw = f"Subject: {subject}\r\n\r\nHello\r\n".encode()
    events = [site.received(raw=raw) for _ in range(n)]
    await site.bus.publish([encode(event, raw) for event in events])
    return {event.message for event in events}


async def stored(site: Site) -> list[Local]:
    events = [decode(record) for record in await site.published("mail.local")]
    return [event for event in events if isinstance(event, Local)]


async def until_stored(site: Site, messages: set[str]) -> list[Local]:
    for _ in range(400):
        found = await stored(site)
        if messages <= {event.message for event in found}:
            return found
        await asyncio.sleep(0.05)
    raise TimeoutError


async def test_messages_go_in_and_come_out(site: Site) -> None:
    mine: Service = service(site)
    assert mine.ready() == "not started"
    async with running(mine):
        found = await until_stored(site, await send(site, n=100))
        assert mine.ready() == ""
    assert len(found) == 100
    assert site.metrics.happened.labels("processors", "routed")._value.get() == 100


async def test_the_demo_files_a_message_by_its_subject(site: Site) -> None:
    entry = ProcessorSettings(use="file-by-subject", options={"contains": "[Pigeons]", "folder": "Pigeons"})
    async with running(service(site, entry)):
        filed = await send(site, "Re: [pigeons] they home")
        plain = await send(site, "lunch")
        found = {event.message: event.folder for event in await until_stored(site, filed | plain)}
    assert [found[message] for message in (*filed, *plain)] == ["Pigeons", "INBOX"]


async def test_a_mistake_in_the_settings_is_told_before_it_starts(site: Site) -> None:
    with pytest.raises(Misconfigured, match="did you mean `file-by-subject`"):
        service(site, ProcessorSettings(use="file-by-subjct"))
    other = service(site, ProcessorSettings(use=HOSTILE, options={"greting": "x"}))
    with pytest.raises(Misconfigured, match="did you mean `greeting`"):
        await other.start()
    await other.stop(1)


@pytest.mark.parametrize("deed", ["raise", "_exit", "busy", "segfault", "leak", "junk"])
@pytest.mark.slow
async def test_poison_for_a_processor_delays_no_neighbour(site: Site, deed: str) -> None:
    entry = ProcessorSettings(use=HOSTILE, name="hostile", timeout="4s", on_error="quarantine")
    async with running(service(site, entry)):
        poison = await send(site, deed)
        began = asyncio.get_running_loop().time()
        await until_stored(site, await send(site, n=10))
        assert asyncio.get_running_loop().time() - began < 4.0  # where nothing else runs, 0.3
        await until_stored(site, poison)
    happened = [decode(record) for record in await site.published("mail.events")]
    failed = [event for event in happened if isinstance(event, Happened) and event.detail.get("outcome") == "failed"]
    assert {event.message for event in failed} == poison


@pytest.mark.slow
async def test_a_message_that_failed_is_processed_again_by_and_by(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.working.TIER", ("processing", 0.5))
    monkeypatch.setattr("processors.working.RETRIES", 2)
    entry = ProcessorSettings(use=HOSTILE, name="hostile", timeout="1s")
    async with running(service(site, entry)):
        poison = await send(site, "raise")
        for _ in range(200):
            if await site.published("mail.dead"):
                break
            await asyncio.sleep(0.05)
    happened = [decode(record) for record in await site.published("mail.events")]
    whats = [event.what for event in happened if isinstance(event, Happened) and event.message in poison]
    assert whats == [What.PROCESSED] * 3 + [What.PARKED]
    assert not await stored(site)


async def test_what_it_holds_is_finished_when_it_stops(site: Site) -> None:
    mine = service(site)
    await mine.start()
    messages = await send(site, n=300)
    await asyncio.sleep(0.05)
    await mine.stop(10)
    done = {event.message for event in await stored(site)}
    lag = sum((await site.bus.lag("processors", ["mail.received"])).values())
    assert lag == len(messages - done)


@pytest.mark.slow
async def test_it_says_what_it_waits_for(site: Site) -> None:
    mine = service(site)
    site.bucket.down = True
    site.directory._shelf.clear()
    async with running(mine):
        messages = await send(site)
        for _ in range(100):
            if mine.ready() == "directory unavailable":
                break
            await asyncio.sleep(0.05)
        assert mine.ready() == "directory unavailable"
        site.bucket.down = False
        await until_stored(site, messages)
        assert mine.ready() == "" and RAW
