"""Trying a processor without a server: for the tests of its author, and for `merpati plugin test`.

    from merpati.plugins import Quarantine
    from merpati.plugins.testing import mail_from, run

    def test_programs_are_held():
        mail = mail_from(attachments={"run.exe": b"MZ"})
        assert run(NoExecutables, mail) == [Quarantine("executable attachment")]

What runs here is what runs in production: the same reading of mail, options and answers.  Time stands still, names are
what the test says, nothing goes over a network.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from merpati.clock import ManualClock
from merpati.errors import Temporary
from merpati.events import Client
from merpati.ids import SeededDice, new_message_id
from merpati.message.compose import header_field
from merpati.plugins.actions import AnyAction, read_answer
from merpati.plugins.mail import Facts, Mail, MailEnvelope, Result
from merpati.plugins.processor import Processor, Tools, ask, make

BOUNDARY = "=_merpati_testing"


@dataclass
class FakeDns:
    """Names as the test says: `FakeDns(txt={"example.org": [b"v=spf1 -all"]})`; those in `broken` do not answer."""

    txt_records: Mapping[str, list[bytes]] = field(default_factory=dict)
    mx_records: Mapping[str, list[tuple[int, str]]] = field(default_factory=dict)
    address_records: Mapping[str, list[str]] = field(default_factory=dict)
    name_records: Mapping[str, list[str]] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()

    async def txt(self, name: str) -> list[bytes]:
        return list(self._of(self.txt_records, name))

    async def mx(self, name: str) -> list[tuple[int, str]]:
        return list(self._of(self.mx_records, name))

    async def addresses(self, name: str) -> list[str]:
        return list(self._of(self.address_records, name))

    async def names(self, address: str) -> list[str]:
        return list(self._of(self.name_records, address))

    def _of(self, records: Mapping[str, list[Any]], name: str) -> list[Any]:
        if name in self.broken:
            raise Temporary("no answer", name=name)
        return records.get(name, [])


@dataclass
class FakeLog:
    """Keeps what was logged: `log.lines == [("info", "seen", {"size": 3})]`."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def debug(self, event: str, **facts: object) -> None:
        self.lines.append(("debug", event, facts))

    def info(self, event: str, **facts: object) -> None:
        self.lines.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.lines.append(("error", event, facts))


def tools_for_tests(dns: FakeDns | None = None, log: FakeLog | None = None, hostname: str = "mx.test") -> Tools:
    """Tools that touch nothing outside the test."""
    return Tools(dns=dns or FakeDns(), clock=ManualClock(), log=log or FakeLog(), hostname=hostname)


def mail_from(
    raw: bytes | None = None,
    *,
    sender: str = "sender@example.org",
    recipients: Iterable[str] = ("recipient@example.com",),
    subject: str = "Hello",
    text: str = "Hello!\n",
    headers: Mapping[str, str] | None = None,
    attachments: Mapping[str, bytes] | None = None,
    client: Client | None = None,
    door: str = "mx",
    tags: Iterable[str] = (),
    results: Mapping[str, Result] | None = None,
    prefix: str = "",
) -> Mail:
    """A mail: from the bytes of one, or made of the parts that matter to the test."""
    data = raw if raw is not None else _compose(sender, subject, text, headers or {}, attachments or {})
    clock = ManualClock()
    facts = Facts(
        id=new_message_id(clock, SeededDice(len(data))),
        envelope=MailEnvelope(
            sender, tuple(recipients), client or Client(ip="192.0.2.1", helo="mail.example.org"), door
        ),
        received_at=clock.time(),
        size=len(data),
        prefix=prefix,
        tags=tuple(tags),
        results=dict(results or {}),
    )
    return Mail(facts, data)


def run(
    kind: type[Processor], mail: Mail, options: Mapping[str, object] | None = None, tools: Tools | None = None
) -> list[AnyAction]:
    """What the processor answers about `mail`, as a list; raises what it raises.  For tests without `async`."""
    return asyncio.run(answer(kind, mail, options, tools))


async def answer(
    kind: type[Processor], mail: Mail, options: Mapping[str, object] | None = None, tools: Tools | None = None
) -> list[AnyAction]:
    """As `run`, for tests that are `async` themselves."""
    processor = make(kind, tools or tools_for_tests(), options or {}, kind.__name__)
    await processor.start()
    try:
        return list(read_answer(await ask(processor, mail)))
    finally:
        await processor.stop()


def _compose(
    sender: str, subject: str, text: str, headers: Mapping[str, str], attachments: Mapping[str, bytes]
) -> bytes:
    fields = {"From": sender, "To": "undisclosed-recipients:;", "Subject": subject, "MIME-Version": "1.0", **headers}
    head = b"".join(header_field(name, value) for name, value in fields.items())
    body = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    body += text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    if not attachments:
        return head + body
    parts = [body, *(_attachment(name, content) for name, content in attachments.items())]
    mark = f"--{BOUNDARY}".encode()
    joined = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head + f'Content-Type: multipart/mixed; boundary="{BOUNDARY}"\r\n\r\n'.encode() + joined + mark + b"--\r\n"


def _attachment(name: str, content: bytes) -> bytes:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{quoted}"\r\n'
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)
