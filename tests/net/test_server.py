"""Servers on real sockets: how many clients, which, behind which proxy, and the end."""

import asyncio
import resource
import socket
import ssl
import struct

import pytest

from merpati.errors import Misconfigured
from merpati.net.addresses import Endpoint, parse_networks
from merpati.net.dialing import connect
from merpati.net.failures import Disconnected, Draining
from merpati.net.limits import ServerLimits
from merpati.net.proxy import V2_SIGNATURE
from merpati.net.self_signed import CertificateFiles
from merpati.net.server import serve
from merpati.net.streams import Connection
from merpati.net.tls import opportunistic
from tests.net.serving import LOOPBACK, client_of, echo, read_exactly, serving, tls_of, until


async def test_a_drain_ends_the_wait_for_a_command_and_no_other() -> None:
    async def session(connection: Connection) -> None:
        try:
            while data := await connection.read(between=True):
                if data == b"literal":
                    connection.write(b"+")
                    connection.write(b"stored " + await connection.read(timeout=5))
        except Draining:
            connection.write(b"BYE")

    async with serving(session) as server, client_of(server) as idle, client_of(server) as busy:
        busy.write(b"literal")
        assert await busy.read(timeout=5) == b"+"
        draining = asyncio.create_task(server.drain(5))
        assert await idle.read(timeout=5) == b"BYE"
        busy.write(b"mail")
        assert await read_exactly(busy, 14) == b"stored mailBYE"
        for client in (idle, busy):
            client.close()
        assert await draining == 0
        with pytest.raises(Disconnected):
            await connect("127.0.0.1", server.port)


async def test_a_session_that_does_not_end_is_cut_off_at_the_deadline() -> None:
    cancelled = asyncio.Event()

    async def stubborn(connection: Connection) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(stubborn) as server, client_of(server) as client:
        await until(lambda: server.connections)
        assert await server.drain(0.1) == 1
        assert cancelled.is_set()
        assert await client.read(timeout=5) == b""
        assert await server.drain(0.1) == 0


@pytest.mark.parametrize(
    "limits", [ServerLimits(max_connections=2), ServerLimits(max_per_client=2)], ids=["in all", "per client"]
)
async def test_a_client_too_many_is_told_and_the_next_one_has_room_again(limits: ServerLimits) -> None:
    seen: list[str] = []
    async with serving(
        echo, limits=limits, refusal=b"* BYE too many\r\n", observe=lambda event: seen.append(event.what)
    ) as server:
        async with client_of(server) as first, client_of(server) as second:
            for client in (first, second):
                client.write(b"x")
                assert await client.read(timeout=5) == b"x"
            async with client_of(server) as third:
                assert await third.read(timeout=5) == b"* BYE too many\r\n"
                assert await third.read(timeout=5) == b""
        await until(lambda: not server.connections)
        async with client_of(server) as fourth:
            fourth.write(b"y")
            assert await fourth.read(timeout=5) == b"y"
    assert seen.count("accepted") == 3
    assert sum(what.startswith("too-many") for what in seen) == 1


async def test_a_bug_in_one_session_ends_no_other() -> None:
    seen: list[str] = []

    async def fragile(connection: Connection) -> None:
        if await connection.read(timeout=5) == b"crash":
            raise ZeroDivisionError("a bug")
        connection.write(b"fine")

    async with serving(fragile, observe=lambda event: seen.append(event.what)) as server:
        async with client_of(server) as good, client_of(server) as bad:
            bad.write(b"crash")
            assert await bad.read(timeout=5) == b""
            good.write(b"work")
            assert await good.read(timeout=5) == b"fine"
        await until(lambda: not server.connections)
    assert seen.count("bug") == 1


@pytest.mark.slow
async def test_out_of_descriptors_is_a_pause_and_not_the_end() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen: list[str] = []
    async with serving(echo, observe=lambda event: seen.append(event.what)) as server:
        clients = [socket.socket() for _ in range(5)]
        used = max(each.fileno() for each in clients) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", server.port))
            await until(lambda: "starved" in seen)
            assert seen.count("starved") == 1, "it does not spin"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: server.connections == 5)
        for client in clients:
            client.close()


# -- the PROXY protocol ------------------------------------------------------------------------------------------------

TRUSTED = parse_networks(["127.0.0.0/8"])
HEADERS = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 25\r\n", b"192.0.2.7:50000"),
    (
        V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + bytes([192, 0, 2, 8, 198, 51, 100, 1, 0, 99, 0, 25]),
        b"192.0.2.8:99",
    ),
    (b"PROXY UNKNOWN\r\n", b"127.0.0.1:"),
]


