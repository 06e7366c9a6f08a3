"""What a client hears when something behind the door fails, and that nothing is lost or doubled by it."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import struct
from pathlib import Path

import pytest

from ingest.limits import Limits
from merpati.errors import MerpatiError, Temporary
from merpati.events import Envelope, Received, Recipient
from merpati.plugins.edge import ACCEPT, Verdict
from tests.ingest.world import BIG, MESSAGE, ready, world


class Moody:
    """An edge that cannot tell, every third time."""

    def __init__(self) -> None:
        self._asked = 0

    async def judge_recipient(self, envelope: Envelope, recipient: Recipient) -> MerpatiError | None:
        return None

    async def judge(self, received: Received, raw: bytes) -> Verdict:
        self._asked += 1
        if self._asked % 3 == 0:
            raise Temporary("try again later")
        return ACCEPT


# Faults (HOSTILE V10): 451, never 250, never 5yz, never the reason

BUS_FAULTS = {"refuse": False, "lose": True, "bug": False, "forbid": False}


@pytest.mark.parametrize("door", ["mx", "lmtp"])
@pytest.mark.parametrize("fault", BUS_FAULTS)
async def test_a_bus_that_fails_is_answered_451_and_nothing_is_doubled(
    fault: str, door: str, tmp_path: Path, bugs: list[str], log_lines: list[str]
) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here, door)
        here.bus.fault = fault
        assert re.fullmatch(r"451 4\.3\.0 [a-z ]+", await talk.hand_in(MESSAGE))
        assert fault != "refuse" or any("broker 10.0.0.7" in line for line in log_lines)
        assert here.service.ready() or fault == "forbid"
        here.bus.fault = ""
        assert (await talk.hand_in(MESSAGE)).startswith("250")
        assert here.service.ready() == ""
        messages = await here.received()
        assert len(messages) == 1 + BUS_FAULTS[fault]
        # What is on the log twice is one message: every sink drops the second
        assert len({received.message for received, _ in messages}) == 1
        assert len({received.id for received, _ in messages}) == 1
    bugs.clear()


async def test_an_id_is_kept_until_the_sender_knows(tmp_path: Path) -> None:
    async with world(tmp_path, edge=Moody()) as here:
        talk = await ready(here)
        for fault in ("lose", "refuse", "", "lose", "lose"):  # the third is the edge's own
            here.bus.fault = fault
            assert (await talk.hand_in(MESSAGE)).startswith("451")
        here.bus.fault = ""
        assert (await talk.hand_in(MESSAGE)).startswith("451")
        assert (await talk.hand_in(MESSAGE)).startswith("250")
        assert len(await here.received()) == 4
        assert len({received.message for received, _ in await here.received()}) == 1


@pytest.mark.parametrize(("fault", "written"), [("hang", 0), ("swallow", 1)])
async def test_a_bus_that_hangs_is_answered_451_in_time(fault: str, written: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talks = [await ready(here) for _ in range(3)]
        here.bus.fault = fault
        waiting = [
            asyncio.ensure_future(talk.hand_in(MESSAGE + str(n).encode() + b"\r\n")) for n, talk in enumerate(talks)
        ]
        await here.bus.asked()
        for _ in range(4):
            await asyncio.sleep(0.1)
            here.clock.leap(31)
        replies = await asyncio.gather(*waiting)
        assert [reply[:9] for reply in replies] == ["451 4.3.0"] * 3
        here.bus.fault = ""
        for n, talk in enumerate(talks):
            assert (await talk.hand_in(MESSAGE + str(n).encode() + b"\r\n")).startswith("250")
        messages = await here.received()
        assert len({received.message for received, _ in messages}) == 3
        assert len(messages) == 3 + 3 * written


async def test_a_message_that_differs_in_a_byte_is_another_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        here.bus.fault = "lose"
        await talk.hand_in(MESSAGE)
        here.bus.fault = ""
        await talk.hand_in(MESSAGE + b"x\r\n")
        await talk.hand_in(MESSAGE, sender="other@else.test")
        await talk.hand_in(MESSAGE, "bob@here.test")
        assert len({received.message for received, _ in await here.received()}) == 4


async def test_an_identical_message_after_a_250_is_another_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.hand_in(MESSAGE)
        await talk.hand_in(MESSAGE)
        assert len({received.message for received, _ in await here.received()}) == 2


async def test_an_id_is_kept_for_an_hour_and_no_longer(tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, command_timeout=10_000)) as here:
        talk = await ready(here)
        here.bus.fault = "lose"
        await talk.hand_in(MESSAGE)
        here.bus.fault = ""
        here.clock.leap(3_601)
        await talk.hand_in(MESSAGE)
        assert len({received.message for received, _ in await here.received()}) == 2


async def test_a_client_that_breaks_off_with_the_250_unread_and_comes_back_has_sent_one_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for again in (False, True):
            talk = await ready(here)
            for line in ("MAIL FROM:<who@else.test>", "RCPT TO:<ann@here.test>", "DATA"):
                await talk.say(line)
            client = talk.writer.get_extra_info("socket")
            await talk.send(MESSAGE + b".\r\n")
            if again:
                assert (await talk.reply()).startswith("250")
                break
            talk.writer.transport.pause_reading()
            await asyncio.sleep(0.1)
            # What a kernel does for a process that died with bytes unread
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            talk.writer.transport.abort()
            await asyncio.sleep(0.1)
        assert len(await here.received()) == 2
        assert len({received.message for received, _ in await here.received()}) == 1


@pytest.mark.parametrize("fault", ["slow", "hang"])
async def test_a_client_that_is_gone_before_the_250_and_comes_back_has_sent_one_message(
    fault: str, tmp_path: Path
) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        here.bus.fault = fault
        for line in ("MAIL FROM:<who@else.test>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        await talk.send(MESSAGE + b".\r\n")
        await here.bus.asked()
        talk.writer.transport.abort()
        await asyncio.sleep(0.05)
        here.bus.fault = ""
        await asyncio.sleep(0.05)
        here.clock.leap(31)
        await asyncio.sleep(0.05)
        assert len(await here.received()) == (fault == "slow")
        assert (await (await ready(here)).hand_in(MESSAGE)).startswith("250")
        assert len(await here.received()) == 1 + (fault == "slow")
        assert len({received.message for received, _ in await here.received()}) == 1


async def test_half_closing_after_the_dot_does_not_cancel_the_message(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<who@else.test>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        talk.writer.write(MESSAGE + b".\r\n")
        talk.writer.write_eof()
        assert (await talk.reply()).startswith("250")
        assert await talk.reply() == ""
        assert len(await here.received()) == 1


@pytest.mark.parametrize("cut", [0, 1, 20, len(MESSAGE) - 1, len(MESSAGE), len(MESSAGE) + 1, len(MESSAGE) + 2])
async def test_a_message_that_breaks_off_is_no_message(cut: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        for line in ("MAIL FROM:<who@else.test>", "RCPT TO:<ann@here.test>", "DATA"):
            await talk.say(line)
        talk.writer.write((MESSAGE + b".\r\n")[:cut])
        talk.writer.write_eof()
        assert await talk.reply() == ""
        assert await here.received() == []


async def test_a_store_that_is_down_or_hangs_is_answered_451(tmp_path: Path) -> None:
    content = re.sub(b"(.{64})", rb"\1\r\n", BIG)
    async with world(tmp_path) as here:
        talk = await ready(here)
        here.store.down = True
        assert (await talk.hand_in(content)).startswith("451 4.3.0")
        here.store.down, here.store.hangs = False, True
        waiting = asyncio.ensure_future(talk.hand_in(content))
        await asyncio.sleep(0.3)
        here.clock.leap(101)
        assert (await waiting).startswith("451 4.3.0")
        here.store.hangs = False
        assert (await talk.hand_in(content)).startswith("250")
        assert len(await here.received()) == 1
        assert here.service._crowd.held == 0


async def test_a_disk_that_is_full_is_answered_452_after_the_dot(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    async with world(folder) as here:
        talk = await ready(here)
        shutil.rmtree(folder)
        content = re.sub(b"(.{64})", rb"\1\r\n", BIG)
        assert (await talk.hand_in(content)).startswith("452 4.3.1")
        assert (await talk.hand_in(MESSAGE)).startswith("250")
        assert here.service._crowd.held == 0


async def test_a_directory_that_is_down_is_answered_451(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await ready(here)
        await talk.say("MAIL FROM:<who@else.test>")
        here.directory.down = True
        for rcpt in ("<ann@here.test>", "<u@far.test>", "<postmaster>"):
            assert (await talk.say(f"RCPT TO:{rcpt}")).startswith("451 4.3.0")
        here.directory.down = False
        assert (await talk.say("RCPT TO:<ann@here.test>")).startswith("250")
