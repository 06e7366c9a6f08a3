"""LMTP load that costs its machine little: commands pipelined, replies counted, connections kept alive.  Loopback only.

For measuring a server beside what needs no client: the less this takes of the cores, the fairer the comparison.
"""

import asyncio
import time

from tests.bench.smtp_load import Mail, Sent

CONFIRMED, GO_ON = b"250", b"354"


class Lmtp(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._replies: list[bytes] = []
        self._wanted = 0
        self._waiting: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._replies += [line[:3] for line in lines if line[3:4] != b"-"]
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._replies += [b"421"] * max(1, self._wanted)
        self._wake()

    @classmethod
    async def open(cls, port: int) -> "Lmtp":
        _, session = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        await session._expect(b"220")
        session._transport.write(b"LHLO bench.example\r\n")
        await session._expect(CONFIRMED)
        return session

    async def send(self, recipient: bytes, message: bytes) -> None:
        """One message; RuntimeError unless it is taken."""
        self._transport.write(b"MAIL FROM:<sender@bench.example>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient)
        await self._expect(CONFIRMED, CONFIRMED, GO_ON)
        self._transport.writelines((message, b".\r\n"))
        await self._expect(CONFIRMED)

    def close(self) -> None:
        self._transport.write(b"QUIT\r\n")
        self._transport.close()

    async def _expect(self, *codes: bytes) -> None:
        self._wanted = len(codes)
        while len(self._replies) < len(codes):
            self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._waiting, 60)
        replies, self._replies = self._replies[: len(codes)], self._replies[len(codes) :]
        if tuple(replies) != codes:
            raise RuntimeError(f"replies {replies} where {codes} were to be")

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done() and len(self._replies) >= self._wanted:
            self._waiting.set_result(None)


async def lmtp_flood(port: int, mail: Mail, count: int, sessions: int) -> Sent:
    """`count` messages over `sessions` connections at once, each kept alive."""
    sent, numbers = Sent(), iter(range(count))
    connections = [await Lmtp.open(port) for _ in range(sessions)]

    async def worker(session: Lmtp) -> None:
        for n in numbers:
            await session.send(mail.recipient(n).encode(), mail.message(n))
            sent.accepted += 1

    began = time.perf_counter()
    await asyncio.gather(*(worker(session) for session in connections))
    sent.seconds = time.perf_counter() - began
    for session in connections:
        session.close()
    return sent