async def tell_peer(connection: Connection) -> None:
    connection.write(str(connection.peer).encode() + b" ")
    await echo(connection)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(("header", "client"), HEADERS)
async def test_a_trusted_proxy_names_its_client(
    certificate: CertificateFiles, header: bytes, client: bytes, secure: bool, together: bool
) -> None:
    async with serving(tell_peer, tls=tls_of(certificate) if secure else None, proxy_networks=TRUSTED) as server:
        loop = asyncio.get_running_loop()
        raw = socket.create_connection(("127.0.0.1", server.port))

        def talk() -> bytes:
            raw.settimeout(5)
            if secure:
                raw.sendall(header)
                speaking: socket.socket = opportunistic().wrap_socket(raw)
                speaking.sendall(b"hello")
            elif together:
                raw.sendall(header + b"hello")
                speaking = raw
            else:
                for i in range(len(header)):
                    raw.sendall(header[i : i + 1])
                raw.sendall(b"hello")
                speaking = raw
            got = b""
            while not got.endswith(b" hello"):
                chunk = speaking.recv(100)
                if not chunk:
                    break
                got += chunk
            speaking.close()
            return got

        got = await loop.run_in_executor(None, talk)
    assert got.startswith(client)
    assert got.endswith(b" hello")


async def test_a_client_hello_in_the_segment_of_the_header_is_not_lost(certificate: CertificateFiles) -> None:
    async with serving(tell_peer, tls=tls_of(certificate), proxy_networks=TRUSTED) as server:

        def talk() -> bytes:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = opportunistic().wrap_bio(incoming, outgoing)
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                raw.sendall(HEADERS[0][0] + outgoing.read())
                while True:
                    incoming.write(raw.recv(65_536))
                    try:
                        tls.do_handshake()
                        return b"shaken"
                    except ssl.SSLWantReadError:
                        continue

        assert await asyncio.get_running_loop().run_in_executor(None, talk) == b"shaken"


@pytest.mark.parametrize("sent", [b"EHLO me\r\n", b"PROXY nonsense\r\n", b"PROXY TCP4 192.0", b""])
async def test_a_trusted_proxy_without_a_header_is_cut_off(sent: bytes) -> None:
    seen: list[str] = []
    limits = ServerLimits(proxy_header=0.3)
    async with serving(
        echo, proxy_networks=TRUSTED, limits=limits, observe=lambda event: seen.append(event.what)
    ) as server:
        async with client_of(server) as client:
            if sent:
                client.write(sent)
            assert await client.read(timeout=5) == b""
        await until(lambda: not server.connections)
    assert seen == ["bad-proxy-header"]


async def test_the_header_of_a_stranger_is_only_bytes() -> None:
    async with serving(tell_peer, proxy_networks=parse_networks(["10.0.0.0/8"])) as server, client_of(server) as client:
        client.write(HEADERS[0][0])
        got = b""
        while not got.endswith(b"\r\n"):
            got += await client.read(timeout=5)
    assert got.startswith(b"127.0.0.1:")
    assert got.endswith(HEADERS[0][0])


async def test_clients_behind_a_proxy_are_counted_apart() -> None:
    async with (
        serving(tell_peer, proxy_networks=TRUSTED, limits=ServerLimits(max_per_client=1)) as server,
        client_of(server) as one,
        client_of(server) as other,
        client_of(server) as again,
    ):
        one.write(HEADERS[0][0])
        assert await one.read(timeout=5)
        other.write(HEADERS[1][0])
        assert await other.read(timeout=5)
        again.write(HEADERS[0][0])
        assert await again.read(timeout=5) == b""


# -- where it listens --------------------------------------------------------------------------------------------------


async def test_a_taken_port_is_said_in_plain_words() -> None:
    async with serving(echo) as server:
        with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{server.port}: .*in use"):
            await serve(Endpoint("127.0.0.1", server.port), echo)


async def test_two_processes_may_share_a_port() -> None:
    first = await serve(LOOPBACK, echo, reuse_port=True)
    second = await serve(Endpoint("127.0.0.1", first.port), echo, reuse_port=True)
    assert first.port == second.port
    await first.drain(0)
    async with client_of(second) as client:
        client.write(b"x")
        assert await client.read(timeout=5) == b"x"
    await second.drain(0)


async def test_everywhere_is_one_port_of_all_families() -> None:
    server = await serve(Endpoint("", 0), echo)
    assert len({address.port for address in server.addresses}) == 1
    connection = await connect("127.0.0.1", server.port)
    connection.abort()
    await server.drain(0)


async def test_no_name_of_a_host_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match=r"cannot listen on no\.such\.host\.invalid:0"):
        await serve(Endpoint("no.such.host.invalid", 0), echo)
