"""What is on the log after a 250, and what a client hears when something behind the door fails."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merpati.clock import SystemClock
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.events import Envelope, Received, Recipient, What
from merpati.ids import derived_event_id, digest_of, time_of
from merpati.plugins.edge import ACCEPT, Verdict
from tests.ingest.world import BIG, MESSAGE, World, ready, world


async def test_the_event_tells_all_that_smtp_said(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.say("MAIL FROM:<who@else.test> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=QQ+2B1 AUTH=<>")
        await talk.say("RCPT TO:<ann@here.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Ann+2Bx@old.test")
        await talk.say("RCPT TO:<Bob+lists@HERE.test>")
        await talk.say("DATA")
        reply = await talk.say(MESSAGE + b".")
        [(received, content)] = await here.received()
        assert content == MESSAGE
        assert reply == f"250 2.0.0 accepted as {received.message}"
        assert received.id == derived_event_id(received.message, "received")
        assert abs(time_of(received.message) - SystemClock().time()) < 60
        assert received.body.digest == digest_of(MESSAGE)
        assert (received.body.size, received.body.key) == (len(MESSAGE), "")
        envelope = received.envelope
        assert (envelope.sender, envelope.door, envelope.smtputf8) == ("who@else.test", "mx", False)
        assert (envelope.body, envelope.ret, envelope.envid) == ("8BITMIME", "HDRS", "QQ+1")
        assert envelope.recipients == (
            Recipient("ann@here.test", ("SUCCESS", "DELAY"), "rfc822;Ann+x@old.test"),
            Recipient("Bob+lists@here.test"),
        )
        assert (envelope.client.ip, envelope.client.helo, envelope.client.tls) == ("127.0.0.1", "client.test", "")


async def test_accepted_is_told_in_the_same_publish(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.hand_in(MESSAGE)
        assert here.bus.publishes == 1
        [(received, _)] = await here.received()
        [happened] = await here.happened()
        assert (happened.what, happened.message, happened.service) == (What.ACCEPTED, received.message, "ingest")
        assert happened.detail["size"] == str(len(MESSAGE))
        assert happened.detail["client"] == "127.0.0.1"
        assert happened.recipients == ("ann@here.test",)


RECEIVED = {
    "mx": r"Received: from client\.test \(unknown \[127\.0\.0\.1\]\)\r\n\tby mx\.here\.test with ESMTP id {id}\r\n"
    r"\tfor <ann@here\.test>;\r\n\t\w{{3}}, \d\d \w{{3}} \d{{4}} \d\d:\d\d:\d\d \+0000\r\n",
    "lmtp": r"Received: from client\.test \(.*\)\r\n\tby mx\.here\.test with LMTP id {id}\r\n(?s:.*)",
}


@pytest.mark.parametrize("door", RECEIVED)
async def test_a_received_field_stands_before_the_message(door: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await (await ready(here, door)).hand_in(MESSAGE)
        [(received, _)] = await here.received()
        assert re.fullmatch(RECEIVED[door].format(id=received.message), received.prefix), received.prefix


async def test_the_protocol_under_tls_is_esmtps_and_recipients_are_not_disclosed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.say("STARTTLS")
        await talk.start_tls()
        await talk.say("EHLO client.test")
        await talk.hand_in(MESSAGE, "ann@here.test", "bob@here.test")
        [(received, _)] = await here.received()
        assert " with ESMTPS id " in received.prefix
        assert "(using TLSv1.3 TLS_" in received.prefix
        assert received.envelope.client.tls.startswith("TLSv1.3 TLS_")
        assert "for <" not in received.prefix


async def test_helo_is_smtp_and_utf8_is_utf8smtp(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await here.talk()
        await talk.say("HELO client.test")
        await talk.hand_in(MESSAGE)
        await talk.say("EHLO client.test")
        await talk.say("MAIL FROM:<\u00fc@else.test> SMTPUTF8")
        await talk.say("RCPT TO:<ann@here.test>")
        await talk.say("DATA")
        await talk.say(MESSAGE + b".")
        (plain, _), (utf8, _) = await here.received()
        assert " with SMTP id " in plain.prefix
        assert " with UTF8SMTP id " in utf8.prefix
        assert (utf8.envelope.sender, utf8.envelope.smtputf8) == ("\u00fc@else.test", True)


async def test_the_reverse_name_is_told_when_it_is_known_in_time(tmp_path: Path) -> None:
    async def reverse(ip: str) -> str:
        return f"host-{ip}.test"

    async with world(tmp_path, reverse=reverse) as here:
        await (await ready(here)).hand_in(MESSAGE)
        [(received, _)] = await here.received()
        assert received.envelope.client.name == "host-127.0.0.1.test"
        assert "(host-127.0.0.1.test [127.0.0.1])" in received.prefix


async def test_a_reverse_look_up_that_fails_or_hangs_holds_nobody_up(tmp_path: Path) -> None:
    async def fails(ip: str) -> str:
        raise Temporary("no answer")

    async def hangs(ip: str) -> str:
        await asyncio.Event().wait()
        return "never"

    for reverse in (fails, hangs):
        async with world(tmp_path, reverse=reverse) as here:
            assert (await (await ready(here)).hand_in(MESSAGE)).startswith("250")


async def test_a_large_message_is_an_object_and_the_event_names_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        content = re.sub(b"(.{64})", rb"\1\r\n", BIG)
        assert (await (await ready(here)).hand_in(content)).startswith("250")
        [(received, stored)] = await here.received()
        digest = hashlib.blake2b(content, digest_size=32).hexdigest()
        assert re.fullmatch(f"blobs/{digest}_[0-9a-f]{{16}}", received.body.key)
        assert (received.body.size, received.body.digest) == (len(content), digest)
        assert stored == content
        assert [name for name in os.listdir(tmp_path) if name.startswith("merpati-")] == []


async def test_an_envelope_too_large_for_its_event_puts_the_message_beside_it(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        names = [f"ann+{number:04}{'x' * 230}@here.test" for number in range(990)]
        content = b"y\r\n" * 87_000
        await talk.say("MAIL FROM:<>")
        lines = [
            f"RCPT TO:<{name}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{'y' * 490}\r\n".encode() for name in names
        ]
        await talk.send(b"".join(lines))
        assert {(await talk.reply())[:3] for _ in names} == {"250"}
        await talk.say("DATA")
        await talk.send(content + b".\r\n")
        assert (await talk.reply()).startswith("250")
        [(received, stored)] = await here.received()
        assert received.body.key
        assert stored == content
        assert len(received.envelope.recipients) == 990


# Loops (HOSTILE R3)


@pytest.mark.parametrize(("hops", "code"), [(50, "250"), (51, "554")])
async def test_a_message_with_too_many_hops_is_refused_and_told_of(hops: int, code: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        reply = await talk.hand_in(b"ReCeIvEd: from a by b\r\n" * hops + MESSAGE)
        assert reply.startswith("250" if code == "250" else "554 5.4.6")
        await asyncio.sleep(0.05)
        assert [each.what for each in await here.happened()] == [What.ACCEPTED if code == "250" else What.REFUSED]
        assert len(await here.received()) == (code == "250")


# The edge processors


class Judge:
    """Refuses by subject and by recipient."""

    async def judge_recipient(self, envelope: Envelope, recipient: Recipient) -> MerpatiError | None:
        if recipient.address.startswith("bob"):
            return Permanent("bob is out", enhanced="5.2.1") if envelope.sender else Temporary("later", code=450)
        return None

    async def judge(self, received: Received, raw: bytes) -> Verdict:
        if b"boom" in raw:
            raise RuntimeError("a bug of a plugin's")
        if b"virus" in raw:
            return Verdict(refusal=Permanent("no programs here", enhanced="5.7.1"))
        if b"grey" in raw:
            return Verdict(refusal=Temporary("come again", code=450, enhanced="4.7.1"))
        if b"note" in raw:
            return Verdict(prefix="X-Noted: yes\r\n", tags=("noted",), results=(("judge", "fine"),))
        return ACCEPT


async def test_edge_processors_are_asked_before_the_250(tmp_path: Path, bugs: list[str]) -> None:
    async with world(tmp_path, edge=Judge()) as here:
        talk = await ready(here)
        assert (await talk.hand_in(b"\r\nvirus\r\n")) == "550 5.7.1 no programs here"
        assert (await talk.hand_in(b"\r\ngrey\r\n")) == "450 4.7.1 come again"
        assert (await talk.hand_in(b"\r\nboom\r\n")) == "451 4.3.0 try again later"
        assert bugs
        bugs.clear()
        assert (await talk.hand_in(b"\r\nnote\r\n")).startswith("250")
        await talk.say("MAIL FROM:<who@else.test>")
        assert await talk.say("RCPT TO:<bob@here.test>") == "550 5.2.1 bob is out"
        await talk.say("RSET")
        await talk.say("MAIL FROM:<>")
        assert await talk.say("RCPT TO:<bob@here.test>") == "450 4.3.0 later"
        [(received, _)] = await here.received()
        assert received.prefix.startswith("Received: ")
        assert received.prefix.endswith("+0000\r\nX-Noted: yes\r\n")
        assert (received.tags, received.results) == (("noted",), (("judge", "fine"),))
        refused = [each for each in await here.happened() if each.what is What.REFUSED]
        assert [each.detail["reply"] for each in refused] == ["550 5.7.1 no programs here"]


# Byte fidelity (HOSTILE C6)


# One service for all examples: that is what a server is
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    lines=st.lists(st.binary(max_size=200).map(lambda raw: re.sub(rb"[\r\n\0]", b".", raw)), max_size=40),
    repeat=st.sampled_from([1, 1, 500]),
    chunked=st.booleans(),
    seed=st.integers(0, 1000),
)
async def test_what_is_published_is_what_was_sent(
    shared_world: World, lines: list[bytes], repeat: int, chunked: bool, seed: int
) -> None:
    here = shared_world
    content = b"".join(line + b"\r\n" for line in lines) * repeat + str(seed).encode() + b"\r\n"
    talk = await ready(here)
    await talk.say("MAIL FROM:<who@else.test>")
    await talk.say("RCPT TO:<ann@here.test>")
    if chunked:
        middle = len(content) * (seed % 10) // 10
        for part, last in ((content[:middle], ""), (content[middle:], " LAST")):
            await talk.send(f"BDAT {len(part)}{last}\r\n".encode() + part)
            reply = await talk.reply()
    else:
        await talk.say("DATA")
        wire = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
        for start in range(0, len(wire), 1 + seed * 17):
            await talk.send(wire[start : start + 1 + seed * 17])
            if len(wire) < 2000:
                await asyncio.sleep(0)
        reply = await talk.reply()
    message = reply.rpartition(" ")[2]
    [found] = [stored for received, stored in await here.received() if received.message == message]
    assert found == content
    talk.close()
