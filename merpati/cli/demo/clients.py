"""The mail clients of the demo: one that submits, one that reads by POP3, one that reads by IMAP and waits in IDLE.

The first two are Python's own; the third is a few lines over a TLS stream, because Python's has no IDLE in every
version we run on.  All check the server's certificate.
"""

from __future__ import annotations

import asyncio
import base64
import poplib
import re
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Self

from merpati.errors import Permanent

PATIENCE = 20.0
"""Seconds for one answer."""


def trusting(certificate: Path) -> ssl.SSLContext:
    """A context that trusts this one certificate and nothing else."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # pinned: no other certificate passes, whatever its name
    return context


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in where."""

    port: int
    user: str
    password: str
    tls: ssl.SSLContext


def submit(login: Login, message: EmailMessage) -> str:
    """Submit over STARTTLS with AUTH (RFC 6409); returns the final reply."""
    with smtplib.SMTP("127.0.0.1", login.port, local_hostname="laptop.sender.test", timeout=PATIENCE) as client:
        client.starttls(context=login.tls)
        client.login(login.user, login.password)
        client.mail(message["From"])
        for address in message["To"].addresses:
            client.rcpt(address.addr_spec)
        code, reply = client.data(message.as_bytes(policy=SMTP))
        if code != 250:
            raise Permanent(f"not accepted: {code} {reply.decode(errors='replace')}")
        return f"{code} {reply.decode(errors='replace')}"


def download_and_delete(login: Login) -> list[bytes]:
    """Fetch everything by POP3 over TLS and delete it (RFC 1939)."""
    client = poplib.POP3_SSL("127.0.0.1", login.port, context=login.tls, timeout=PATIENCE)
    client.user(login.user)
    client.pass_(login.password)
    count, _ = client.stat()
    messages = []
    for number in range(1, count + 1):
        messages.append(b"\r\n".join(client.retr(number)[1]) + b"\r\n")
        client.dele(number)
    client.quit()
    return messages


class Device:
    """An IMAP client on TLS: sends a command, gathers the answers, waits in IDLE."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer
        self._count = 0

    @classmethod
    async def connect(cls, name: str, login: Login) -> Self:
        """Connect with TLS from the start and read the greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", login.port, ssl=login.tls)
        device = cls(name, reader, writer)
        greeting = await device._line()
        if not greeting.startswith("* OK"):
            raise Permanent(f"greeted with {greeting}")
        return device

    async def login(self, user: str, password: str) -> None:
        """LOGIN with a password."""
        await self.command(f'LOGIN "{user}" "{password}"')

    async def login_with_token(self, user: str, token: str) -> None:
        """AUTHENTICATE OAUTHBEARER with an initial response (RFC 7628, RFC 4959)."""
        response = f"n,a={user},\x01auth=Bearer {token}\x01\x01"
        await self.command("AUTHENTICATE OAUTHBEARER " + base64.b64encode(response.encode()).decode())

    async def command(self, text: str) -> list[str]:
        """Send a command; the untagged answers, once it is OK.  Raises `Permanent` if it is not."""
        self._count += 1
        tag = f"{self.name[0]}{self._count}"
        self._writer.write(f"{tag} {text}\r\n".encode())
        answers: list[str] = []
        while not (line := await self._line()).startswith(tag + " "):
            answers.append(line)
        if not line.startswith(f"{tag} OK"):
            raise Permanent(f"{self.name}: {text.split()[0]} was answered {line}")
        return answers

    async def idle_until(self, pattern: str, entered: asyncio.Event) -> str:
        """Wait in IDLE (RFC 2177) for a line that matches; `entered` is set once the server listens."""
        self._writer.write(b"i IDLE\r\n")
        found = ""
        while not found:
            line = await self._line()
            if line.startswith("+"):
                entered.set()
            elif re.search(pattern, line):
                found = line
        self._writer.write(b"DONE\r\n")
        while not (await self._line()).startswith("i OK"):
            pass
        return found

    async def close(self) -> None:
        """LOGOUT, as a polite client does."""
        await self.command("LOGOUT")
        self._writer.close()

    async def _line(self) -> str:
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        if not line:
            raise Permanent(f"{self.name}: the server closed the connection")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if match := re.search(r"\{(\d+)\}$", text):
            literal = await self._reader.readexactly(int(match[1]))
            return text + "\r\n" + literal.decode("utf-8", "replace") + await self._line()
        return text
