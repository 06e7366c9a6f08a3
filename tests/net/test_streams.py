"""Connections on real sockets: bounded buffers, time-outs, back pressure, the end."""

import asyncio
import contextlib
import socket

import pytest

from merpati.net.dialing import connect
from merpati.net.failures import Disconnected, PeerStalled, TimedOut
from merpati.net.limits import Pace, StreamLimits
from merpati.net.self_signed import CertificateFiles
from merpati.net.streams import Connection
from merpati.net.tls import opportunistic
from tests.net.serving import client_of, echo, read_exactly, serving, tls_of, until


@pytest.mark.parametrize("secure", [False, True])
async def test_what_is_written_arrives_whole_and_in_order(certificate: CertificateFiles, secure: bool) -> None:
    sent = bytes(range(256)) * 12_000  # 3 MB: many times every buffer
    async with (
        serving(echo, tls=tls_of(certificate) if secure else None) as server,
        client_of(server, tls=opportunistic() if secure else None) as client,
    ):

        async def send() -> None:
            for i in range(0, len(sent), 100_000):
                client.writelines([sent[i : i + 50_000], memoryview(sent)[i + 50_000 : i + 100_000]])
                await client.drain()

        sending = asyncio.create_task(send())
        assert await read_exactly(client, len(sent)) == sent
        await sending


async def test_reading_pauses_when_nobody_takes_what_came() -> None:
    seen: list[int] = []
    go_on = asyncio.Event()

    async def lazy(connection: Connection) -> None:
        await go_on.wait()
        seen.append(connection.unread)
        while await connection.read():
            pass

    async with serving(lazy, streams=StreamLimits(max_input=10_000)) as server, client_of(server) as client:
        client.write(b"x" * 30_000_000)
        before = -1
        while client.unwritten != before:
            before = client.unwritten
            await asyncio.sleep(0.2)
        assert before > 0, "the server read on"
        go_on.set()
        await until(lambda: not client.unwritten)
    assert 10_000 < seen[0] <= 10_000 + 262_144


async def test_a_half_closed_client_still_gets_its_answers() -> None:
    async def answer_all(connection: Connection) -> None:
        asked = 0
        while data := await connection.read():
            asked += len(data)
        connection.write(b"%d bytes" % asked)

    async with serving(answer_all) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x" * 10)
        writer.write_eof()
        assert await reader.read() == b"10 bytes"
        writer.close()


async def test_silence_is_a_timeout_that_can_still_be_answered() -> None:
    async def impatient(connection: Connection) -> None:
        try:
            await connection.read(timeout=0.05)
        except TimedOut:
            connection.write(b"BYE too slow\r\n")

    async with serving(impatient) as server, client_of(server) as client:
        assert await client.read(timeout=5) == b"BYE too slow\r\n"
        assert await client.read(timeout=5) == b""


async def test_each_read_has_its_own_timeout() -> None:
    async with serving(echo) as server, client_of(server) as client:
        with pytest.raises(TimedOut):
            await client.read(timeout=0.05)
        client.write(b"x")
        assert await client.read(timeout=5) == b"x"  # the timer of the first read does not end this one
        began = client.time()
        with pytest.raises(TimedOut):
            await client.read(timeout=0.2)
        assert 0.15 < client.time() - began < 2
        with pytest.raises(TimedOut):
            await client.read(timeout=60, until=client.time() + 0.05)


async def test_a_slowloris_is_stopped_by_its_pace() -> None:
    pace = Pace(grace=0.2, rate=100)
    ended = asyncio.get_running_loop().create_future()

    async def careful(connection: Connection) -> None:
        began, received = connection.time(), 0
        try:
            while data := await connection.read(timeout=10, until=pace.until(began, received)):
                received += len(data)
        except TimedOut:
            ended.set_result((received, connection.time() - began))

    async with serving(careful) as server, client_of(server) as client:
        while not ended.done():
            client.write(b".")
            await asyncio.sleep(0.05)  # 20 bytes a second: never silent, and still too slow
    received, seconds = ended.result()
    assert 0 < received < 20
    assert seconds < 2


def test_a_good_pace_earns_time() -> None:
    pace = Pace(grace=10, rate=100)
    assert pace.until(1000, 0) == 1010
    assert pace.until(1000, 5_000) == 1060


