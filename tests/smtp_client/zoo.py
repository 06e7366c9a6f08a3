"""A server on loopback that does what a test tells it, line by line: good, slow, lying or mad."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from delivery.smtp.driver import Session, open_session
from delivery.smtp.opening import Options
from delivery.smtp.timeouts import Timeouts
from merpati.net.tls import opportunistic

OPTIONS = Options("client.test")
QUICK = Timeouts(
    connect=5,
    greeting=0.4,
    hello=0.4,
    starttls=0.4,
    handshake=0.6,
    mail=0.4,
    rcpt=0.4,
    data=0.4,
    block=0.5,
    dot=0.4,
    quit=0.3,
)
"""For servers that fail to answer: no test waits long for one."""
LONG = Timeouts(quit=0.3)
"""For servers that answer."""


class Gone(Exception):
    """The client hung up."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.lines: list[bytes] = []
        self.messages: list[bytes] = []

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def line(self) -> bytes:
        line = await self._reader.readline()
        if not line:
            raise Gone
        assert line.endswith(b"\r\n"), f"a line without CRLF: {line!r}"
        assert b"\r" not in line[:-2]
        self.lines.append(line[:-2])
        return line[:-2]

    async def message(self) -> bytes:
        """What comes behind 354, as it came, up to the dot."""
        data = b""
        while not (data.endswith(b"\r\n.\r\n") or data == b".\r\n"):
            line = await self._reader.readline()
            if not line:
                raise Gone
            data += line
        self.messages.append(data)
        return data

    async def greet(self, offer: bytes = b"250-mx\r\n250 PIPELINING\r\n") -> None:
        await self.say(b"220 mx\r\n")
        await self.line()
        await self.say(offer)

    async def take(self, answer: bytes = b"250 2.0.0 taken\r\n") -> None:
        """Take one message, or any other command, as a good server does; return once `answer` is given."""
        while True:
            line = await self.line()
            word = line.split(b" ")[0].split(b":")[0].upper()
            if word == b"DATA":
                await self.say(b"354 go\r\n")
                await self.message()
                await self.say(answer)
                return
            if word == b"QUIT":
                await self.say(b"221 bye\r\n")
                return
            await self.say(b"250 ok\r\n")

    async def secure(self, context: ssl.SSLContext) -> None:
        await self._writer.start_tls(context)

    async def read(self) -> bytes:
        return await self._reader.read(65_536)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with RST."""
        one = self._writer.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._writer.transport.abort()


Manner = Callable[[Peer], Awaitable[None]]


class Place:
    """Where the server listens, and who came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.peers: list[Peer] = []
        self.trouble: list[BaseException] = []

    async def visit(
        self,
        options: Options = OPTIONS,
        timeouts: Timeouts = QUICK,
        host: str = "mx.example.org",
        context: ssl.SSLContext | None = None,
    ) -> Session:
        context = context or opportunistic()
        return await open_session(
            "127.0.0.1", self.port, host=host, options=options, context=context, timeouts=timeouts
        )


@contextlib.asynccontextmanager
async def zoo(*manners: Manner, tls: ssl.SSLContext | None = None) -> AsyncIterator[Place]:
    """A server whose n-th connection goes as the n-th manner, the later ones as the last."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer)
        manner = manners[min(len(place.peers), len(manners) - 1)]
        place.peers.append(peer)
        try:
            await manner(peer)
        except (Gone, OSError, asyncio.CancelledError):
            pass
        except BaseException as error:
            place.trouble.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    place = Place(server.sockets[0].getsockname()[1])
    try:
        yield place
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not place.trouble, place.trouble
