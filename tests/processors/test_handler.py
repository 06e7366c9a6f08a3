"""One message in, the events that follow out: routing, loops, reports, quarantine; and no relay for strangers."""

from collections import Counter

import msgspec
import pytest

from merpati.errors import Unavailable
from merpati.events import Body, Event, Happened, Local, Outbound, Received, Recipient, What, encode
from merpati.ids import digest_of
from merpati.message.headers import Headers
from merpati.plugins import (
    Accept,
    AddHeader,
    Defer,
    Discard,
    FileInto,
    Finding,
    Quarantine,
    Redirect,
    Refuse,
    RemoveHeader,
    SetFlags,
    Tag,
)
from merpati.plugins.actions import write_actions
from processors.handler import DEFER_FOR
from processors.outputs import FAN_OUT, MAX_RECIPIENTS, QUARANTINE, Outputs
from processors.routing import may_relay
from tests.processors.site import HOST, RAW, STRANGER, USER, Says, Site, events_of


@pytest.fixture
async def site() -> Site:
    return await Site().open()


async def handled(site: Site, event: Received, *processors, raw: bytes = RAW) -> Outputs:  # type: ignore[no-untyped-def]
    return await site.handler(*processors).handle(event, raw, site.clock.time())


def everything(outputs: Outputs) -> list[Event]:
    return [event for event, _ in outputs.events] + events_of(outputs.records)


def of(outputs: Outputs, kind: type) -> list:
    return [event for event in everything(outputs) if isinstance(event, kind)]


def told(outputs: Outputs, what: What) -> list[Happened]:
    return [event for event in of(outputs, Happened) if event.what is what]


def reports(outputs: Outputs) -> list[tuple[Received, bytes]]:
    values = [(event, value) for event, value in outputs.events]
    values += [(event, record.value) for event, record in zip(events_of(outputs.records), outputs.records, strict=True)]
    return [(event, value) for event, value in values if isinstance(event, Received)]


async def test_mail_for_a_user_goes_into_the_users_mailbox(site: Site) -> None:
    event = site.received("Bob+tag@site.test")
    outputs = await handled(site, event)
    (local,) = of(outputs, Local)
    assert (local.account, local.folder, local.quota) == (await site.account("bob"), "INBOX", 1000)
    assert local.recipient.address == "Bob+tag@site.test" and local.envelope.recipients == (local.recipient,)
    assert (local.body, local.prefix, local.received_at) == (event.body, event.prefix, event.at)
    assert outputs.events[0][1] == RAW
    (routed,) = told(outputs, What.ROUTED)
    assert routed.recipients == ("Bob+tag@site.test",) and routed.detail == {"mailboxes": "1"}


@pytest.mark.parametrize(
    ("recipients", "copies"),
    [
        (["bob@site.test"] * 3, 1),
        (["bob@site.test", "BOB@site.test", "bob+a@site.test", "bob+b@SITE.test"], 1),
        (["both@site.test", "eve@site.test", "bob@site.test"], 2),
        (["x@second.test", "y@second.test"], 1),
        (["postmaster@site.test", "postmaster"], 1),
    ],
)
async def test_a_mailbox_gets_one_copy_by_however_many_names(site: Site, recipients: list[str], copies: int) -> None:
    outputs = await handled(site, site.received(*recipients))
    assert len(of(outputs, Local)) == copies and not reports(outputs)
    assert set(told(outputs, What.ROUTED)[0].recipients) == set(recipients)


async def test_one_event_for_each_domain_and_for_each_hundred_recipients(site: Site) -> None:
    away = [f"u{i}@big.example" for i in range(MAX_RECIPIENTS + 1)] + ["v@Small.example", "V@small.example"]
    outputs = await handled(site, site.received(*away, client=USER))
    assert [(o.domain, len(o.recipients)) for o in of(outputs, Outbound)] == [
        ("big.example", MAX_RECIPIENTS),
        ("big.example", 1),
        ("small.example", 1),
    ]
    assert len({o.id for o in of(outputs, Outbound)}) == 3
    assert all(o.envelope.recipients == o.recipients for o in of(outputs, Outbound))


