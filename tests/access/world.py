"""Access nodes on loopback over one store in memory, with users to log in as, and a client that talks line by line."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import argon2
import msgspec

from access.imap.context import ImapLimits
from access.pop3.context import Pop3Limits
from access.service import AccessService
from merpati.auth.authenticator import Authenticator
from merpati.auth.credentials import AccountCredentials
from merpati.auth.passwords import Passwords
from merpati.auth.throttle import Throttle
from merpati.bus.memory import MemoryBus
from merpati.clock import Clock, SystemClock
from merpati.directory.api import AccountEntry
from merpati.errors import Unavailable
from merpati.events import Changed, encode, topic_specs
from merpati.ids import AccountId, SystemDice, derived_account_id
from merpati.log.commit_log import LogLimits
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.net.addresses import parse_networks
from merpati.net.limits import STREAM_LIMITS, ServerLimits, StreamLimits
from merpati.net.self_signed import ensure_self_signed
from merpati.net.tls import ServerTls
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics

PATIENCE = 10.0
"""Seconds a test waits for what should come at once."""
LINE = 1 << 20
"""Bytes of the longest line a client takes."""
PASSWORD = "correct horse"
USERS = ("alice@example.org", "bob@example.org")
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
LISTENERS = dict.fromkeys(("imap", "imaps", "pop3", "pop3s"), "127.0.0.1:0")


@cache
def _hash() -> str:
    return CHEAP.hash(PASSWORD)


class Users:
    """A directory of users who all have one password.  `down` makes every look-up fail."""

    def __init__(self) -> None:
        self.down = False
        self.entries = {name: AccountEntry(account_of(name), name, _hash()) for name in USERS}

    async def account(self, address: str) -> AccountEntry | None:
        if self.down:
            raise Unavailable("directory is down", secret="10.0.0.7")
        return self.entries.get(address.lower())

    async def credentials(self, login: str) -> AccountCredentials | None:
        entry = await self.account(login)
        if entry is None:
            return None
        return AccountCredentials(entry.id, entry.address, entry.password_hash, entry.enabled, entry.version)

    def change(self, user: str, **fields: object) -> None:
        """Change an account's entry: `version=2` is a new password."""
        name = f"{user}@example.org"
        self.entries[name] = msgspec.structs.replace(self.entries[name], **fields)


def account_of(login: str) -> AccountId:
    return derived_account_id(login.lower())


class FaultyStore(MemoryStore):
    """An object store whose reads (`deaf`) or writes (`full`) can fail, and whose reads can wait at a `gate`."""

    full = False
    deaf = False
    gate: asyncio.Event | None = None

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.met = asyncio.Event()
        """Somebody waits, or has waited, at the gate."""

    async def create(self, key: str, data: bytes) -> None:
        if self.full:
            raise Unavailable("store is full")
        await super().create(key, data)

    async def get(self, key: str) -> bytes:
        if self.deaf:
            raise Unavailable("store is down")
        if self.gate is not None:
            self.met.set()
            await self.gate.wait()
        return await super().get(key)


