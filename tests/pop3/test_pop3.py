"""POP3 sessions: what is downloaded is what was kept, what is deleted goes at QUIT and only then (RFC 1939)."""

from __future__ import annotations

import asyncio
import os
import poplib
import ssl
from pathlib import Path

import pytest

from access.pop3.context import Pop3Limits
from tests.access.world import PASSWORD, World, message, world

DOTS = ["plain\r\n", ".\r\n", "..\r\n.x\r\n", "a\r\n.\r\nb\r\n", "no line end", "\r\n\r\n"]


@pytest.mark.parametrize("body", DOTS, ids=repr)
async def test_dots_at_the_beginning_of_lines_come_through(tmp_path: Path, body: str) -> None:
    async with world(tmp_path) as here:
        raw = message("dots", body)
        await here.deliver(raw)
        client = await here.pop3()
        assert await client.say("LIST 1") == b"+OK 1 %d" % len(raw)
        lines = await client.multi("RETR 1")
        # RFC 1939 section 3: what is sent ends in CRLF, whatever was kept
        assert b"\r\n".join(lines) + b"\r\n" == (raw if raw.endswith(b"\r\n") else raw + b"\r\n")


@pytest.mark.slow
async def test_a_large_message_comes_in_pieces_and_whole(tmp_path: Path) -> None:
    async with world(tmp_path, pop3_limits=Pop3Limits(stream_from=1000)) as here:
        body = "".join(f".{number}\r\n" * 3 for number in range(30_000))
        raw = message("large", body)
        await here.deliver(raw, os.urandom(3000).replace(b"\r", b"").replace(b"\n", b""))
        client = await here.pop3()
        assert b"\r\n".join(await client.multi("RETR 1")) + b"\r\n" == raw
        assert len(b"\r\n".join(await client.multi("RETR 2"))) > 2900


