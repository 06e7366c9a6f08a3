"""The access role as a whole: real clients over TLS, what it counts, what it refuses, what it never says."""

from __future__ import annotations

import asyncio
import imaplib
import io
import ssl
from pathlib import Path

import pytest

from access.service import AccessService
from merpati.bus.api import Consumed
from merpati.bus.memory import MemoryBus
from merpati.clock import SystemClock
from merpati.errors import Misconfigured
from merpati.ids import SystemDice
from merpati.telemetry import Metrics, configure_logging
from tests.access.world import PASSWORD, message, world


def _with_imaplib(port: int, tls: ssl.SSLContext | None) -> bytes:
    with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=tls, timeout=10) as server:
        server.login("alice@example.org", PASSWORD)
        server.create("Work")
        server.append("Work", r"(\Flagged)", imaplib.Time2Internaldate(1_700_000_000), message("by imaplib"))
        assert server.select("Work")[1] == [b"1"]
        assert server.search(None, "FLAGGED", "SUBJECT", "imaplib")[1] == [b"1"]
        server.store("1", "+FLAGS", r"(\Deleted)")
        fetched = server.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])")[1][0]
        assert isinstance(fetched, tuple) and b"14-Nov-2023" in fetched[0] and rb"\Deleted" in fetched[0]
        assert server.expunge()[1] == [b"1"]
        server.unselect()
        assert server.delete("Work")[0] == "OK"
        return fetched[1]


async def test_python_s_imaplib_works_over_tls(tmp_path: Path) -> None:
    async with world(tmp_path, plaintext=()) as here:
        raw = await asyncio.to_thread(_with_imaplib, here.nodes[0].ports["imaps"], here.client_tls)
        assert raw == message("by imaplib")


async def test_connections_and_logins_are_counted_and_secrets_are_not_told(tmp_path: Path) -> None:
    said = io.StringIO()
    configure_logging(debug=True, stream=said)
    async with world(tmp_path) as here:
        one = await here.imap()
        await here.pop3("bob")
        wrong = await here.client()
        await wrong.refused('LOGIN alice@example.org "canary-in-a-password"')
        await wrong.refused("LOGIN alice@example.org canary-in-an-atom x", "BAD")
        text = here.metrics.render().decode()
        for line in (
            'merpati_sessions{protocol="imap"} 2.0',
            'merpati_logins_total{outcome="ok",protocol="imap"} 1.0',
            'merpati_logins_total{outcome="refused",protocol="imap"} 1.0',
            'merpati_logins_total{outcome="ok",protocol="pop3"} 1.0',
        ):
            assert line in text
        one.close()
    configure_logging()
    assert "canary" not in said.getvalue() and PASSWORD not in said.getvalue()


@pytest.mark.slow
async def test_it_is_ready_when_it_listens_and_follows(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        service = here.nodes[0]
        await here.client()
        assert service.ready() == ""
        await service.stop(1)
        assert service.ready() == "not listening"
        await service.stop(1)


WRONG = [
    ({"imapx": "127.0.0.1:0"}, "imapx"),
    ({"imaps": "127.0.0.1:0"}, "certificate"),
    ({"imap": "nonsense"}, "address:port"),
]


@pytest.mark.parametrize(("listeners", "named"), WRONG)
async def test_settings_that_cannot_work_are_refused_by_name(listeners: dict[str, str], named: str) -> None:
    clock = SystemClock()
    with pytest.raises(Misconfigured, match=named):
        AccessService(
            mailboxes=None,  # type: ignore[arg-type]
            authenticator=None,  # type: ignore[arg-type]
            accounts=None,  # type: ignore[arg-type]
            bus=MemoryBus(clock, SystemDice()),
            clock=clock,
            metrics=Metrics(),
            hostname="mx.example.org",
            listeners=listeners,
        )


async def test_a_change_that_nobody_can_read_stops_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        client = await here.imap(select="INBOX")
        await client.idle()
        junk = Consumed("mailbox.changes", 0, 0, 0.0, b"", b"\xff", (("merpati", b"{"),))
        here.nodes[0]._feed_one(junk)
        await here.deliver(message(), node=1)
        assert await client.line() == b"* 1 EXISTS"


NAMES = [
    "../admin",
    "a/b",
    "alice",
    "ALICE@EXAMPLE.ORG",
    "alice@example.org/x",
    "\u0430lice@example.org",
    "x" * 300,
    "%",
    "",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_a_strange_user_name_is_ones_own_or_nobodys(tmp_path: Path, name: str) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.client()
        raw = name.encode()
        client.send(b'a LOGIN {%d+}\r\n%b "%b"' % (len(raw), raw, PASSWORD.encode()))
        said = await client.line()
        if name.lower() == "alice@example.org":
            assert said.startswith(b"a OK")
        else:
            assert said == b"a NO [AUTHENTICATIONFAILED] Authentication failed"
        assert not [info async for info in here.store.list("") if ".." in info.key]