@pytest.mark.parametrize(
    ("client", "door", "relays"),
    [
        (USER, "submission", True),
        (USER, "http", True),
        (STRANGER, "internal", True),
        (STRANGER, "mx", False),
        (STRANGER, "lmtp", False),
        (STRANGER, "submission", False),  # the door alone proves nothing
        (STRANGER, "tomorrow", False),
    ],
)
async def test_only_our_own_may_send_elsewhere(site: Site, client, door: str, relays: bool) -> None:  # type: ignore[no-untyped-def]
    event = site.received("x@else.where", "eve@site.test", client=client, door=door)
    outputs = await handled(site, event)
    assert may_relay(event.envelope) is relays
    assert bool(of(outputs, Outbound)) is relays
    assert len(of(outputs, Local)) == 1
    assert bool(told(outputs, What.BOUNCED)) is not relays


@pytest.mark.parametrize("address", ["x%else.where@site.test", '"x@else.where"@site.test', "else.where!x@site.test"])
async def test_no_way_of_writing_an_address_makes_us_a_relay(site: Site, address: str) -> None:
    outputs = await handled(site, site.received(address))
    assert not of(outputs, Outbound) and not of(outputs, Local)


async def test_an_alias_may_lead_elsewhere_for_anybody(site: Site) -> None:
    recipient = Recipient("copy@site.test", ("FAILURE",))
    outputs = await handled(site, site.received(recipient))
    (outbound,) = of(outputs, Outbound)
    assert outbound.recipients == (Recipient("bob@else.where", ("FAILURE",), "rfc822;copy@site.test"),)
    assert outbound.prefix.startswith("Delivered-To: copy@site.test\r\nReceived: ")
    (local,) = of(outputs, Local)
    assert "Delivered-To" not in local.prefix


async def test_mail_that_left_by_an_alias_before_does_not_leave_again(site: Site) -> None:
    raw = b"Delivered-To: AWAY@site.test\r\n" + RAW
    outputs = await handled(site, site.received("away@site.test", raw=raw), raw=raw)
    assert not of(outputs, Outbound)
    (bounced,) = told(outputs, What.BOUNCED)
    assert bounced.detail["status"] == "5.4.6"
    # a mailbox is no loop, whatever the header says
    raw = b"Delivered-To: bob@site.test\r\n" + RAW
    assert len(of(await handled(site, site.received("bob@site.test", raw=raw), raw=raw), Local)) == 1


@pytest.mark.parametrize(("hops", "goes_on"), [(0, True), (49, True), (50, False), (5000, False)])
async def test_mail_that_goes_in_circles_goes_back_once(site: Site, hops: int, goes_on: bool) -> None:
    raw = b"Received: from x by y\r\n" * hops + RAW
    outputs = await handled(site, site.received("bob@site.test", raw=raw), raw=raw)
    assert bool(of(outputs, Local)) is goes_on
    assert len(reports(outputs)) == (0 if goes_on else 1)
    assert all(len(value) < 100_000 for _, value in reports(outputs))  # no growth


async def test_two_servers_that_send_to_each_other_stop(site: Site) -> None:
    await site.directory.add_alias("ping@site.test", ("pong@else.where",))
    raw, rounds = RAW, 0
    while rounds < 200:
        outputs = await handled(site, site.received("ping@site.test", raw=raw), raw=raw)
        sent = of(outputs, Outbound)
        if not sent:
            break
        raw = sent[0].prefix.replace("Delivered-To", "X-Was").encode() + raw  # a server that hides the traces of ours
        rounds += 1
    assert 40 < rounds <= 51 and len(reports(outputs)) == 1


async def test_a_user_who_is_gone_since_the_edge_looked_is_told_to_the_sender(site: Site) -> None:
    event = site.received("gone@site.test", "eve@site.test")
    outputs = await handled(site, event)
    ((report, raw),) = reports(outputs)
    assert report.envelope.sender == "" and report.envelope.door == "internal"
    assert report.envelope.recipients == (Recipient("a@else.where", ("NEVER",)),)
    assert report.body == Body(len(raw), digest_of(raw)) and b"5.1.1" in raw and b"gone@site.test" in raw
    assert report.message != event.message and report.message[:13] == event.message[:13]
    assert len(of(outputs, Local)) == 1
    # and the report finds its way, through no filter, to elsewhere
    onward = await handled(site, report, Says(Refuse()), raw=raw)
    assert [o.domain for o in of(onward, Outbound)] == ["else.where"]


