"""IMAP and POP3 load: counting what is visible, fetching, logging in, waiting in IDLE.  Loopback only."""

import asyncio
import re
import time

LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


class Imap:
    """One IMAP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, user: str, password: str) -> "Imap":
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
        await client._line()
        await client.command(f'LOGIN "{user}" "{password}"')
        return client

    async def command(self, text: str) -> list[bytes]:
        """The untagged lines of the answer, literals left out; RuntimeError if it is not OK."""
        self._writer.write(b"x " + text.encode() + b"\r\n")
        lines = []
        while not (line := await self._line()).startswith(b"x "):
            lines.append(line)
        if not line.startswith(b"x OK"):
            raise RuntimeError(f"{text}: {line!r}")
        return lines

    async def transfer(self, text: str) -> int:
        """How many bytes the answer has; nothing is looked at but its end."""
        self._writer.write(b"x " + text.encode() + b"\r\n")
        size, tail = 0, b""
        while not re.search(rb"(\A|\r\n)x [A-Z]+ [^\n]*\r\n\Z", tail):
            data = await asyncio.wait_for(self._reader.read(1 << 20), 60)
            if not data:
                raise RuntimeError("closed")
            size, tail = size + len(data), (tail + data)[-300:]
        return size

    async def count(self) -> int:
        (line,) = await self.command("STATUS INBOX (MESSAGES)")
        return int(re.search(rb"MESSAGES (\d+)", line)[1])

    async def idle(self, seen: list[float], entered: asyncio.Event) -> None:
        """Append the time of each EXISTS to `seen`, one entry for each new message, until cancelled."""
        known = exists_in(await self.command("SELECT INBOX"))
        self._writer.write(b"i IDLE\r\n")
        while line := await self._line():
            if line.startswith(b"+"):
                entered.set()
            elif match := re.match(rb"\* (\d+) EXISTS", line):
                now, exists = time.perf_counter(), int(match[1])
                seen += [now] * (exists - known)
                known = exists

    def close(self) -> None:
        self._writer.close()

    async def _line(self) -> bytes:
        line = await asyncio.wait_for(self._reader.readline(), 90)
        if found := LITERAL.search(line):
            await self._reader.readexactly(int(found[1]))
            return line + await self._line()
        return line


def exists_in(lines: list[bytes]) -> int:
    """The number of messages that a SELECT told of."""
    return next(int(line.split()[1]) for line in lines if line.endswith(b"EXISTS\r\n"))


class Pop:
    """One POP3 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, user: str, password: str) -> "Pop":
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
        await client._line()
        await client.command(f"USER {user}")
        await client.command(f"PASS {password}")
        return client

    async def command(self, text: str, *, lines: bool = False) -> bytes:
        """The first line of the answer; with `lines` the rest is read too."""
        self._writer.write(text.encode() + b"\r\n")
        first = await self._line()
        if not first.startswith(b"+OK"):
            raise RuntimeError(f"{text}: {first!r}")
        if lines:
            await asyncio.wait_for(self._reader.readuntil(b"\r\n.\r\n"), 60)
        return first

    async def count(self) -> int:
        return int((await self.command("STAT")).split()[1])

    async def _line(self) -> bytes:
        return await asyncio.wait_for(self._reader.readline(), 60)

    async def quit(self) -> None:
        await self.command("QUIT")
        self._writer.close()


async def fetch_rates(port: int, user: str, password: str) -> dict[str, float]:
    """Messages a second of some FETCHes over a whole mailbox, and single bodies one by one."""
    client = await Imap.open(port, user, password)
    count = exists_in(await client.command("SELECT INBOX"))
    rates = {}
    for name, items in (("flags", "(UID FLAGS)"), ("envelope", "ENVELOPE"), ("body", "BODY.PEEK[]")):
        began = time.perf_counter()
        await client.transfer(f"FETCH 1:* {items}")
        rates[name] = count / (time.perf_counter() - began)
    began = time.perf_counter()
    for n in range(1, min(count, 300) + 1):
        await client.transfer(f"FETCH {n} BODY.PEEK[]")
    rates["one by one"] = min(count, 300) / (time.perf_counter() - began)
    client.close()
    return rates


async def login_rate(port: int, user: str, password: str, count: int = 200, at_once: int = 10) -> float:
    """IMAP connections with LOGIN and LOGOUT, a second."""
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            client = await Imap.open(port, user, password)
            await client.command("LOGOUT")
            client.close()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def pop3_rate(port: int, user: str, password: str) -> float:
    """RETR of every message, one by one, messages a second."""
    client = await Pop.open(port, user, password)
    count = await client.count()
    began = time.perf_counter()
    for n in range(1, count + 1):
        await client.command(f"RETR {n}", lines=True)
    rate = count / (time.perf_counter() - began)
    await client.quit()
    return rate
