"""What a hostile IMAP client sends: a clear answer or the end, in bounded time and memory, and never another's mail."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from access.imap.context import ImapLimits
from merpati.net.limits import ServerLimits, StreamLimits
from tests.access.world import PASSWORD, Client, message, world

LOGIN = f'LOGIN alice@example.org "{PASSWORD}"'

TOO_MUCH = {
    "a literal of 100 GB": b"a LOGIN {99999999999}",
    "a literal of 4 GiB": b"a LOGIN {4294967296}",
    "a literal of less than nothing": b"a LOGIN {-1}",
    "a literal in exponents": b"a LOGIN {1e9+}",
    "a literal of 100 GB that is on its way": b"a LOGIN {99999999999+}",
    "a mechanism that is not there": b"a AUTHENTICATE X-NONE",
    "a tag that is none": b"* OK hello",
    "a continuation as tag": b"+ OK",
    "a NUL": b"a LOGIN \0 x",
    "an 8-bit quoted string": b'a LOGIN "\xff" x',
    "a command before login": b"a FETCH 1:* (FLAGS)",
}


@pytest.mark.parametrize("line", TOO_MUCH.values(), ids=TOO_MUCH.keys())
async def test_a_stranger_who_asks_for_too_much_is_refused(tmp_path: Path, line: bytes) -> None:
    async with world(tmp_path) as here:
        client = await here.client()
        client.send(line)
        answer = await client.line()
        assert b" BAD " in answer or b" NO " in answer or answer.startswith(b"* BYE"), answer
        other = await here.client()
        assert (await other.command(LOGIN))[-1].startswith(b"t1 OK")


HEAVY = {
    "parentheses": "SEARCH " + "(" * 20_000,
    "NOTs": "SEARCH " + "NOT " * 5_000 + "ALL",
    "ORs": "SEARCH " + "OR " * 5_000 + "ALL " * 5_001,
    "deep sections": f"FETCH 1 (BODY[{'.'.join(['1'] * 2_000)}])",
    "one message a hundred thousand times": "FETCH " + "1," * 30_000 + "1 (FLAGS)",
    "every number there is": "FETCH 1:4294967295 (FLAGS)",
    "the last first": "FETCH *:1 (FLAGS)",
    "every UID there is": "UID FETCH 1:4294967295 (FLAGS)",
    "the same body often": "FETCH 1 (" + " ".join(["BODY.PEEK[]"] * 60) + ")",
    "a partial beyond all": "FETCH 1 BODY.PEEK[]<9223372036854775807.9223372036854775807>",
}


@pytest.mark.parametrize("command", HEAVY.values(), ids=HEAVY.keys())
async def test_a_heavy_command_is_answered_within_a_second(tmp_path: Path, command: str) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.imap(select="INBOX")
        async with asyncio.timeout(2):
            lines = await client.command(command)
        assert sum(map(len, lines)) < 10_000
        if b" OK " not in lines[-1]:
            assert b" BAD " in lines[-1], lines
        await client.ok("NOOP")


async def test_a_line_without_end_is_ended_at_its_limit(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap()
        client.raw(b"x" * 200_000)
        assert (await client.line()).startswith(b"* BYE")
        assert await client.ended()


async def test_base64_without_end_is_ended_at_its_limit(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.client()
        client.send("a AUTHENTICATE PLAIN")
        assert await client.line() == b"+ "
        client.raw(b"QUJD" * 250_000)
        assert (await client.line()).startswith(b"* BYE")


async def test_a_client_that_does_not_read_is_dropped_and_costs_bounded_memory(tmp_path: Path) -> None:
    streams = StreamLimits(stall=0.3, max_output=1 << 20)
    async with world(tmp_path, stream_limits=streams) as here:
        await here.deliver(*[message(str(n)) for n in range(500)])
        client = await here.imap(select="INBOX")
        tracemalloc.start()
        for _ in range(2_000):
            client.send("x FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)")
        async with asyncio.timeout(10):
            while here.nodes[0]._imap.present:
                await asyncio.sleep(0.05)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 30 << 20


async def test_a_client_that_talks_nonsense_is_sent_away(tmp_path: Path) -> None:
    async with world(tmp_path, imap_limits=ImapLimits(max_bad=5)) as here:
        client = await here.client()
        for _ in range(5):
            client.send("a LOGIN")
        assert await client.ended()


NAMES = [
    "../x",
    "a/../../other/INBOX",
    "%2e%2e",
    "/abs",
    "~user",
    "#shared",
    "&2AA-",
    "&AGE-",
    "&",
    "INBOX/",
    "x" * 1000,
    "a/" * 500 + "b",
    "a//b",
    "&IC4-",
    "\\\\",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
async def test_a_strange_name_is_refused_or_a_mailbox_of_ones_own(tmp_path: Path, name: str) -> None:
    async with world(tmp_path) as here:
        client = await here.imap()
        lines = await client.command(f'CREATE "{name}"')
        status = lines[-1].split(b" ")[1]
        assert status in (b"OK", b"NO", b"BAD"), lines
        if status == b"OK":
            await client.ok(f'SELECT "{name.rstrip("/")}"')
        bob = await here.imap("bob")
        assert len(await bob.ok('LIST "" *')) == 6  # what every account is born with
        keys = [info.key async for info in here.store.list("")]
        assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789/") for key in keys), keys


async def test_nobody_sees_the_mail_of_another(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message("secret"), user="bob", folder="Private")
        await here.deliver(message("mine"))
        alice = await here.imap(select="INBOX")
        absent = await alice.refused("SELECT Absent")
        for name in ("Private", "../bob/Private", "bob@example.org/Private", "#user/bob/Private", "~bob/Private"):
            assert await alice.refused(f'SELECT "{name}"') == absent
        await alice.ok("SELECT INBOX")
        assert b"TRYCREATE" in await alice.refused("COPY 1 Private")
        assert not any(b"Private" in line for line in await alice.ok('LIST "" *'))
        assert await alice.ok("SEARCH TEXT secret") == [b"* SEARCH"]


async def test_tls_forgets_what_was_said_and_takes_nothing_that_was_sent_behind_it(tmp_path: Path) -> None:
    async with world(tmp_path, plaintext=()) as here:
        client = await here.client()
        assert (
            b"LOGINDISABLED" in client.greeting
            and b"AUTH=" not in client.greeting
            and b"PREAUTH" not in client.greeting
        )
        assert b"PRIVACYREQUIRED" in await client.refused(LOGIN)
        assert b"PRIVACYREQUIRED" in await client.refused("AUTHENTICATE PLAIN")
        client.send("s STARTTLS\r\nx NOOP")
        assert (await client.line()).startswith(b"s BAD")
        assert (await client.line()).startswith(b"* BYE")
        assert await client.ended()


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "in two"])
async def test_a_command_behind_starttls_is_never_answered_under_tls(tmp_path: Path, apart: bool) -> None:
    async with world(tmp_path, plaintext=()) as here:
        client = await here.client()
        client.raw(b"s STARTTLS\r\n" + (b"" if apart else b"x NOOP\r\n"))
        if apart:
            await asyncio.sleep(0)
            client.raw(b"x NOOP\r\n")
        first = await client.line()
        rest = b""
        while line := await client.line():
            rest += line
        assert b"x OK" not in first + rest


async def test_starttls_leads_to_a_login(tmp_path: Path) -> None:
    async with world(tmp_path, plaintext=()) as here:
        client = await here.client()
        client.send("s STARTTLS")
        assert (await client.line()).startswith(b"s OK")
        assert here.client_tls is not None
        await client.writer.start_tls(here.client_tls, server_hostname="mx.example.org")
        capabilities = (await client.ok("CAPABILITY"))[0]
        assert b"STARTTLS" not in capabilities and b"AUTH=PLAIN" in capabilities
        await client.refused("STARTTLS", "BAD")
        await client.ok(LOGIN)
        await client.refused("STARTTLS", "BAD")


async def test_a_handshake_that_is_never_finished_is_closed(tmp_path: Path) -> None:
    async with world(tmp_path, stream_limits=StreamLimits(handshake=0.3)) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.nodes[0].ports["imaps"])
        assert await Client(reader, writer).ended()


async def test_a_silent_stranger_and_a_silent_user_are_logged_out(tmp_path: Path) -> None:
    async with world(tmp_path, imap_limits=ImapLimits(before_login=0.2, idle=0.6)) as here:
        stranger, user = await here.client(), await here.imap(select="INBOX")
        assert (await stranger.line()).startswith(b"* BYE Autologout")
        await user.idle()
        assert (await user.line()).startswith(b"* BYE Autologout")
        assert await user.ended()


async def test_a_client_too_many_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, server_limits=ServerLimits(max_per_client=2)) as here:
        clients = [await here.client() for _ in range(3)]
        assert clients[2].greeting == b"* BYE Too many connections"
        await clients[0].ok("NOOP")


async def test_while_the_directory_is_down_a_login_is_put_off(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.users.down = True
        client = await here.client()
        said = await client.refused(LOGIN)
        assert b"[UNAVAILABLE]" in said and b"10.0.0.7" not in said
        here.users.down = False
        await client.ok(LOGIN)


async def test_junk_in_idle_ends_it_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap(select="INBOX")
        await client.idle()
        client.send("x NOOP")
        assert (await client.answer("idle"))[-1].startswith(b"idle BAD")
        await client.idle()
        client.raw(b"y" * 5_000)
        assert await client.ended()
