"""How much, how long and how often: every limit on a client, reached; and the service's own end."""

from __future__ import annotations

import asyncio
import re
import resource
import ssl
from pathlib import Path

import pytest

from ingest.doors import DOORS
from ingest.limits import Limits
from ingest.service import SmtpSession
from merpati.net.addresses import Endpoint
from tests.ingest.world import MESSAGE, ready, world


async def test_recipients_beyond_the_limit_are_put_off(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_recipients=10)) as here:
        talk = await ready(here)
        await talk.say("MAIL FROM:<who@else.test>")
        replies = [await talk.say(f"RCPT TO:<ann+{number}@here.test>") for number in range(30)]
        assert [reply[:3] for reply in replies] == ["250"] * 10 + ["452"] * 20
        assert replies[-1].startswith("452 4.5.3")
        await talk.say("DATA")
        assert (await talk.say(MESSAGE + b".")).startswith("250")
        [(received, _)] = await here.received()
        assert len(received.envelope.recipients) == 10


class Wire(asyncio.Transport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5000)})
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return False


async def test_replies_to_commands_that_came_together_leave_together(tmp_path: Path) -> None:
    # RFC 2920 section 3.2
    async with world(tmp_path) as here:
        session = SmtpSession(here.service._receptions["mx"], DOORS["mx"], here.service._house).fresh()
        wire = Wire()
        session.connection_made(wire)
        serving = asyncio.ensure_future(session.serve_client(Endpoint("192.0.2.1", 5000)))
        for data in (
            b"",
            b"EHLO client.test\r\n",
            b"MAIL FROM:<>\r\n" + b"RCPT TO:<ann@here.test>\r\n" * 90 + b"DATA\r\n",
        ):
            session.data_received(data)
            await asyncio.sleep(0.05)
        assert [write.count(b"\r\n") for write in wire.writes] == [1, 10, 92]
        session.connection_lost(None)
        await serving


async def test_connections_of_one_client_are_limited_and_made_room_for(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_connections_per_client=3)) as here:
        talks = [await here.talk() for _ in range(3)]
        turned_away = await here.talk(greet=False)
        assert (await turned_away.reply()).startswith("421 4.7.0")
        assert await turned_away.reply() == ""
        await talks[0].say("QUIT")
        assert await talks[0].reply() == ""
        talks[0].close()
        await asyncio.sleep(0.1)
        assert (await (await here.talk()).say("NOOP")).startswith("250")


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY ann", "HELP", "EHLO client.test"])
async def test_a_flood_of_commands_that_do_nothing_is_ended(command: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await here.talk()
        assert {(await talk.say(command))[:1] for _ in range(101)} == {"2"}
        assert (await talk.reply()).startswith("421 4.7.0")
        assert await talk.reply() == ""


async def test_a_message_makes_good_for_errors_and_junk(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for _ in range(3):
            for _ in range(15):
                assert (await talk.say("XYZZY")).startswith("500")
            assert (await talk.hand_in(MESSAGE)).startswith("250")


async def test_harvesting_addresses_is_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.say("MAIL FROM:<>")
        replies = [await talk.say(f"RCPT TO:<user{number}@here.test>") for number in range(20)]
        assert {reply[:9] for reply in replies} == {"550 5.1.1"}
        assert (await talk.reply()).startswith("421 4.7.0")


@pytest.mark.parametrize(("size", "code"), [(65_536, "250"), (65_537, "552"), (200_000, "552"), (131_073, "552")])
async def test_the_size_is_enforced_while_reading(size: int, code: str, tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_size=65_536)) as here:
        talk = await ready(here)
        content = (b"x" * 62 + b"\r\n") * (size // 64 + 1)
        content = content[: size - 2].rstrip(b"\r\n").ljust(size - 2, b"y") + b"\r\n" if size % 64 else content[:size]
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        await talk.send(content + b".\r\n")
        assert (await talk.reply()).startswith(f"{code} {'2.0.0' if code == '250' else '5.3.4'}")
        assert here.service._crowd.held == 0
        # An honest client that was told so goes on; one that sent without end is gone
        assert await talk.say("NOOP") == ("" if size > 131_072 else "250 2.0.0 OK")


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
async def test_a_message_without_end_takes_no_memory(how: str, tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_size=20 << 20)) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>"):
            await talk.say(line)
        if how == "DATA":
            await talk.say("DATA")
        else:
            await talk.send(b"BDAT 40000000 LAST\r\n")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most = 0
        try:
            for _ in range(400):
                await talk.send(b"x" * 98_302 + b"\r\n" if how == "BDAT" else (b"y" * 62 + b"\r\n") * 1536)
                most = max(most, here.service._crowd.held)
        except ConnectionError:
            pass
        assert most <= 1 << 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB, the client's buffers too


async def test_when_memory_is_short_no_new_message_is_begun(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_held=10_000)) as here:
        first, second = await ready(here), await ready(here)
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>", "DATA"):
            await first.say(line)
        await first.send(b"x\r\n" * 10_000)
        await asyncio.sleep(0.1)
        assert (await second.say("MAIL FROM:<>")).startswith("452 4.3.1")
        await first.send(b".\r\n")
        assert (await first.reply()).startswith("250")
        assert (await second.say("MAIL FROM:<>")).startswith("250")


# Slow clients (HOSTILE S14)