@pytest.mark.parametrize(
    ("sender", "notify"),
    [("", ()), ("a@else.where", ("NEVER",)), ("a@else.where", ("SUCCESS", "DELAY"))],
)
async def test_who_cannot_or_will_not_be_told_gets_no_report(site: Site, sender: str, notify: tuple[str, ...]) -> None:
    outputs = await handled(site, site.received(Recipient("gone@site.test", notify), sender=sender))
    assert not reports(outputs)
    assert len(told(outputs, What.BOUNCED)) + len(told(outputs, What.DISCARDED)) == 1


async def test_a_thousand_failures_are_one_report(site: Site) -> None:
    outputs = await handled(site, site.received(*(f"gone{i}@site.test" for i in range(1000))))
    assert len(reports(outputs)) == 1


async def test_a_filter_files_flags_and_rewrites(site: Site) -> None:
    raw = b"From: a@else.where\r\nX-Bad: 1\r\nX-Bad: 2\r\n folded\r\nSubject: hello\r\nx-bad: 3\r\n\r\nHello\r\n"
    shape = [FileInto("Lists"), SetFlags("\\Flagged"), RemoveHeader("X-BAD")]
    processor = Says([*shape, AddHeader("X-A", "ä\r\nX-Evil: 1"), AddHeader("X-B", "2")])
    outputs = await handled(site, site.received("bob@site.test", raw=raw), processor, raw=raw)
    (local,) = of(outputs, Local)
    assert (local.folder, local.flags) == ("Lists", ("\\Flagged",))
    assert local.prefix.startswith("X-B: 2\r\nX-A: =?utf-8?b?") and "\r\nX-Evil" not in local.prefix
    kept, at = b"", 0
    for start, end in local.without:
        kept, at = kept + raw[at:start], end
    kept += raw[at:]
    assert kept == b"From: a@else.where\r\nSubject: hello\r\n\r\nHello\r\n"
    assert Headers.parse(local.prefix.encode() + kept).get("X-Bad") is None


async def test_a_word_for_one_recipient_changes_nobody_elses_copy(site: Site) -> None:
    processor = Says(AddHeader("X", "1", recipients={"x@else.where"}))
    event = site.received("x@else.where", "y@else.where", "bob@site.test", client=USER)
    outputs = await handled(site, event, processor)
    assert sorted((o.recipients[0].address, "X: 1" in o.prefix) for o in of(outputs, Outbound)) == [
        ("x@else.where", True),
        ("y@else.where", False),
    ]
    assert "X: 1" not in of(outputs, Local)[0].prefix


@pytest.mark.parametrize(
    ("to", "keep", "mailboxes", "elsewhere"),
    [
        ("eve@site.test", False, ["eve"], []),
        ("eve@site.test", True, ["bob", "eve"], []),
        ("x@else.where", False, [], ["x@else.where"]),
        (("x@else.where", "copy@site.test"), True, ["bob"], ["x@else.where", "bob@else.where"]),
    ],
)
async def test_a_redirect_goes_where_it_says(
    site: Site, to: str | tuple[str, ...], keep: bool, mailboxes: list[str], elsewhere: list[str]
) -> None:
    outputs = await handled(site, site.received("bob@site.test"), Says([Redirect(to, keep=keep), FileInto("F")]))
    wanted = {await site.account(name) for name in mailboxes}
    assert {local.account for local in of(outputs, Local)} == wanted
    assert [r.address for o in of(outputs, Outbound) for r in o.recipients] == elsewhere
    own = [local.folder for local in of(outputs, Local) if local.account == await site.account("bob")]
    assert own == (["F"] if keep else [])


async def test_held_mail_lies_in_the_quarantine_of_its_domain_with_the_reason(site: Site) -> None:
    event = site.received("bob@site.test", "eve@site.test", "x@second.test")
    outputs = await handled(site, event, Says(Quarantine("executable attachment")))
    held = of(outputs, Local)
    assert [(local.account, local.folder) for local in held] == [(QUARANTINE, "site.test"), (QUARANTINE, "second.test")]
    headers = Headers.parse(held[0].prefix.encode())
    assert headers.get("X-Merpati-Quarantine") == "p0: executable attachment"
    assert headers.get("X-Envelope-To") == "bob@site.test, eve@site.test"
    assert headers.get("X-Envelope-From") == "<a@else.where>"
    (happened,) = told(outputs, What.QUARANTINED)
    assert happened.detail == {"processor": "p0", "reason": "executable attachment"} and len(happened.recipients) == 3
    assert not told(outputs, What.ROUTED)


