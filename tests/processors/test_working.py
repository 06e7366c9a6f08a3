"""One record whatever happens: poison parked, failures tried again, outages waited out; nothing else leaves `work`."""

import asyncio

import msgspec
import pytest

from merpati.bus.api import Consumed, Record
from merpati.events import Body, Changed, Dead, Happened, Local, Received, What, decode
from merpati.events.codec import HEADER
from merpati.events.topics import INLINE_LIMIT, MAX_RECORD
from merpati.ids import AccountId, EventId, digest_of
from merpati.plugins import Defer, Finding
from merpati.plugins.mail import HEADER_ONLY
from processors.working import RETRIES, TIER, again_of
from tests.processors.site import RAW, RETRY, Says, Site, events_of

DEAD = msgspec.json.encode(Dead(EventId("x"), "", 0.0, "", 0, 0, "", ""))


@pytest.fixture
async def site() -> Site:
    return await Site().open()


def kinds(records: list[Record]) -> list[str]:
    return [record.topic for record in records]


async def test_a_message_becomes_records(site: Site) -> None:
    records = await site.working().work(site.consumed(site.received()))
    assert kinds(records) == ["mail.local", "mail.events"] and records[0].value == RAW


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "no merpati header"),
        (((HEADER, b"{"),), "not an event"),
        (((HEADER, b"\xff\x00"),), "not an event"),
        (((HEADER, b'{"kind":"tomorrow"}'),), "not an event"),
        (((HEADER, b'{"kind":"received"}'),), "not an event"),
        (((HEADER, b"null"),), "not an event"),
        (((HEADER, DEAD),), "dead event"),
        (((HEADER, b"x" * 900_000),), "not an event"),
    ],
)  # fmt: skip
async def test_a_record_that_nobody_can_read_is_parked_with_the_reason(site: Site, headers: tuple, reason: str) -> None:
    record = Consumed("mail.received", 3, 7, 0.0, b"\xffkey", b"value", headers)
    (out,) = await site.working().work(record)
    dead = decode(out)
    assert isinstance(dead, Dead) and reason in dead.reason and out.topic == "mail.dead"
    assert (dead.topic, dead.partition, dead.offset, out.value) == ("mail.received", 3, 7, b"value")
    assert dead.key.encode("latin-1") == b"\xffkey"
    assert len(out.value) + sum(len(value) for _, value in out.headers) < MAX_RECORD


async def test_an_event_of_another_kind_is_parked(site: Site) -> None:
    changed = Changed(EventId("x"), AccountId("a"), 0.0, 2)
    assert kinds(await site.working().work(site.consumed(changed))) == ["mail.dead"]


@pytest.mark.parametrize("value", [b"", RAW[:-1], RAW + b"x", b"x" * 2_000_000])
async def test_a_body_that_is_not_the_one_that_was_accepted_is_parked_and_told(site: Site, value: bytes) -> None:
    records = await site.working().work(site.consumed(site.received(), value))
    dead, parked = events_of(records)
    assert isinstance(dead, Dead) and isinstance(parked, Happened) and parked.what is What.PARKED
    assert parked.message == dead.message and parked.recipients == ("bob@site.test",)


async def test_a_body_that_is_missing_in_the_store_is_parked(site: Site) -> None:
    event = site.received()
    event = msgspec.structs.replace(event, body=Body(10**6, event.body.digest, "blobs/none"))
    assert kinds(await site.working().work(site.consumed(event, b""))) == ["mail.dead", "mail.events"]


@pytest.mark.parametrize("size", [INLINE_LIMIT + 1, 3_000_000])
@pytest.mark.parametrize("wants_body", [True, False])
async def test_a_large_body_is_fetched_as_far_as_it_is_wanted(site: Site, size: int, wants_body: bool) -> None:
    raw = (b"Subject: large\r\n\r\n" + b"x" * size)[:size]
    await site.store.put("blobs/large", raw)
    event = msgspec.structs.replace(site.received(), body=Body(size, digest_of(raw), "blobs/large"))
    seen = []
    says = Says(lambda mail: seen.append((mail.subject, len(mail.data))))
    says.wants_body = wants_body  # type: ignore[misc]
    records = await site.working(says).work(site.consumed(event, b""))
    assert seen == [("large", size if wants_body else min(size, HEADER_ONLY))]
    (local,) = (record for record in records if record.topic == "mail.local")
    assert local.value == b""