@dataclass
class World:
    """What a test looks at: `nodes` are services over the same store and bus."""

    store: FaultyStore
    bus: MemoryBus
    users: Users
    metrics: Metrics
    nodes: list[AccessService] = field(default_factory=list)
    mailboxes: list[AllMailboxes] = field(default_factory=list)
    client_tls: ssl.SSLContext | None = None
    _clients: list[Client] = field(default_factory=list)

    async def client(self, listener: str = "imap", node: int = 0) -> Client:
        """A client that has read the greeting."""
        tls = self.client_tls if listener.endswith("s") else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.nodes[node].ports[listener], ssl=tls, limit=LINE
        )
        client = Client(reader, writer)
        self._clients.append(client)
        client.greeting = await client.line()
        return client

    async def imap(self, user: str = "alice", *, select: str = "", node: int = 0) -> Client:
        """An IMAP client that has logged in, and selected a mailbox."""
        client = await self.client("imap", node)
        await client.ok(f'LOGIN {user}@example.org "{PASSWORD}"')
        if select:
            await client.ok(f"SELECT {select}")
        return client

    async def pop3(self, user: str = "alice", *, node: int = 0) -> Client:
        """A POP3 client that has logged in."""
        client = await self.client("pop3", node)
        client.send(f"USER {user}@example.org\r\nPASS {PASSWORD}")
        assert (await client.line()).startswith(b"+OK")
        assert (await client.line()).startswith(b"+OK")
        return client

    async def deliver(
        self, *messages: bytes, user: str = "alice", folder: str = "INBOX", node: int = 0, cause: str = ""
    ) -> None:
        account = self.mailboxes[node].account(account_of(f"{user}@example.org"))
        await account.append(
            [Append(folder, message, date=1_700_000_000.0, cause=cause) for message in messages], create=True
        )


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.greeting = b""
        self._tag = 0

    def send(self, text: str | bytes) -> None:
        """A line, or several with CRLF between."""
        self.raw((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self, within: float = PATIENCE) -> bytes:
        """The next line without CRLF; b"" at the end of the connection."""
        async with asyncio.timeout(within):
            try:
                line = await self.reader.readuntil(b"\r\n")
            except (asyncio.IncompleteReadError, ConnectionError) as end:
                assert not getattr(end, "partial", b""), end
                return b""
        return line[:-2]

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def command(self, text: str) -> list[bytes]:
        """An IMAP command; the lines up to its tagged response, which is the last."""
        self._tag += 1
        tag = f"t{self._tag}"
        self.send(f"{tag} {text}")
        return await self.answer(tag)

    async def answer(self, tag: str) -> list[bytes]:
        """Lines, literals left in them, up to the response with this tag."""
        lines: list[bytes] = []
        while True:
            line = await self.line()
            while literal := re.search(rb"\{(\d+)\}$", line):
                line += b"\r\n" + await self.exactly(int(literal[1])) + await self.line()
            lines.append(line)
            if line.startswith(tag.encode() + b" ") or not line:
                return lines

    async def ok(self, text: str) -> list[bytes]:
        """A command that must succeed; its untagged responses."""
        lines = await self.command(text)
        assert b" OK" in lines[-1][:12], (text, lines)
        return lines[:-1]

    async def refused(self, text: str, status: str = "NO") -> bytes:
        """A command that must fail; its tagged response without the tag."""
        lines = await self.command(text)
        assert lines[-1].split(b" ")[1] == status.encode(), (text, lines)
        return lines[-1].partition(b" ")[2]

    async def append(self, message: bytes, folder: str = "INBOX", flags: str = "") -> None:
        self._tag += 1
        self.send(f"t{self._tag} APPEND {folder} {flags and f'({flags}) '}{{{len(message)}+}}")
        self.send(message)
        assert b" OK" in (await self.answer(f"t{self._tag}"))[-1]

    async def idle(self) -> None:
        self.send("idle IDLE")
        while not (await self.line()).startswith(b"+"):
            pass

    async def done(self) -> list[bytes]:
        self.send("DONE")
        return await self.answer("idle")

    async def multi(self, text: str) -> list[bytes]:
        """A POP3 command with a multi-line answer; its lines, dots unstuffed, the first and the last left out."""
        self.send(text)
        assert (first := await self.line()).startswith(b"+OK"), first
        lines: list[bytes] = []
        while (line := await self.line()) != b".":
            lines.append(line.removeprefix(b"."))
        return lines

    async def say(self, text: str) -> bytes:
        """A POP3 command with a one-line answer."""
        self.send(text)
        return await self.line()

    async def ended(self, within: float = PATIENCE) -> bool:
        """Whether the server closes, whatever it says before."""
        try:
            async with asyncio.timeout(within):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    *,
    nodes: int = 1,
    plaintext: Sequence[str] = ("127.0.0.0/8",),
    imap_limits: ImapLimits = ImapLimits(),
    pop3_limits: Pop3Limits = Pop3Limits(),
    server_limits: ServerLimits = ServerLimits(),
    stream_limits: StreamLimits = STREAM_LIMITS,
) -> AsyncIterator[World]:
    clock, dice = SystemClock(), SystemDice()
    bus = MemoryBus(clock, dice)
    await bus.start()
    await bus.ensure_topics(topic_specs(2, ()))
    here = World(FaultyStore(clock), bus, Users(), Metrics())
    certificate = ensure_self_signed(folder, "mx.example.org", clock)
    here.client_tls = ssl.create_default_context(cafile=str(certificate.public))
    here.client_tls.check_hostname = False
    passwords = Passwords(clock, dice, hasher=CHEAP)
    authenticator = Authenticator(
        here.users, passwords, None, Throttle(), clock, plaintext_networks=parse_networks(plaintext)
    )

    async def publish(changes: Sequence[tuple[Changed, bytes]]) -> None:
        await bus.publish([encode(event, data) for event, data in changes])

    try:
        for _ in range(nodes):
            mailboxes = AllMailboxes(
                here.store, clock=clock, dice=dice, publish=publish, log_limits=LogLimits(patience=0.5)
            )
            service = AccessService(
                mailboxes=mailboxes,
                authenticator=authenticator,
                accounts=here.users,
                bus=bus,
                clock=clock,
                metrics=here.metrics,
                hostname="mx.example.org",
                listeners=LISTENERS,
                tls_context=ServerTls(certificate.certificate, certificate.key, clock).context,
                imap_limits=imap_limits,
                pop3_limits=pop3_limits,
                server_limits=server_limits,
                stream_limits=stream_limits,
            )
            here.nodes.append(service)
            here.mailboxes.append(mailboxes)
            await service.start()
        yield here
    finally:
        for client in here._clients:
            client.close()
        for service in here.nodes:
            await service.stop(1)
        for mailboxes in here.mailboxes:
            await mailboxes.close()
        await bus.close()
        passwords.close()


def message(subject: str = "hello", body: str = "text\r\n", *fields: str) -> bytes:
    head = ["From: Ann <ann@sender.test>", "To: alice@example.org", f"Subject: {subject}"]
    head += ["Date: Mon, 7 Feb 1994 21:52:25 -0800", *fields]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()