async def test_dropped_mail_is_in_the_trace_and_nowhere_else(site: Site) -> None:
    outputs = await handled(site, site.received("bob@site.test"), Says(Discard("seen before")))
    assert [type(event) for event in everything(outputs)] == [Happened, Happened]
    assert told(outputs, What.DISCARDED)[0].detail == {"processor": "p0", "reason": "seen before"}


async def test_what_is_refused_on_the_stream_goes_back(site: Site) -> None:
    outputs = await handled(site, site.received("bob@site.test"), Says(Refuse("too bad", enhanced="5.7.9")))
    ((_, raw),) = reports(outputs)
    assert b"5.7.9" in raw and b"too bad" in raw


async def test_mail_that_is_put_off_comes_again_for_those_alone(site: Site) -> None:
    event = site.received("bob@site.test", "eve@site.test")
    outputs = await handled(site, event, Says(Defer("later", recipients={"eve@site.test"})))
    assert [r.address for r in outputs.again] == ["eve@site.test"] and outputs.reason == "later"
    assert len(of(outputs, Local)) == 1 and told(outputs, What.DEFERRED)[0].recipients == ("eve@site.test",)


async def test_mail_that_is_put_off_for_days_goes_back(site: Site) -> None:
    event = site.received("bob@site.test")
    outputs = await site.handler(Says(Defer("later"))).handle(event, RAW, event.at + DEFER_FOR + 1)
    assert not outputs.again and len(reports(outputs)) == 1


async def test_processors_are_asked_in_order_until_all_is_settled(site: Site) -> None:
    first = Says(Accept(recipients={"bob@site.test"}))
    second, third = Says(Discard()), Says(Quarantine())
    await handled(site, site.received("bob@site.test", "eve@site.test"), first, second, third)
    assert first.seen == [("bob@site.test", "eve@site.test")] and second.seen == [("eve@site.test",)] and not third.seen


async def test_later_processors_see_what_earlier_ones_found(site: Site) -> None:
    seen = []

    def look(mail):  # type: ignore[no-untyped-def]
        seen.append((mail.tags, mail.results["p0"].value))

    await handled(site, site.received(), Says([Tag("t"), Finding("pass")]), Says(look))
    assert seen == [(("t",), "pass")]


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"on_error": "skip"}, "stored"),
        ({"on_error": "quarantine"}, "held"),
        ({"on_error": "retry"}, "again"),
        ({"on_error": "retry", "mode": "shadow"}, "stored"),
        ({"on_error": "quarantine", "mode": "shadow"}, "stored"),
    ],
)
@pytest.mark.parametrize(
    "answer", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), "junk", RecursionError(), TimeoutError()]
)
async def test_a_processor_that_fails_is_dealt_with_as_the_settings_say(
    site: Site, settings: dict, outcome: str, answer: object
) -> None:
    outputs = await handled(site, site.received(), (Says(answer), settings), Says(Tag("next")))
    if outcome == "again":
        assert outputs.again and not of(outputs, Local)
    else:
        (local,) = of(outputs, Local)
        assert (local.account == QUARANTINE) is (outcome == "held")
    (step,) = [h for h in told(outputs, What.PROCESSED) if h.detail["processor"] == "p0"]
    assert step.detail["outcome"] == "failed" and step.detail["said"]


async def test_shadow_records_what_would_have_been(site: Site) -> None:
    outputs = await handled(site, site.received(), (Says(Quarantine("x")), {"mode": "shadow"}))
    assert of(outputs, Local)[0].account == await site.account("bob")
    (step,) = told(outputs, What.PROCESSED)
    assert step.detail == {
        "processor": "p0",
        "outcome": "answered",
        "said": "quarantine: x",
        "mode": "shadow",
        "applied": "no",
    }