async def test_what_is_deleted_goes_at_quit_and_uidl_stays(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(*[message(str(number)) for number in range(3)])
        first = await here.pop3()
        ids = await first.multi("UIDL")
        size = len(message("0"))
        assert await first.say("STAT") == b"+OK 3 %d" % (3 * size)
        assert await first.say("DELE 2") == b"+OK marked"
        assert (await first.say("DELE 2")).startswith(b"-ERR")
        assert (await first.say("RETR 2")).startswith(b"-ERR")
        assert await first.say("STAT") == b"+OK 2 %d" % (2 * size)
        await here.deliver(message("late"), node=1)
        assert await first.say("STAT") == b"+OK 2 %d" % (2 * size)
        assert (await first.say("QUIT")).startswith(b"+OK 1 deleted")
        assert await first.ended()
        again = await here.pop3(node=1)
        now = [line.split(b" ")[1] for line in await again.multi("UIDL")]
        before = [line.split(b" ")[1] for line in ids]
        assert now[:2] == [before[0], before[2]] and len(now) == 3 and now[2] not in before


@pytest.mark.parametrize("how", ["drop", "idle", "rset"])
async def test_without_quit_nothing_is_deleted(tmp_path: Path, how: str) -> None:
    async with world(tmp_path, pop3_limits=Pop3Limits(idle=0.2 if how == "idle" else 60)) as here:
        await here.deliver(message())
        client = await here.pop3()
        await client.say("DELE 1")
        if how == "drop":
            client.close()
        elif how == "idle":
            assert await client.line() == b""
        else:
            assert await client.say("RSET") == b"+OK"
            assert (await client.say("QUIT")).startswith(b"+OK fly")
        await asyncio.sleep(0.05)
        again = await here.pop3()
        assert (await again.say("STAT")).startswith(b"+OK 1 ")


@pytest.mark.slow
async def test_a_quit_that_cannot_delete_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.pop3()
        await client.say("DELE 1")
        here.store.full = True
        assert (await client.say("QUIT")).startswith(b"-ERR [SYS/TEMP]")
        here.store.full = False
        assert (await (await here.pop3()).say("STAT")).startswith(b"+OK 1 ")


async def test_top_gives_the_header_and_some_lines(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message("x", "1\r\n.2\r\n3\r\n"), message("y", "z" * 200_000))
        client = await here.pop3()
        assert (await client.multi("TOP 1 0"))[-1] == b""
        assert (await client.multi("TOP 1 2"))[-2:] == [b"1", b".2"]
        assert (await client.multi("TOP 1 999999999"))[-1] == b"3"
        assert (await client.multi("TOP 2 0"))[-1] == b""
        assert len((await client.multi("TOP 2 1"))[-1]) == 200_000


async def test_in_clear_nobody_logs_in_and_stls_takes_nothing_sent_behind_it(tmp_path: Path) -> None:
    async with world(tmp_path, plaintext=()) as here:
        client = await here.client("pop3")
        capabilities = await client.multi("CAPA")
        assert b"STLS" in capabilities and b"USER" not in capabilities
        for line in ("USER alice@example.org", f"PASS {PASSWORD}", "AUTH PLAIN"):
            assert (await client.say(line)).startswith(b"-ERR")
        client.send("STLS\r\nCAPA")
        assert (await client.line()).startswith(b"-ERR nothing may follow")
        assert await client.line() == b""


async def test_stls_leads_to_a_login_and_forgets_the_name(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.client("pop3")
        await client.say("USER alice@example.org")
        assert (await client.say("STLS")).startswith(b"+OK")
        assert here.client_tls is not None
        await client.writer.start_tls(here.client_tls, server_hostname="mx.example.org")
        assert (await client.say(f"PASS {PASSWORD}")).startswith(b"-ERR")
        assert (await client.say("STLS")).startswith(b"-ERR")
        await client.say("USER alice@example.org")
        assert (await client.say(f"PASS {PASSWORD}")).startswith(b"+OK")


BAD = ["FOO", "LIST x", "RETR", "RETR 0", "RETR 4294967296", "DELE -1", "TOP 1", "X" * 300, "\0", "STAT 1"]


@pytest.mark.parametrize("line", BAD, ids=repr)
async def test_what_makes_no_sense_is_an_error_and_the_session_goes_on(tmp_path: Path, line: str) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.pop3()
        assert (await client.say(line)).startswith(b"-ERR")
        assert await client.say("NOOP") == b"+OK"


async def test_who_talks_nonsense_is_sent_away(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.client("pop3")
        client.raw(b"nonsense\r\n" * 50)
        assert await client.ended()


async def test_a_line_without_end_is_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.client("pop3")
        client.raw(b"x" * 200_000)
        assert await client.ended()


async def test_commands_sent_at_once_are_answered_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(*[message(str(number)) for number in range(20)])
        client = await here.pop3()
        client.raw(b"".join(b"RETR %d\r\nDELE %d\r\n" % (n, n) for n in range(1, 21)) + b"QUIT\r\n")
        for number in range(20):
            assert (await client.line()).startswith(b"+OK")
            lines = []
            while (line := await client.line()) != b".":
                lines.append(line)
            assert b"Subject: %d" % number in lines
            assert (await client.line()) == b"+OK marked"
        assert (await client.line()).startswith(b"+OK 20 deleted")


async def test_what_was_read_and_left_is_seen_by_imap(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message("1"), message("2"))
        client = await here.pop3()
        await client.multi("RETR 1")
        await client.say("QUIT")
        assert await (await here.imap(select="INBOX")).ok("SEARCH SEEN") == [b"* SEARCH 1"]


def _with_poplib(port: int, tls: ssl.SSLContext | None) -> list[bytes]:
    server = poplib.POP3_SSL("127.0.0.1", port, context=tls, timeout=10)
    server.user("alice@example.org")
    server.pass_(PASSWORD)
    count, _ = server.stat()
    found = [b"\r\n".join(server.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
    server.dele(1)
    server.quit()
    return found


async def test_python_s_poplib_downloads_and_deletes_over_tls(tmp_path: Path) -> None:
    async with world(tmp_path, plaintext=()) as here:
        mails = [message(str(number), ".dot\r\n") for number in range(3)]
        await here.deliver(*mails)
        assert await asyncio.to_thread(_with_poplib, here.nodes[0].ports["pop3s"], here.client_tls) == mails
        assert await asyncio.to_thread(_with_poplib, here.nodes[0].ports["pop3s"], here.client_tls) == mails[1:]
        assert logins(here, "pop3", "ok") == 2


def logins(here: World, protocol: str, outcome: str) -> float:
    return here.metrics.logins.labels(protocol, outcome)._value.get()
