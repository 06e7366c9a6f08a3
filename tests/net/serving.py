"""A server on loopback and a client of it, for the length of a block."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from merpati.clock import SystemClock
from merpati.net.addresses import Endpoint
from merpati.net.dialing import connect
from merpati.net.self_signed import CertificateFiles
from merpati.net.server import Server, serve
from merpati.net.streams import Connection
from merpati.net.tls import ServerTls

LOOPBACK = Endpoint("127.0.0.1", 0)
Handler = Callable[[Connection], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, **options: object) -> AsyncIterator[Server]:
    server = await serve(LOOPBACK, handler, **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        await server.drain(1)


@contextlib.asynccontextmanager
async def client_of(server: Server, **options: object) -> AsyncIterator[Connection]:
    connection = await connect("127.0.0.1", server.port, **options)  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        connection.abort()
        await connection.wait_closed()


async def echo(connection: Connection) -> None:
    while data := await connection.read(timeout=5):
        connection.write(data)
        await connection.drain()


async def read_exactly(connection: Connection, size: int) -> bytes:
    got = b""
    while len(got) < size:
        chunk = await connection.read(timeout=10)
        assert chunk, f"ended after {len(got)} of {size}"
        got += chunk
    return got


def tls_of(certificate: CertificateFiles) -> Callable[[], ssl.SSLContext]:
    return ServerTls(certificate.certificate, certificate.key, SystemClock()).context


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for something that no event announces."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
