"""TLS on real sockets: in the middle of a conversation, from the start, and in the hands of someone hostile."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

import pytest

from merpati.net.dialing import connect
from merpati.net.failures import HandshakeFailed, InjectedPlaintext
from merpati.net.limits import StreamLimits
from merpati.net.self_signed import CertificateFiles
from merpati.net.streams import Connection
from merpati.net.tls import opportunistic, verified
from tests.net.serving import Handler, client_of, echo, read_exactly, serving, tls_of, until


def starttls_handler(context: Callable[[], ssl.SSLContext], said: list[str]) -> Handler:
    """A tiny line protocol: STARTTLS, NOOP."""

    async def handler(connection: Connection) -> None:
        held = b""
        while data := await connection.read(timeout=10):
            held += data
            while b"\r\n" in held:
                line, _, held = held.partition(b"\r\n")
                where = "tls" if connection.tls else "clear"
                said.append(f"{where}:{line.decode('latin-1')}")
                if line != b"STARTTLS":
                    connection.write(b"OK " + line + b"\r\n")
                    continue
                try:
                    await connection.start_tls(context(), unread=len(held), ready=b"OK begin\r\n")
                except InjectedPlaintext:
                    connection.write(b"BAD not behind STARTTLS\r\n")
                    return
            await connection.drain()

    return handler


async def test_a_connection_goes_over_to_tls(certificate: CertificateFiles) -> None:
    said: list[str] = []
    async with (
        serving(starttls_handler(tls_of(certificate), said)) as server,
        client_of(server) as client,
    ):
        assert client.tls is None
        client.write(b"STARTTLS\r\n")
        assert await client.read(timeout=5) == b"OK begin\r\n"
        await client.start_tls(verified(certificate.public), unread=0, server_hostname="mx.example.org")
        assert client.tls is not None
        assert client.tls.version == "TLSv1.3"
        client.write(b"NOOP\r\n")
        assert await client.read(timeout=5) == b"OK NOOP\r\n"
        big = b"NOOP " + b"x" * 500_000 + b"\r\n"
        client.write(big)
        assert len(await read_exactly(client, len(big) + 3)) == len(big) + 3
    assert said[:2] == ["clear:STARTTLS", "tls:NOOP"]


@pytest.mark.parametrize("pause", [0, 0.05], ids=["same segment", "next segment"])
async def test_bytes_behind_starttls_are_never_taken_for_tls(certificate: CertificateFiles, pause: float) -> None:
    """CVE-2011-0411: injected by someone on the way, answered inside TLS, believed by the client."""
    said: list[str] = []
    handler = starttls_handler(tls_of(certificate), said)
    async with serving(handler) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"STARTTLS\r\n" + (b"" if pause else b"NOOP injected\r\n"))
        if pause:
            await asyncio.sleep(pause)
            writer.write(b"NOOP injected\r\n")
        with contextlib.suppress(OSError):
            await writer.start_tls(opportunistic(), server_hostname="mx.example.org")
            writer.write(b"NOOP mine\r\n")
            await reader.read()
        writer.close()
        await until(lambda: not server.connections)
    assert [line for line in said if "injected" in line] == []


async def test_injected_bytes_are_answered_in_clear_and_the_connection_ends(certificate: CertificateFiles) -> None:
    async with serving(starttls_handler(tls_of(certificate), [])) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"STARTTLS\r\nNOOP injected\r\n")
        assert await reader.read() == b"BAD not behind STARTTLS\r\n"
        writer.close()


async def test_bytes_in_the_buffer_of_the_connection_stop_the_upgrade_too(certificate: CertificateFiles) -> None:
    outcome = asyncio.get_running_loop().create_future()

    async def slow_to_upgrade(connection: Connection) -> None:
        await connection.read()
        await asyncio.sleep(0.2)  # meanwhile the second segment comes in
        try:
            await connection.start_tls(tls_of(certificate)(), unread=0, ready=b"go\r\n")
        except InjectedPlaintext:
            outcome.set_result(connection.unread)

    async with serving(slow_to_upgrade) as server, client_of(server) as client:
        client.write(b"STARTTLS\r\n")
        await asyncio.sleep(0.05)
        client.write(b"NOOP injected\r\n")
        assert await outcome == len(b"NOOP injected\r\n")
        assert await client.read(timeout=5) == b"", "no go-ahead was given"


async def test_an_answer_injected_by_a_server_stops_the_client(certificate: CertificateFiles) -> None:
    async def impostor(connection: Connection) -> None:
        await connection.read()
        connection.write(b"220 go\r\n250 injected\r\n")
        await connection.read(timeout=5)

    async with serving(impostor) as server, client_of(server) as client:
        client.write(b"STARTTLS\r\n")
        got = await client.read(timeout=5)
        with pytest.raises(InjectedPlaintext):
            await client.start_tls(
                opportunistic(), unread=len(got.partition(b"\r\n")[2]), server_hostname="mx.example.org"
            )


async def test_a_client_hello_right_behind_the_go_ahead_is_not_lost(certificate: CertificateFiles) -> None:
    """The go-ahead is written by `start_tls` after reading was paused: 200 quick clients, none fails."""
    async with serving(starttls_handler(tls_of(certificate), [])) as server:
        context = opportunistic()

        async def one() -> bytes:
            async with client_of(server) as client:
                client.write(b"STARTTLS\r\n")
                await client.read(timeout=10)
                await client.start_tls(context, unread=0, server_hostname="mx.example.org")
                client.write(b"NOOP\r\n")
                return await client.read(timeout=10)

        for _ in range(10):
            assert set(await asyncio.gather(*(one() for _ in range(20)))) == {b"OK NOOP\r\n"}


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_handshake_that_is_never_finished_ends(certificate: CertificateFiles, implicit: bool) -> None:
    seen: list[str] = []
    tls = tls_of(certificate)
    async with serving(
        starttls_handler(tls, []),
        tls=tls if implicit else None,
        streams=StreamLimits(handshake=0.3),
        observe=lambda event: seen.append(event.what),
    ) as server:
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.sendall(b"\x16\x03\x01" if implicit else b"STARTTLS\r\n")
        await until(lambda: "closed" in seen)
        raw.close()
    assert seen == ["accepted", "handshake-failed", "closed"]


@pytest.mark.parametrize("garbage", [b"NOOP\r\n" * 10, b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.0\r\n\r\n"])
async def test_garbage_instead_of_a_handshake_ends_it(certificate: CertificateFiles, garbage: bytes) -> None:
    seen: list[str] = []
    async with serving(echo, tls=tls_of(certificate), observe=lambda event: seen.append(event.what)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await until(lambda: not server.connections)
    assert "handshake-failed" in seen
    assert "bug" not in seen


async def test_a_wrong_certificate_is_not_taken_by_a_client_that_checks(certificate: CertificateFiles) -> None:
    async with serving(echo, tls=tls_of(certificate)) as server:
        with pytest.raises(HandshakeFailed) as wrong_name:
            await connect("127.0.0.1", server.port, tls=verified(certificate.public), server_hostname="other.test")
        assert "mismatch" in str(wrong_name.value)
        with pytest.raises(HandshakeFailed) as unknown:
            await connect("127.0.0.1", server.port, tls=verified(), server_hostname="mx.example.org")
        assert "self" in str(unknown.value)


async def test_the_server_knows_the_name_it_was_asked_for(certificate: CertificateFiles) -> None:
    async def tell(connection: Connection) -> None:
        assert connection.tls is not None
        connection.write(f"{connection.tls.sni} {connection.tls.version} {connection.tls.bits > 0}".encode())

    async with (
        serving(tell, tls=tls_of(certificate)) as server,
        client_of(server, tls=opportunistic(), server_hostname="MX.example.org") as client,
    ):
        assert await client.read(timeout=5) == b"mx.example.org TLSv1.3 True"