async def test_a_message_on_which_a_processor_fails_comes_again_later(site: Site) -> None:
    event = site.received("bob@site.test", "eve@site.test")
    working = site.working(Says(ValueError("x")))
    *told, again = await working.work(site.consumed(event))
    assert [decode(record).what for record in told] == [What.PROCESSED]  # type: ignore[union-attr]
    assert again.topic == RETRY and decode(again) == event and again.value == RAW
    mark = again_of(site.consumed(again))
    assert mark is not None and mark.tries == 1 and mark.due == site.clock.time() + TIER[1]
    assert "p0 raised ValueError: x" in mark.reason


async def test_after_many_times_it_is_parked(site: Site) -> None:
    working = site.working(Says(ValueError("x")))
    record = site.consumed(site.received())
    for _ in range(RETRIES):
        (*_, again) = await working.work(record)
        assert again.topic == RETRY
        record = site.consumed(again)
    last = await working.work(record)
    assert kinds(last)[-2:] == ["mail.dead", "mail.events"]
    dead = decode(last[-2])
    assert isinstance(dead, Dead) and "ValueError" in dead.reason and last[-2].value == RAW


async def test_only_those_who_were_put_off_come_again(site: Site) -> None:
    working = site.working(Says(Defer("later", recipients={"eve@site.test"})))
    event = site.received("bob@site.test", "eve@site.test")
    records = await working.work(site.consumed(event))
    again = decode(records[-1])
    assert isinstance(again, Received) and [r.address for r in again.envelope.recipients] == ["eve@site.test"]
    # and the second run says other things than the first, for other recipients
    second = await working.work(site.consumed(records[-1]))
    assert not {decode(r).id for r in records[:-1]} & {decode(r).id for r in second[:-1]}


async def test_being_put_off_counts_no_failures(site: Site) -> None:
    working = site.working(Says(Defer("later")))
    record = site.consumed(site.received())
    for _ in range(RETRIES + 5):
        (*_, again) = await working.work(record)
        assert again.topic == RETRY
        record = site.consumed(again)


async def test_a_slow_processor_gives_way_to_the_neighbours_and_is_not_blamed(site: Site) -> None:
    async def slow(mail) -> object:  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.3)
        return Finding("done")

    class Slow(Says):
        async def process(self, mail):  # type: ignore[no-untyped-def]
            return await slow(mail)

    working = site.working(Slow(None))
    *_, again = await working.work(site.consumed(site.received()), 0.05)
    mark = again_of(site.consumed(again))
    assert again.topic == RETRY and mark is not None and mark.tries == 0 and mark.due <= site.clock.time()
    assert "mail.local" in kinds(await working.work(site.consumed(again)))


async def test_while_the_directory_is_away_it_waits_and_says_so(site: Site) -> None:
    working = site.working()
    site.bucket.down = True
    site.directory._shelf.clear()
    task = asyncio.create_task(working.work(site.consumed(site.received())))
    await site.clock.advance(60)
    assert not task.done() and working.trouble == "directory unavailable"
    site.bucket.down = False
    await site.clock.advance(10)
    assert kinds(await task)[0] == "mail.local" and working.trouble == ""


async def test_a_bug_of_ours_keeps_the_message_and_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    working = site.working()

    async def broken(*_: object, **__: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(working._handler, "handle", broken)
    records = await working.work(site.consumed(site.received()))
    assert kinds(records) == ["mail.dead", "mail.events"] and records[0].value == RAW


async def test_what_the_bus_will_not_take_is_parked(site: Site) -> None:
    assert kinds(site.working().refused(site.consumed(site.received()), "too large")) == ["mail.dead", "mail.events"]
    assert kinds(site.working().refused(Consumed("mail.received", 0, 0, 0.0, b"", b""), "x")) == ["mail.dead"]


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b'{"tries":"x"}', b"\xff"])
async def test_a_retry_mark_that_cannot_be_read_counts_as_none(site: Site, mark: bytes) -> None:
    record = site.consumed(site.received())
    record = Consumed(RETRY, 0, 0, 0.0, record.key, record.value, (*record.headers, ("merpati-retry", mark)))
    assert again_of(record) is None
    assert isinstance(decode((await site.working().work(record))[0]), Local)