async def test_a_canary_is_the_same_share_whenever_it_is_asked(site: Site) -> None:
    events = [site.received() for _ in range(400)]
    held = Counter()
    for _ in range(2):
        for number, event in enumerate(events):
            outputs = await handled(site, event, (Says(Quarantine()), {"mode": "canary:25%"}))
            if of(outputs, Local)[0].account == QUARANTINE:
                held[number] += 1
    assert set(held.values()) == {2} and 60 < len(held) < 140


async def test_what_the_edge_decided_holds_on_the_stream(site: Site) -> None:
    actions = write_actions([FileInto("Edge"), Discard(recipients=frozenset({"eve@site.test"}))]).decode()
    event = site.received(
        "bob@site.test",
        "eve@site.test",
        tags=("edge",),
        results=(("spf", "pass"), ("e", "")),
        actions=(("e", actions),),
    )
    seen = []
    look = Says(lambda mail: seen.append((mail.tags, mail.results["spf"].value, mail.envelope.recipients)))
    outputs = await handled(site, event, look)
    assert seen == [(("edge",), "pass", ("bob@site.test",))]
    (local,) = of(outputs, Local)
    assert local.folder == "Edge" and told(outputs, What.DISCARDED)[0].recipients == ("eve@site.test",)


@pytest.mark.parametrize("written", ["junk", "[]x", '[{"do":"tomorrow"}]'])
async def test_words_of_the_edge_that_cannot_be_read_lose_no_mail(site: Site, written: str) -> None:
    assert len(of(await handled(site, site.received(actions=(("e", written),))), Local)) == 1


async def test_many_copies_of_a_large_message_share_one_object(site: Site) -> None:
    raw = b"Subject: big\r\n\r\n" + b"x" * (FAN_OUT // 8)
    people = [f"u{i}@d{i}.example" for i in range(9)]
    event = site.received(*people, raw=raw, client=USER)
    outputs = await handled(site, event, raw=raw)
    ((key, kept),) = outputs.blobs.items()
    assert key.startswith(f"blobs/{event.body.digest}_") and kept == raw
    assert all(o.body.key == key for o in of(outputs, Outbound))
    assert sum(len(value) for _, value in outputs.events) == 0
    few = await handled(site, site.received(*people[:7], raw=raw, client=USER), raw=raw)
    assert not few.blobs and all(value == raw for event, value in few.events if isinstance(event, Outbound))


async def test_a_message_in_the_store_stays_there(site: Site) -> None:
    event = site.received("bob@site.test", "x@else.where", client=USER)
    event = msgspec.structs.replace(event, body=Body(10**7, event.body.digest, "blobs/x"))
    outputs = await handled(site, event, raw=RAW)
    assert {o.body.key for o in of(outputs, Local) + of(outputs, Outbound)} == {"blobs/x"}
    assert all(value == b"" for _, value in outputs.events) and not outputs.blobs


async def test_the_same_input_gives_the_same_bytes(site: Site) -> None:
    people = ["bob@site.test", "copy@site.test", "gone@site.test", "x@else.where", "eve@site.test", "both@site.test"]
    event = site.received(*people, client=USER)
    held = Quarantine("q", recipients={"eve@site.test"})
    words = Says([AddHeader("X", "1"), held, Redirect("y@z.example", keep=True, recipients={"bob@site.test"})])

    async def records() -> list:
        outputs = await handled(site, event, words)
        return [encode(output, value) for output, value in outputs.events] + outputs.records

    first = await records()
    assert first == await records() and len(first) > 6
    ids = [event.id for event in events_of(first)]
    assert len(ids) == len(set(ids))


async def test_without_the_directory_nothing_is_decided(site: Site) -> None:
    site.bucket.down = True
    site.directory._shelf.clear()
    with pytest.raises(Unavailable):
        await handled(site, site.received())


async def test_a_hostile_envelope_stays_within_the_limits(site: Site) -> None:
    people = [f'"{"x" * 60}{i}"@site.test' for i in range(1000)]
    outputs = await handled(site, site.received(*people, sender='"evil\\"\r\n"@x'), Says(Quarantine("r" * 1000)))
    assert all(len(encode(event, value).headers[0][1]) < 400_000 for event, value in outputs.events)
    assert b"\r\n\r\n" not in of(outputs, Local)[0].prefix.encode() and HOST