async def test_a_command_must_come_within_five_minutes_however_it_drips(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for _ in range(29):
            await talk.send(b"N")
            await asyncio.sleep(0.01)
            here.clock.leap(10)
        await asyncio.sleep(0.05)
        here.clock.leap(20)
        assert (await talk.reply()).startswith("421 4.4.2")
        assert await talk.reply() == ""


async def test_a_client_that_talks_now_and_then_stays(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for _ in range(5):
            here.clock.leap(250)
            await asyncio.sleep(0.02)
            assert (await talk.say("NOOP")).startswith("250")


@pytest.mark.parametrize("how", ["DATA\r\n", "BDAT 100000\r\n"])
async def test_a_message_that_drips_is_cut_off(how: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>"):
            await talk.say(line)
        await talk.send(how.encode())
        if how.startswith("DATA"):
            await talk.reply()
        for _ in range(17):
            await talk.send(b"x")
            await asyncio.sleep(0.01)
            here.clock.leap(10)
        await asyncio.sleep(0.05)
        here.clock.leap(20)
        assert (await talk.reply()).startswith("421 4.4.2")
        assert await talk.reply() == ""
        assert await here.received() == []
        assert here.service._crowd.held == 0


async def test_a_slow_but_steady_message_is_taken(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        for _ in range(40):
            await talk.send(b"y" * 498 + b"\r\n" + b"y" * 498 + b"\r\n" * 3)
            await asyncio.sleep(0.005)
            here.clock.leap(2)
            await asyncio.sleep(0.005)
        for _ in range(40):
            here.clock.leap(4)
            await talk.send((b"y" * 498 + b"\r\n") * 5)
            await asyncio.sleep(0.01)
        await talk.send(b".\r\n")
        assert (await talk.reply()).startswith("250")


@pytest.mark.slow
async def test_a_client_that_reads_no_replies_is_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_junk=10**9)) as here:
        talk = await ready(here)
        talk.reader._transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(300):
                talk.writer.write(b"HELP\r\n" * 20_000)
                await asyncio.wait_for(talk.writer.drain(), 0.5)
        here.clock.leap(301)
        await asyncio.sleep(0.1)
        here.clock.leap(301)
        await asyncio.sleep(0.1)
        assert len(here.service._crowd) == 0


async def test_a_handshake_that_is_never_finished_is_ended(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, handshake_timeout=0.3)) as here:
        talk = await here.talk("submissions", greet=False, tls=False)
        assert await talk.reply() == ""
        other = await ready(here)
        assert (await other.say("STARTTLS")).startswith("220")
        assert await other.reply() == ""
        await asyncio.sleep(0.05)
        assert len(here.service._crowd) == 0


async def test_a_handshake_that_is_none_ends_the_connection_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for door in ("submissions", "mx"):
            talk = await here.talk(door, greet=False, tls=False)
            if door == "mx":
                await talk.reply()
                await talk.say("STARTTLS")
            await talk.send(b"EHLO client.test\r\nMAIL FROM:<>\r\n" * 5)
            with pytest.raises((AssertionError, UnicodeDecodeError, asyncio.LimitOverrunError)):
                assert await talk.reply() != ""
        await asyncio.sleep(0.05)
        assert len(here.service._crowd) == 0
        assert (await (await here.talk()).say("NOOP")).startswith("250")


async def test_what_comes_in_clear_behind_the_220_is_not_heard_under_tls(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        assert (await talk.say("STARTTLS")).startswith("220")
        await talk.send(b"RSET\r\n")
        with pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)):
            await talk.start_tls()
        await asyncio.sleep(0.05)
        assert len(here.service._crowd) == 0


# Early talkers (HOSTILE S4)


async def test_a_client_that_talks_before_it_is_greeted_is_turned_away(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0.2)) as here:
        for door in ("mx", "submission"):
            talk = await here.talk(door, greet=False)
            await talk.send(b"EHLO client.test\r\n")
            assert (await talk.reply()).startswith("554 5.5.0")
            assert await talk.reply() == ""


# The end


@pytest.mark.slow
async def test_a_stop_lets_a_message_come_to_its_end_and_sends_the_idle_away(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        idle, sending, storing = await ready(here), await ready(here), await ready(here)
        for talk in (sending, storing):
            for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>", "DATA"):
                await talk.say(line)
        here.bus.fault = "hang"
        await storing.send(MESSAGE + b".\r\n")
        await here.bus.asked()
        await sending.send(MESSAGE)
        port = here.service.ports["mx"]
        stopping = asyncio.ensure_future(here.service.stop(20))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.reply() == ""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        here.bus.fault = ""
        await sending.send(b".\r\n")
        assert (await sending.reply()).startswith("250")
        assert (await sending.reply()).startswith("421 4.3.2")
        assert await sending.reply() == ""
        assert not stopping.done()
        here.clock.leap(31)
        await stopping
        assert re.match("451|$", await storing.reply())
        assert here.service.ready() == "not listening"
        await here.service.stop(1)


@pytest.mark.slow
async def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        await asyncio.wait_for(here.service.stop(0.2), 5)
        assert len(here.service._crowd) == 0


@pytest.mark.slow
async def test_several_services_share_a_port(tmp_path: Path) -> None:
    async with world(tmp_path, reuse_port=True) as first:
        port = first.service.ports["mx"]
        (tmp_path / "second").mkdir()
        async with world(tmp_path / "second", reuse_port=True, ports={"mx": port}) as second:
            assert second.service.ports["mx"] == port
            for number in range(40):
                talk = await first.talk()
                await talk.say("HELO client.test")
                await talk.hand_in(MESSAGE + str(number).encode() + b"\r\n")
            shares = [len(await each.received()) for each in (first, second)]
            assert sum(shares) == 40
            assert min(shares) > 0
