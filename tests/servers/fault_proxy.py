"""A proxy before an S3 server that does what networks and busy stores do; what happens follows from a seed.

Called by tests: `async with fault_proxy(endpoint, faults, seed) as proxy:` and then `proxy.endpoint` in its place.  It
knows just enough HTTP for one request after another on a connection.  Signatures stay good, for it passes on the Host
that the client has signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

LINES = 1 << 16
"""Bytes of a head, at most."""
LATE = 0.3
"""Seconds after which a request arrives whose client has long been hung up on."""


@dataclass(frozen=True, slots=True)
class HttpFaults:
    """How often (0 to 1) each thing happens to a request; to writes alone, but for `refuse` and `tear`."""

    swallow: float = 0.0
    """It is applied, and its answer is lost."""
    refuse: float = 0.0
    """503 SlowDown, and nothing is done."""
    conflict: float = 0.0
    """409, and nothing is done."""
    cut: float = 0.0
    """The connection is reset in the middle of the request's body; nothing is done."""
    tear: float = 0.0
    """The connection is reset in the middle of the answer's body."""
    late: float = 0.0
    """The connection is reset at once; the request is passed on a while later."""


@dataclass(frozen=True, slots=True)
class _Message:
    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def bytes(self) -> bytes:
        return self.head + self.body


class _Reset(Exception):
    """Hang up on the client, without a word."""


class FaultProxy:
    """One proxy.  `done` counts what it has done; `faults` may be changed while it runs."""

    def __init__(self, upstream: str, faults: HttpFaults, seed: int) -> None:
        where = urlsplit(upstream)
        assert where.hostname and where.port, upstream
        self._upstream = where.hostname, where.port
        self._dice = random.Random(seed)
        self.faults = faults
        self.done: Counter[str] = Counter()
        self.endpoint = ""
        self._belated: set[asyncio.Task[_Message]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LINES)
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._belated, *self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with contextlib.suppress(_Reset, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            async with _connection(self._upstream) as store:
                while True:
                    await self._one(reader, writer, store)
        writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store: _Connection) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writes = head.startswith((b"PUT", b"POST", b"DELETE"))
        fate = self._fate(("refuse", "conflict", "cut", "late", "swallow") if writes else ("refuse", "tear"))
        self.done[fate] += 1
        if fate == "cut":
            await reader.readexactly(_length(head) // 2)
            raise _Reset
        request = _Message(head, await reader.readexactly(_length(head)))
        if fate == "late":
            self._later(request)
            raise _Reset
        answer = REFUSALS[fate] if fate in REFUSALS else await store.ask(request)
        if fate == "swallow":
            raise _Reset
        torn = fate == "tear" and answer.body
        writer.write(answer.bytes[: len(answer.head) + len(answer.body) // 2] if torn else answer.bytes)
        await writer.drain()
        if torn:
            raise _Reset

    def _fate(self, possible: Sequence[str]) -> str:
        """What happens to this request: at most one thing."""
        for name in possible:
            if self._dice.random() < getattr(self.faults, name):
                return name
        return "pass"

    def _later(self, request: _Message) -> None:
        async def send() -> _Message:
            await asyncio.sleep(LATE)
            async with _connection(self._upstream) as store:
                return await store.ask(request)

        task = asyncio.ensure_future(send())
        self._belated.add(task)
        task.add_done_callback(self._belated.discard)


class _Connection:
    """To the store."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: _Message) -> _Message:
        self._writer.write(request.bytes)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        if request.method == "HEAD" or re.match(rb"HTTP/1\.1 (204|304)", head):
            return _Message(head, b"")
        if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
            return _Message(head, await self._chunks())
        return _Message(head, await self._reader.readexactly(_length(head)))

    async def _chunks(self) -> bytes:
        """As they come, their lengths and all."""
        pieces = []
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            pieces += [line, await self._reader.readexactly(size + 2)]
            if size == 0:
                return b"".join(pieces)


@contextlib.asynccontextmanager
async def _connection(where: tuple[str, int]) -> AsyncIterator[_Connection]:
    reader, writer = await asyncio.open_connection(*where, limit=LINES)
    try:
        yield _Connection(reader, writer)
    finally:
        writer.transport.abort()


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _refusal(status: bytes, word: bytes) -> _Message:
    body = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%b</Code><Message>by the proxy</Message></Error>' % word
    head = b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return _Message(head, body)


REFUSALS = {
    "refuse": _refusal(b"503 Service Unavailable", b"SlowDown"),
    "conflict": _refusal(b"409 Conflict", b"ConditionalRequestConflict"),
}


@contextlib.asynccontextmanager
async def fault_proxy(upstream: str, faults: HttpFaults, seed: int) -> AsyncIterator[FaultProxy]:
    """A running proxy before the S3 server at `upstream`, `http://127.0.0.1:port`."""
    proxy = FaultProxy(upstream, faults, seed)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