async def test_a_cancelled_read_loses_nothing() -> None:
    async with serving(echo) as server, client_of(server) as client:
        for _ in range(20):
            reading = asyncio.create_task(client.read())
            client.write(b"ab")
            await asyncio.sleep(0)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            got = b"" if reading.cancelled() else reading.result()
            while len(got) < 2:
                got += await client.read(timeout=5)
            assert got == b"ab"


async def test_two_readers_are_a_bug() -> None:
    async with serving(echo) as server, client_of(server) as client:
        first = asyncio.create_task(client.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await client.read()
        first.cancel()


@pytest.mark.parametrize("secure", [False, True])
async def test_a_peer_that_stops_reading_is_dropped(certificate: CertificateFiles, secure: bool) -> None:
    outcome = asyncio.get_running_loop().create_future()
    limits = StreamLimits(stall=0.3, linger=0.3)

    async def flood(connection: Connection) -> None:
        try:
            while True:
                connection.write(b"x" * 65_536)
                await connection.drain()
        except PeerStalled as error:
            outcome.set_result(connection.unwritten)
            raise error

    async with serving(flood, streams=limits, tls=tls_of(certificate) if secure else None) as server:
        loop = asyncio.get_running_loop()
        raw = socket.create_connection(("127.0.0.1", server.port))
        if secure:
            raw = await loop.run_in_executor(None, opportunistic().wrap_socket, raw)
        try:
            async with asyncio.timeout(10):
                assert 0 <= await outcome < 500_000
            await until(lambda: not server.connections)
        finally:
            raw.close()


async def test_a_slow_reader_that_takes_something_is_kept() -> None:
    limits = StreamLimits(stall=0.3, progress=16_384)
    done = asyncio.get_running_loop().create_future()

    async def pour(connection: Connection) -> None:
        connection._live.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        connection.write(b"x" * 4_000_000)
        await connection.drain()
        done.set_result(True)

    async with serving(pour, streams=limits) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.setblocking(False)
        began, taken = asyncio.get_running_loop().time(), 0
        while not done.done():
            with contextlib.suppress(BlockingIOError):
                taken += len(raw.recv(131_072))
            await asyncio.sleep(0.05)
        assert asyncio.get_running_loop().time() - began > 0.6, "it must outlast the stall time to prove something"
        raw.close()


async def test_output_that_nobody_drains_is_bounded() -> None:
    outcome = asyncio.get_running_loop().create_future()

    async def careless(connection: Connection) -> None:
        try:
            for _ in range(10_000):
                connection.write(b"x" * 10_000)
        except PeerStalled:
            outcome.set_result(connection.is_closing)
            raise

    async with serving(careless, streams=StreamLimits(max_output=1_000_000)) as server, client_of(server) as client:
        client._live.pause_reading()
        assert await outcome


async def test_writing_to_a_lost_connection_is_told() -> None:
    async with serving(echo) as server, client_of(server) as client:
        client.abort()
        await client.wait_closed()
        for act in (lambda: client.write(b"x"), lambda: client.writelines([b"x"])):
            with pytest.raises(Disconnected):
                act()
        with pytest.raises(Disconnected):
            await client.drain()
        assert await client.read() == b""


async def test_the_last_words_arrive_though_input_was_left_unread() -> None:
    async def rude(connection: Connection) -> None:
        await connection.read()
        connection.write(b"* BYE line too long\r\n")

    async with serving(rude) as server:
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    writer.write(b"x" * 100_000)
                    await writer.drain()
            assert await reader.read() == b"* BYE line too long\r\n"
            writer.close()


async def test_a_client_that_never_closes_does_not_keep_us() -> None:
    async def brief(connection: Connection) -> None:
        connection.write(b"bye")

    async with serving(brief, streams=StreamLimits(linger=0.2)) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        await until(lambda: server.connections)
        await until(lambda: not server.connections)
        raw.close()


async def test_connecting_to_nobody_is_temporary() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Disconnected) as caught:
            await connect("127.0.0.1", unused.getsockname()[1])
    assert caught.value.enhanced_code == "4.4.1"
    assert "refused" in str(caught.value)
