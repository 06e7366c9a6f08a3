"""The edge stage: a refusal is a reply, and everything else travels with the event and holds on the stream."""

import msgspec
import pytest

from merpati.clock import ManualClock
from merpati.errors import Permanent, Temporary
from merpati.events import Body, Local, Received, What
from merpati.plugins import AddHeader, Defer, Discard, FileInto, Finding, Processor, Quarantine, Refuse, Tag
from merpati.plugins.edge import ACCEPT, Verdict
from processors.edge import EdgeProcessors
from processors.outputs import QUARANTINE
from tests.processors.site import RAW, Says, Site
from tests.processors.test_handler import handled, of, told

BOTH = ("bob@site.test", "eve@site.test")


@pytest.fixture
async def site() -> Site:
    return await Site().open()


async def judged(site: Site, *processors: Processor | tuple[Processor, dict], event: Received | None = None) -> Verdict:
    edge = EdgeProcessors(site.row(*processors), site.store, ManualClock())
    await edge.start()
    verdict = await edge.judge(event or site.received(*BOTH), RAW)
    await edge.stop(1)
    return verdict


def as_received(event: Received, verdict: Verdict) -> Received:
    return msgspec.structs.replace(event, tags=verdict.tags, results=verdict.results, actions=verdict.actions)


@pytest.mark.parametrize(
    ("answer", "reply", "kind"),
    [
        (Refuse("näh", code=554, enhanced="5.7.9"), "554 5.7.9 n?h", Permanent),
        (Refuse(""), "550 5.7.1 refused", Permanent),
        (Defer("later", code=450, enhanced="4.2.0"), "450 4.2.0 later", Temporary),
        ([Refuse("x", recipients={BOTH[0]}), Refuse("y", recipients={BOTH[1]})], "550 5.7.1 x", Permanent),
        ([Refuse(recipients={BOTH[0]}), Defer("y", recipients={BOTH[1]})], "451 4.7.1 y", Temporary),
    ],
)
async def test_what_nobody_takes_is_refused_with_a_reply(site: Site, answer, reply: str, kind: type) -> None:  # type: ignore[no-untyped-def]
    verdict = await judged(site, Says(answer))
    assert isinstance(verdict.refusal, kind) and verdict.refusal.reply == reply


async def test_without_processors_and_without_objections_mail_is_taken(site: Site) -> None:
    assert await judged(site) == ACCEPT
    assert (await judged(site, Says(None))).refusal is None


async def test_what_the_edge_says_holds_on_the_stream(site: Site) -> None:
    event = site.received(*BOTH)
    words = [FileInto("Edge"), AddHeader("X-Edge", "1"), Discard("no", recipients={BOTH[1]}), Tag("t"), Finding("pass")]
    verdict = await judged(site, Says(words), event=event)
    assert verdict.tags == ("t",) and verdict.results == (("p0", "pass"),)
    outputs = await handled(site, as_received(event, verdict))
    (local,) = of(outputs, Local)
    assert local.folder == "Edge" and local.prefix.startswith("X-Edge: 1\r\n")
    assert told(outputs, What.DISCARDED)[0].recipients == (BOTH[1],)


async def test_quarantine_at_the_edge_is_taken_and_held(site: Site) -> None:
    event = site.received()
    verdict = await judged(site, Says(Quarantine("bad")), event=event)
    assert verdict.refusal is None
    assert of(await handled(site, as_received(event, verdict)), Local)[0].account == QUARANTINE


@pytest.mark.parametrize(("on_error", "stored"), [("skip", "bob"), ("quarantine", "quarantine")])
async def test_a_failure_at_the_edge_follows_the_settings(site: Site, on_error: str, stored: str) -> None:
    event = site.received()
    verdict = await judged(site, (Says(ValueError("x")), {"on_error": on_error}), event=event)
    (local,) = of(await handled(site, as_received(event, verdict)), Local)
    assert local.account == (QUARANTINE if stored == "quarantine" else await site.account("bob"))


async def test_a_failure_that_counts_is_a_4yz_without_the_text(site: Site) -> None:
    with pytest.raises(Temporary) as failure:
        await judged(site, Says(ValueError("secret")))
    assert failure.value.reply == "451 4.3.0 try again later"


async def test_shadow_at_the_edge_refuses_nobody(site: Site) -> None:
    event = site.received()
    verdict = await judged(site, (Says([Refuse(), FileInto("X")]), {"mode": "shadow"}), event=event)
    assert verdict.refusal is None and not verdict.actions
    assert of(await handled(site, as_received(event, verdict)), Local)[0].folder == "INBOX"


async def test_a_large_message_is_read_from_the_store(site: Site) -> None:
    await site.store.put("blobs/x", RAW)
    event = msgspec.structs.replace(site.received(), body=Body(len(RAW), site.received().body.digest, "blobs/x"))
    seen = []
    edge = EdgeProcessors(site.row(Says(lambda mail: seen.append(mail.subject))), site.store, ManualClock())
    await edge.judge(event, b"")
    assert seen == ["hello"]
    assert await edge.judge_recipient(event.envelope, event.envelope.recipients[0]) is None and edge.ready() == ""
