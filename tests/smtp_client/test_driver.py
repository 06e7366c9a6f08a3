"""The client on real sockets: a server that behaves, TLS, long messages, and connections that are kept."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from delivery.smtp.driver import NoSession
from delivery.smtp.envelope import Envelope
from delivery.smtp.opening import Login, Tls
from delivery.smtp.outcome import Cause, Phase, Verdict
from delivery.smtp.timeouts import TIMEOUTS
from merpati.errors import Unavailable
from merpati.net.self_signed import CertificateFiles
from merpati.net.tls import server_context, verified
from tests.smtp_client.talk import MESSAGE, STUFFED, envelope, recipients
from tests.smtp_client.zoo import LONG, OPTIONS, Peer, zoo

STARTTLS = b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n"


async def good(peer: Peer) -> None:
    await peer.greet()
    while True:
        await peer.take()


async def test_a_message_is_delivered() -> None:
    async with zoo(good) as place:
        session = await place.visit()
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        await session.quit()
        assert (outcome.verdict, outcome.text) == (Verdict.ACCEPTED, "250 2.0.0 taken")
        assert place.peers[0].messages == [STUFFED]
        assert place.peers[0].lines == [
            b"EHLO client.test",
            b"MAIL FROM:<a@b.test>",
            b"RCPT TO:<c@d.test>",
            b"DATA",
            b"QUIT",
        ]
        assert not session.usable


async def test_many_messages_go_over_one_connection() -> None:
    async with zoo(good) as place:
        session = await place.visit()
        for number in range(20):
            message = b"Subject: %d\r\n\r\n" % number
            (outcome,) = await session.deliver(envelope(message=message), message)
            assert outcome.verdict is Verdict.ACCEPTED
            assert session.usable
        await session.quit()
        assert len(place.peers) == 1
        assert place.peers[0].messages[19] == b"Subject: 19\r\n\r\n.\r\n"


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 3_000_000])
@pytest.mark.slow
async def test_a_message_of_any_size_arrives_as_it_is(size: int) -> None:
    message = (b"." + b"x" * 98 + b"\r\n") * (size // 101) + b"y" * (size % 101)
    async with zoo(good) as place:
        session = await place.visit(timeouts=replace(LONG, dot=30))
        (outcome,) = await session.deliver(envelope(message=message), message)
        await session.quit()
        assert outcome.verdict is Verdict.ACCEPTED
        got = place.peers[0].messages[0]
        plain = got.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.").removeprefix(b".")
        assert plain.removesuffix(b"\r\n") == message.removesuffix(b"\r\n")


async def test_a_message_in_pieces_arrives_as_it_is() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"Subject: x\r", b"\n\r\n", b"", b".", b"hi\r\n"):
            yield piece
            await asyncio.sleep(0)

    async with zoo(good) as place:
        session = await place.visit()
        (outcome,) = await session.deliver(envelope(), pieces())
        assert outcome.verdict is Verdict.ACCEPTED
        assert place.peers[0].messages == [STUFFED]
        await session.quit()


async def test_a_message_that_cannot_be_had_to_its_end_is_not_delivered() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\nhalf"
        raise Unavailable("store unavailable")

    async with zoo(good) as place:
        session = await place.visit()
        (outcome,) = await session.deliver(envelope(), pieces())
        assert (outcome.verdict, outcome.text) == (Verdict.TEMPORARY, "store unavailable")
        assert not session.usable
        assert place.peers[0].messages == []


async def test_a_bug_in_the_middle_of_a_message_closes_the_connection() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\nhalf"
        raise LookupError

    async with zoo(good) as place:
        session = await place.visit()
        with pytest.raises(LookupError):
            await session.deliver(envelope(), pieces())
        assert not session.usable
        assert place.peers[0].messages == []


async def test_a_delivery_that_is_cancelled_closes_the_connection() -> None:
    async def slow(peer: Peer) -> None:
        await peer.greet()
        await peer.line()
        await asyncio.sleep(30)

    async with zoo(slow) as place:
        session = await place.visit(timeouts=LONG)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.deliver(envelope(), MESSAGE)
        assert not session.usable
        assert (await session.deliver(envelope(), MESSAGE))[0].verdict is Verdict.TEMPORARY


async def test_a_server_that_hung_up_meanwhile_is_seen_before_the_next_message() -> None:
    async def once(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        await peer.say(b"421 4.4.2 that was all\r\n")

    async with zoo(once) as place:
        session = await place.visit()
        assert (await session.deliver(envelope(), MESSAGE))[0].verdict is Verdict.ACCEPTED
        await asyncio.sleep(0.05)
        assert not session.usable
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert outcome.verdict is Verdict.TEMPORARY
        await session.quit()


async def test_nobody_there_is_no_session() -> None:
    async with zoo(good) as place:
        port = place.port
    place.port = port
    with pytest.raises(NoSession) as failure:
        await place.visit()
    assert (failure.value.trouble.cause, failure.value.trouble.phase) == (Cause.LOST, Phase.CONNECT)
    assert "refused" in failure.value.public


# TLS


def secured(context: ssl.SSLContext, then: bytes = b"250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n"):  # type: ignore[no-untyped-def]
    async def manner(peer: Peer) -> None:
        await peer.greet(STARTTLS)
        assert await peer.line() == b"STARTTLS"
        await peer.say(b"220 go\r\n")
        await peer.secure(context)
        await peer.line()
        await peer.say(then)
        while True:
            await peer.take()

    return manner


async def test_a_message_goes_over_tls_where_it_is_offered(certificate: CertificateFiles) -> None:
    context = server_context(certificate.certificate, certificate.key)
    async with zoo(secured(context)) as place:
        session = await place.visit(timeouts=LONG)
        assert session.tls is not None
        assert session.tls.version == "TLSv1.3"
        message = b"x" * 70 + b"\r\n"
        (outcome,) = await session.deliver(envelope(message=message * 20_000), message * 20_000)
        assert outcome.verdict is Verdict.ACCEPTED
        assert place.peers[0].lines[:3] == [b"EHLO client.test", b"STARTTLS", b"EHLO client.test"]
        assert len(place.peers[0].messages[0]) == 72 * 20_000 + 3
        await session.quit()


async def test_a_certificate_is_looked_at_where_it_must_be_good(certificate: CertificateFiles) -> None:
    context = server_context(certificate.certificate, certificate.key)
    must = replace(OPTIONS, tls=Tls.MUST)
    async with zoo(secured(context)) as place:
        session = await place.visit(must, LONG, context=verified(certificate.public))
        assert session.tls is not None
        await session.quit()
        for host, trust in (("other.example.org", verified(certificate.public)), ("mx.example.org", verified())):
            with pytest.raises(NoSession) as failure:
                await place.visit(must, LONG, host=host, context=trust)
            assert failure.value.trouble.cause is Cause.HANDSHAKE
            assert "certificate" in failure.value.public


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[127.0.0.1]", "mx.example.org.", "_x.test", "a..b", "", "x" * 64 + ".test"]
)
async def test_whatever_the_host_is_called_there_is_tls_or_a_reason(certificate: CertificateFiles, host: str) -> None:
    context = server_context(certificate.certificate, certificate.key)
    async with zoo(secured(context)) as place:
        try:
            session = await place.visit(timeouts=LONG, host=host)
        except NoSession as failure:
            assert failure.trouble.cause is Cause.HANDSHAKE
        else:
            assert session.tls is not None
            await session.quit()


async def test_a_smarthost_is_logged_in_to_under_tls_from_the_start(certificate: CertificateFiles) -> None:
    async def smarthost(peer: Peer) -> None:
        await peer.greet(b"250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n")
        word, mechanism, secret = (await peer.line()).split(b" ")
        assert (word, mechanism) == (b"AUTH", b"PLAIN")
        await peer.say(b"235 ok\r\n" if b64decode(secret) == b"\0me\0hunter2" else b"535 no\r\n")
        await peer.take()

    options = replace(OPTIONS, under_tls=True, tls=Tls.MUST, login=Login("me", "hunter2"))
    async with zoo(smarthost, tls=server_context(certificate.certificate, certificate.key)) as place:
        session = await place.visit(options, LONG, context=verified(certificate.public))
        (outcome,) = await session.deliver(envelope(), MESSAGE)
        assert outcome.verdict is Verdict.ACCEPTED
        await session.quit()
        with pytest.raises(NoSession) as failure:
            await place.visit(replace(options, login=Login("me", "wrong")), LONG)
        assert failure.value.trouble.cause is Cause.LOGIN
        assert "wrong" not in str(failure.value)


async def test_tls_from_the_start_with_a_server_in_clear_is_no_session() -> None:
    async def greets(peer: Peer) -> None:
        await peer.say(b"220 mx\r\n")
        await peer.read()

    async with zoo(greets) as place:
        with pytest.raises(NoSession) as failure:
            await place.visit(replace(OPTIONS, under_tls=True))
        assert failure.value.trouble.cause is Cause.HANDSHAKE


def test_the_waits_are_those_of_the_rfc() -> None:
    named = (TIMEOUTS.greeting, TIMEOUTS.mail, TIMEOUTS.rcpt, TIMEOUTS.data, TIMEOUTS.block, TIMEOUTS.dot)
    assert named == (300, 300, 300, 120, 180, 600)
    assert all(TIMEOUTS.of(phase) > 0 for phase in Phase)


def test_an_envelope_can_be_made_without_the_message() -> None:
    assert Envelope("", recipients("a@b"), 5).size == 5
