"""SMTP load: sessions that send as quickly as they are answered, or messages at a fixed pace.  Loopback only.

Bytes are written ahead and replies counted, so that the client costs little beside the server.
"""

import asyncio
import email.utils
import secrets
import time
from dataclasses import dataclass, field

LINE = b"The quick brown fox jumps over the lazy dog, again and again and again.\r\n"


@dataclass
class Sent:
    """What a run did: seconds from first byte to last 250, latencies of the final 250, errors by text."""

    accepted: int = 0
    seconds: float = 0.0
    final: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0


class Mail:
    """Messages of a size, to users 0..n-1 in turn."""

    def __init__(self, domain: str, users: int, size: int) -> None:
        self.run = secrets.token_hex(5)
        self._domain, self._users = domain, users
        self._date = email.utils.formatdate()
        body = (LINE * (size // len(LINE) + 1))[: max(2, size - 330)]
        self._body = body[:-2].rstrip(b"\r\n") + b"\r\n"

    def recipient(self, n: int) -> str:
        return f"u{n % self._users}@{self._domain}"

    def message(self, n: int) -> bytes:
        head = (
            f"From: <sender@bench.example>\r\nTo: <{self.recipient(n)}>\r\nSubject: bench {n}\r\nDate: {self._date}\r\n"
            f"Message-ID: <{self.run}.{n}@bench.example>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n\r\n"
        )
        return head.encode() + self._body


class Session:
    """One SMTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Session":
        session = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))
        await session._expect(b"2")
        await session._say(b"EHLO bench.example\r\n", b"2")
        return session

    async def send(self, mail: Mail, n: int) -> float:
        """One message; seconds from its last byte to the final 250."""
        await self._say(b"MAIL FROM:<sender@bench.example>\r\n", b"2")
        await self._say(b"RCPT TO:<%s>\r\n" % mail.recipient(n).encode(), b"2")
        await self._say(b"DATA\r\n", b"3")
        self._writer.write(mail.message(n) + b".\r\n")
        began = time.perf_counter()
        await self._expect(b"2")
        return time.perf_counter() - began

    async def close(self) -> None:
        self._writer.write(b"QUIT\r\n")
        self._writer.close()

    async def _say(self, line: bytes, kind: bytes) -> None:
        self._writer.write(line)
        await self._expect(kind)

    async def _expect(self, kind: bytes) -> None:
        while True:
            line = await asyncio.wait_for(self._reader.readline(), 60)
            if line[3:4] == b"-":
                continue
            if not line.startswith(kind):
                raise RuntimeError(line.decode(errors="replace").strip() or "closed")
            return


async def flood(port: int, mail: Mail, count: int, sessions: int, kept: bool) -> Sent:
    """`count` messages over `sessions` at once; `kept`: connections are kept alive, else one a message."""
    sent = Sent()
    numbers = iter(range(count))
    began = time.perf_counter()
    last = began

    async def worker() -> None:
        nonlocal last
        session = None
        for n in numbers:
            try:
                session = session or await Session.open(port)
                sent.final.append(await session.send(mail, n))
                sent.accepted += 1
                last = time.perf_counter()
                if not kept:
                    await session.close()
                    session = None
            except (OSError, RuntimeError, TimeoutError) as error:
                sent.errors.append(str(error)[:100])
                session = None
        if session is not None:
            await session.close()

    await asyncio.gather(*(worker() for _ in range(sessions)))
    sent.seconds = last - began
    return sent


async def pace(port: int, mail: Mail, count: int, per_second: float, told: dict[int, float]) -> Sent:
    """`count` messages, one each 1/`per_second` seconds; `told[n]` is when message n was answered."""
    sent = Sent()
    free: list[Session] = []
    began = time.perf_counter()

    async def one(n: int) -> None:
        session = free.pop() if free else await Session.open(port)
        try:
            sent.final.append(await session.send(mail, n))
            told[n] = time.perf_counter()
            sent.accepted += 1
            free.append(session)
        except (OSError, RuntimeError, TimeoutError) as error:
            sent.errors.append(str(error)[:100])

    tasks = []
    for n in range(count):
        await asyncio.sleep(max(0.0, began + n / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(one(n)))
    await asyncio.gather(*tasks)
    sent.seconds = time.perf_counter() - began
    for session in free:
        await session.close()
    return sent
