"""What servers are seen to do (and some that lie): each costs no more than its time-out, and no message is lost."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from delivery.smtp.driver import NoSession
from delivery.smtp.opening import Tls
from delivery.smtp.outcome import Cause, Phase, Verdict
from tests.smtp_client.talk import MESSAGE, envelope
from tests.smtp_client.test_driver import STARTTLS, good, secured
from tests.smtp_client.zoo import LONG, OPTIONS, QUICK, Gone, Peer, zoo

Manner = Callable[[Peer], Awaitable[None]]
FOREVER = 30.0
BIG = (b"x" * 998 + b"\r\n") * 20_000


def greeting_with(data: bytes, wait: float = 0.0) -> Manner:
    async def manner(peer: Peer) -> None:
        await peer.say(data)
        await asyncio.sleep(wait)

    return manner


async def drips(peer: Peer) -> None:
    await dripping(peer, b"220 " + b"x" * 100)


async def dripping(peer: Peer, data: bytes) -> None:
    for at in range(len(data)):
        await peer.say(data[at : at + 1])
        await asyncio.sleep(0.05)


async def endless(peer: Peer) -> None:
    await peer.say(b"220 mx\r\n")
    await peer.line()
    while True:
        await peer.say(b"250-and more\r\n" * 1000)


async def resets(peer: Peer) -> None:
    peer.reset()


def tls_liar(behind: bytes, wait: float = 0.0) -> Manner:
    async def manner(peer: Peer) -> None:
        await peer.greet(STARTTLS)
        await peer.line()
        await peer.say(b"220 go" + behind)
        await asyncio.sleep(wait)

    return manner


OPENINGS: list[tuple[Manner, Cause, Phase, str]] = [
    (greeting_with(b"", FOREVER), Cause.TIMEOUT, Phase.GREETING, "a tarpit that never greets"),
    (greeting_with(b"220", FOREVER), Cause.TIMEOUT, Phase.GREETING, "half a greeting"),
    (drips, Cause.TIMEOUT, Phase.GREETING, "a greeting that drips"),
    (greeting_with(b""), Cause.LOST, Phase.GREETING, "a server that hangs up"),
    (resets, Cause.LOST, Phase.GREETING, "a server that resets"),
    (greeting_with(b"554 no\r\n"), Cause.REFUSED, Phase.GREETING, "a server that refuses us"),
    (greeting_with(b"421 busy\r\n"), Cause.REFUSED, Phase.GREETING, "a server that is busy"),
    (greeting_with(b"HTTP/1.1 400 Bad Request\r\n"), Cause.PROTOCOL, Phase.GREETING, "a web server"),
    (greeting_with(b"220 " + b"x" * 10_000_000, FOREVER), Cause.PROTOCOL, Phase.GREETING, "10 MB of greeting"),
    (endless, Cause.PROTOCOL, Phase.EHLO, "an answer to EHLO without end"),
    (greeting_with(b"220 mx\r\n", FOREVER), Cause.TIMEOUT, Phase.EHLO, "no answer to EHLO"),
    (tls_liar(b"\r\n", FOREVER), Cause.HANDSHAKE, Phase.HANDSHAKE, "a handshake that never begins"),
    (tls_liar(b"\r\n"), Cause.HANDSHAKE, Phase.HANDSHAKE, "a server that hangs up instead of a handshake"),
    (tls_liar(b"\r\n250 PIPELINING\r\n", FOREVER), Cause.INJECTION, Phase.HANDSHAKE, "an injected answer"),
    (tls_liar(b"", FOREVER), Cause.TIMEOUT, Phase.STARTTLS, "half an answer to STARTTLS"),
]


@pytest.mark.parametrize(("manner", "cause", "phase", "reason"), OPENINGS)
async def test_a_session_that_cannot_be_had_is_given_up_in_time(
    manner: Manner, cause: Cause, phase: Phase, reason: str
) -> None:
    began = time.perf_counter()
    async with zoo(manner) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit()
        trouble = failure.value.trouble
        assert (trouble.cause, trouble.phase) == (cause, phase), reason
        assert trouble.status.startswith("4")
        assert trouble.text.isprintable()
        assert len(trouble.text) < 1200
    assert time.perf_counter() - began < 10


async def test_junk_instead_of_a_handshake_is_no_session() -> None:
    async def manner(peer: Peer) -> None:
        await peer.greet(STARTTLS)
        await peer.line()
        await peer.say(b"220 go\r\n")
        assert (await peer.read()).startswith(b"\x16\x03")
        await peer.say(b"250 what is this?\r\n")
        await asyncio.sleep(FOREVER)

    async with zoo(manner) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit()
        assert failure.value.trouble.cause is Cause.HANDSHAKE


async def test_what_comes_in_clear_before_the_handshake_is_never_taken_for_an_answer_under_tls() -> None:
    async def manner(peer: Peer) -> None:
        await peer.greet(STARTTLS)
        await peer.line()
        await peer.say(b"220 go\r\n")
        await peer.say(b"250 MAIL\r\n250 RCPT\r\n")
        await asyncio.sleep(FOREVER)

    async with zoo(manner) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit()
        assert failure.value.trouble.cause in (Cause.INJECTION, Cause.HANDSHAKE)
        assert place.peers[0].lines == [b"EHLO client.test", b"STARTTLS"]


async def test_a_server_whose_tls_fails_is_reached_in_clear_if_the_policy_has_nothing_against_it() -> None:
    async with zoo(tls_liar(b"\r\n"), good) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit()
        assert failure.value.trouble.cause is Cause.HANDSHAKE
        session = await place.visit(replace(OPTIONS, tls=Tls.NEVER))
        assert (await session.deliver(envelope(), MESSAGE))[0].verdict is Verdict.ACCEPTED
        await session.quit()


# Once the session stands


def says(*answers: bytes, then: Manner | None = None) -> Manner:
    """Greets, answers a command with each of `answers`, then goes on as `then`."""

    async def manner(peer: Peer) -> None:
        await peer.greet()
        for answer in answers:
            await peer.line()
            await peer.say(answer)
        if then is not None:
            await then(peer)

    return manner


async def sleeps(peer: Peer) -> None:
    await asyncio.sleep(FOREVER)


async def takes_then_hangs_up(peer: Peer) -> None:
    await peer.message()


async def takes_then_sleeps(peer: Peer) -> None:
    await peer.message()
    await asyncio.sleep(FOREVER)


async def takes_then_resets(peer: Peer) -> None:
    await peer.message()
    peer.reset()


async def takes_then_drips(peer: Peer) -> None:
    await peer.message()
    await dripping(peer, b"250-" + b"x" * 200)


async def takes_then_answers_late(peer: Peer) -> None:
    await peer.message()
    await asyncio.sleep(0.25)
    await peer.say(b"250 at last\r\n")


OK, GO = b"250 ok\r\n", b"354 go\r\n"
A, T, P, U = Verdict.ACCEPTED, Verdict.TEMPORARY, Verdict.PERMANENT, Verdict.UNKNOWN

ANSWERS: list[tuple[Manner, Verdict, Phase, str]] = [
    (says(then=sleeps), T, Phase.MAIL, "no answer to MAIL"),
    (says(OK, then=sleeps), T, Phase.RCPT, "no answer to RCPT"),
    (says(OK, OK, then=sleeps), T, Phase.DATA, "no answer to DATA"),
    (says(OK, OK, GO, then=takes_then_sleeps), U, Phase.DOT, "no answer to the dot"),
    (says(OK, OK, GO, then=takes_then_hangs_up), U, Phase.DOT, "hangs up behind the dot"),
    (says(OK, OK, GO, then=takes_then_resets), U, Phase.DOT, "resets behind the dot"),
    (says(OK, OK, GO, then=takes_then_drips), U, Phase.DOT, "an answer to the dot that drips"),
    (says(OK, OK, GO, then=takes_then_answers_late), A, Phase.DOT, "a late answer to the dot"),
    (says(), T, Phase.MAIL, "hangs up at MAIL"),
    (says(OK), T, Phase.RCPT, "hangs up at RCPT"),
    (says(b"450 4.7.1 later\r\n", b"503 no\r\n", b"503 no\r\n"), T, Phase.MAIL, "defers the sender"),
    (says(b"550 5.7.1 no\r\n", b"503 no\r\n", b"503 no\r\n"), P, Phase.MAIL, "refuses the sender"),
    (says(OK, b"450 4.2.0 grey\r\n", b"503 no\r\n"), T, Phase.RCPT, "greylists"),
    (says(OK, b"550 5.1.1 who?\r\n", b"503 no\r\n"), P, Phase.RCPT, "knows no such user"),
    (says(OK, OK, b"451 4.3.0 no\r\n"), T, Phase.DATA, "defers DATA"),
    (says(OK, OK, b"554 5.3.0 no\r\n"), P, Phase.DATA, "refuses DATA"),
    (says(b"421 4.3.2 bye\r\n"), T, Phase.MAIL, "421 at MAIL"),
    (says(OK, b"421 4.3.2 bye\r\n"), T, Phase.RCPT, "421 at RCPT"),
    (says(OK, OK, b"421 4.3.2 bye\r\n"), T, Phase.DATA, "421 at DATA"),
    (says(OK, b"550 " + b"x" * 1_000_000 + b"\r\n", b"503 no\r\n"), P, Phase.RCPT, "a megabyte of refusal"),
    (says(OK, b"550 \xff\xfe\x1b[2J\r\n", b"503 no\r\n"), P, Phase.RCPT, "a refusal in no character set"),
    (says(OK, b"550-no\r\n" * 5000, then=sleeps), T, Phase.RCPT, "a refusal without end"),
    (says(OK, b"\0\0\0\0\n", then=sleeps), T, Phase.RCPT, "junk for an answer"),
    (says(b"354 go\r\n", then=sleeps), T, Phase.MAIL, "354 at MAIL"),
]


@pytest.mark.parametrize(("manner", "verdict", "phase", "reason"), ANSWERS)
async def test_whatever_a_server_does_the_recipient_has_its_outcome_in_time(
    manner: Manner, verdict: Verdict, phase: Phase, reason: str
) -> None:
    began = time.perf_counter()
    async with zoo(manner) as place:
        session = await place.visit()
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert (outcome.verdict, outcome.phase) == (verdict, phase), reason
        assert outcome.text.isprintable()
        assert outcome.text.isascii()
        assert len(outcome.text) < 1200
        await session.quit()
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("answer", [b"250 2.0.0 taken\r\n", b"451 4.3.0 no\r\n", b"554 5.6.0 no\r\n"])
async def test_replies_that_come_byte_by_byte_are_whole_replies(answer: bytes) -> None:
    async def manner(peer: Peer) -> None:
        say = peer.say

        async def bytewise(data: bytes) -> None:
            for at in range(len(data)):
                await say(data[at : at + 1])
                await asyncio.sleep(0)

        peer.say = bytewise  # type: ignore[method-assign]
        await peer.greet()
        await peer.take(answer)
        await peer.take()

    async with zoo(manner) as place:
        session = await place.visit(timeouts=LONG)
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert outcome.code == int(answer[:3])
        await session.quit()


async def test_a_server_that_loses_pipelined_commands_is_served_without_pipelining() -> None:
    async def liar(peer: Peer) -> None:
        await peer.greet()
        while True:
            if not (data := await peer.read()):
                raise Gone
            if data.startswith(b"DATA"):
                await peer.say(b"354 go\r\n")
                await peer.message()
            await peer.say(b"250 ok\r\n")  # to the first of them; the others are thrown away

    async with zoo(liar) as place:
        session = await place.visit()
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert (outcome.verdict, outcome.phase) == (T, Phase.RCPT)
        session = await place.visit(replace(OPTIONS, pipelining=False))
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert outcome.verdict is A
        await session.quit()


async def test_a_server_that_answers_in_the_middle_of_a_message_is_heard() -> None:
    async def manner(peer: Peer) -> None:
        await peer.greet()
        for answer in (OK, OK, GO):
            await peer.line()
            await peer.say(answer)
        await peer.read()
        await peer.say(b"552 5.3.4 too big\r\n")
        while await peer.read():
            pass

    async with zoo(manner) as place:
        session = await place.visit(timeouts=LONG)
        (outcome,) = await session.deliver(envelope(message=BIG), BIG)
        assert (outcome.verdict, outcome.status, outcome.phase) == (P, "5.3.4", Phase.BODY)
        assert not session.usable


async def test_a_server_that_answers_and_reads_no_more_is_heard() -> None:
    async def manner(peer: Peer) -> None:
        await peer.greet()
        for answer in (OK, OK, GO):
            await peer.line()
            await peer.say(answer)
        await asyncio.sleep(0.2)
        await peer.say(b"452 4.3.1 disk full\r\n")
        await asyncio.sleep(FOREVER)

    began = time.perf_counter()
    async with zoo(manner) as place:
        session = await place.visit(timeouts=LONG)
        (outcome,) = await session.deliver(envelope(message=BIG), BIG)
        assert (outcome.verdict, outcome.status) == (T, "4.3.1")
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("ending", [sleeps, resets, greeting_with(b"")])
async def test_a_server_that_stops_reading_a_message_does_not_have_it(ending: Manner) -> None:
    async def manner(peer: Peer) -> None:
        await peer.greet()
        for answer in (OK, OK, GO):
            await peer.line()
            await peer.say(answer)
        await ending(peer)

    async with zoo(manner) as place:
        session = await place.visit(timeouts=QUICK)
        (outcome,) = await session.deliver(envelope(message=BIG), BIG)
        assert (outcome.verdict, outcome.phase) == (T, Phase.BODY)
        assert not session.usable


async def test_a_long_message_to_a_slow_reader_costs_little_memory() -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        for _ in range(400):
            yield b"x" * 99_998 + b"\r\n"

    size = 400 * 100_000

    async def counting(peer: Peer) -> None:
        await peer.greet()
        for answer in (OK, OK, GO):
            await peer.line()
            await peer.say(answer)
        got, last = 0, b""
        while not last.endswith(b"\r\n.\r\n"):
            data = await peer.read()
            got, last = got + len(data), (last + data)[-8:]
        await peer.say(b"250 ok %d\r\n" % got)

    async with zoo(counting) as place:
        session = await place.visit(timeouts=LONG)
        wanted = replace(envelope(), size=size)
        tracemalloc.start()
        try:
            (outcome,) = await session.deliver(wanted, pieces())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert outcome.text == f"250 ok {size + 3}"
        assert peak < 8_000_000
        await session.quit()


async def test_one_server_of_a_hundred_that_hangs_holds_up_nobody() -> None:
    async def one(place, timeouts):  # type: ignore[no-untyped-def]
        session = await place.visit(timeouts=timeouts)
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        await session.quit()
        return outcome.verdict

    async with zoo(good) as place, zoo(says(then=sleeps)) as tarpit:
        hanging = asyncio.create_task(one(tarpit, LONG))
        async with asyncio.timeout(10):
            verdicts = await asyncio.gather(*(one(place, LONG) for _ in range(100)))
        assert verdicts == [A] * 100
        assert not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging


async def test_a_server_behind_tls_that_closes_behind_the_dot_leaves_it_unknown(certificate) -> None:  # type: ignore[no-untyped-def]
    from merpati.net.tls import server_context

    async def manner(peer: Peer) -> None:
        await peer.greet(STARTTLS)
        await peer.line()
        await peer.say(b"220 go\r\n")
        await peer.secure(server_context(certificate.certificate, certificate.key))
        await peer.line()
        await peer.say(b"250-mx\r\n250 PIPELINING\r\n")
        for answer in (OK, OK, GO):
            await peer.line()
            await peer.say(answer)
        await peer.message()

    async with zoo(manner) as place:
        session = await place.visit(timeouts=LONG)
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert (outcome.verdict, outcome.phase) == (U, Phase.DOT)


async def test_a_server_that_says_more_than_it_was_asked_at_once_is_no_session(certificate) -> None:  # type: ignore[no-untyped-def]
    from merpati.net.tls import server_context

    twice = secured(server_context(certificate.certificate, certificate.key), b"250 mx\r\n250 and more\r\n")
    async with zoo(twice) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit(timeouts=LONG)
        assert failure.value.trouble.phase is Phase.IDLE
