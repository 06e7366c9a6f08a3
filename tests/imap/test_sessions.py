"""What sessions do with messages and with each other: bodies byte for byte, news in IDLE, stores that fail, drains."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from time import monotonic

import pytest

from access.imap.context import ImapLimits
from merpati.mailbox.api import MAX_KEYWORDS
from tests.access.world import World, account_of, message, world

MULTIPART = (
    b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe\r\n"
    b"--x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n"
    b"--x\r\nContent-Type: application/x-odd\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nodd\r\n--x--\r\n"
)
HEADER = MULTIPART[: MULTIPART.index(b"\r\n\r\n") + 4]

SECTIONS = {
    "BODY.PEEK[]": b"BODY[] {%d}\r\n%b" % (len(MULTIPART), MULTIPART),
    "RFC822.HEADER": b"RFC822.HEADER {%d}\r\n%b" % (len(HEADER), HEADER),
    "BODY.PEEK[HEADER]": b"BODY[HEADER] {%d}\r\n%b" % (len(HEADER), HEADER),
    "BODY.PEEK[HEADER.FIELDS (Subject X)]": b"BODY[HEADER.FIELDS (Subject X)] {18}\r\nSubject: parts\r\n\r\n",
    "BODY.PEEK[HEADER.FIELDS.NOT (Content-Type MIME-Version)]": (
        b"BODY[HEADER.FIELDS.NOT (Content-Type MIME-Version)] {18}\r\nSubject: parts\r\n\r\n"
    ),
    "BODY.PEEK[]<0.7>": b"BODY[]<0> {7}\r\nSubject",
    "BODY.PEEK[]<9999.7>": b"BODY[]<9999> {0}\r\n",
    "BODY.PEEK[TEXT]<0.3>": b"BODY[TEXT]<0> {3}\r\n--x",
    "BODY.PEEK[1]": b"BODY[1] {15}\r\nGr=C3=BC=C3=9Fe",
    "BODY.PEEK[1]<2.3>": b"BODY[1]<2> {3}\r\n=C3",
    "BODY.PEEK[2.MIME]<0.12>": b"BODY[2.MIME]<0> {12}\r\nContent-Type",
    "BODY.PEEK[9]": b"BODY[9] NIL",
    "BODY.PEEK[1.HEADER]": b"BODY[1.HEADER] NIL",
    "BINARY.PEEK[1]": "BINARY[1] {7}\r\nGrüße".encode(),
    "BINARY.PEEK[2]": b"BINARY[2] ~{3}\r\n\0\1\2",
    "BINARY.PEEK[2]<1.1>": b"BINARY[2]<1> {1}\r\n\1",
    "BINARY.SIZE[2]": b"BINARY.SIZE[2] 3",
    "PREVIEW": "PREVIEW {7}\r\nGrüße".encode(),
    "SAVEDATE": b"SAVEDATE NIL",
    "THREADID": b"THREADID NIL",
}


@pytest.mark.parametrize(("item", "value"), SECTIONS.items(), ids=SECTIONS.keys())
async def test_a_section_is_the_bytes_it_names(tmp_path: Path, item: str, value: bytes) -> None:
    async with world(tmp_path) as here:
        await here.deliver(MULTIPART)
        client = await here.imap(select="INBOX")
        assert await client.ok(f"FETCH 1 {item}") == [b"* 1 FETCH (" + value + b")"]
        assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_what_cannot_be_decoded_is_said_to_be_unknown(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(MULTIPART)
        client = await here.imap(select="INBOX")
        assert b"[UNKNOWN-CTE]" in await client.refused("FETCH 1 BINARY.PEEK[3]")


async def test_bytes_come_back_as_they_went_in_however_large(tmp_path: Path) -> None:
    bodies = [os.urandom(size).replace(b"\0", b"x") for size in (1, 300_000, 5_000_000)]
    async with world(tmp_path) as here:
        writer = await here.imap()
        for body in bodies:
            await writer.append(b"Subject: x\r\n\r\n" + body)
        reader = await here.imap(select="INBOX")
        for number, body in enumerate(bodies, start=1):
            raw = b"Subject: x\r\n\r\n" + body
            reader.send(f"f FETCH {number} (UID BODY.PEEK[] RFC822.SIZE)")
            head = b"* %d FETCH (UID %d BODY[] {%d}" % (number, number, len(raw))
            assert await reader.line() == head
            assert await reader.exactly(len(raw)) == raw
            assert await reader.line() == b" RFC822.SIZE %d)" % len(raw)
            assert (await reader.line()).startswith(b"f OK")
            lines = await reader.ok(f"FETCH {number} BODY.PEEK[TEXT]<10.5>")
            assert lines[0].endswith(b"\r\n" + body[10:15] + b")")


@pytest.mark.parametrize("nodes", [1, 2])
async def test_news_come_to_idle_at_once_from_any_node(tmp_path: Path, nodes: int) -> None:
    async with world(tmp_path, nodes=nodes) as here:
        idler, actor = await here.imap(select="INBOX"), await here.imap(select="INBOX", node=nodes - 1)
        await idler.idle()
        waits = []
        for number in range(1, 6):
            began = monotonic()
            await actor.append(message(str(number)))
            assert await idler.line() == b"* %d EXISTS" % number
            waits.append(monotonic() - began)
        assert sorted(waits)[2] < 0.2, waits
        await actor.ok(r"STORE 2 +FLAGS (\Deleted)")
        assert await idler.line() == rb"* 2 FETCH (UID 2 FLAGS (\Deleted))"
        await actor.ok("EXPUNGE")
        assert await idler.line() == b"* 2 EXPUNGE"
        assert (await idler.done())[-1].startswith(b"idle OK")
        assert await idler.ok("FETCH 1:* UID") == [
            b"* %d FETCH (UID %d)" % pair for pair in ((1, 1), (2, 3), (3, 4), (4, 5))
        ]


async def test_idle_reads_nothing_while_nothing_happens(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap(select="INBOX")
        await client.idle()
        here.store.deaf = True  # a poll would fail, and be seen in the log of reads
        await asyncio.sleep(0.3)
        here.store.deaf = False
        await here.deliver(message())
        assert await client.line() == b"* 1 EXISTS"


async def test_what_was_missed_while_the_bus_was_away_is_told_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        client = await here.imap(select="INBOX")
        await client.idle()
        await here.nodes[0]._tasks.cancel()
        await here.deliver(message(), node=1)
        with pytest.raises(TimeoutError):
            await client.line(0.2)
        here.nodes[0]._tasks.loop("changes", here.nodes[0]._follow)
        assert await client.line() == b"* 1 EXISTS"


async def test_uids_grow_and_a_mailbox_made_anew_has_another_uidvalidity(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap()

        async def opened(name: str) -> tuple[bytes, bytes]:
            said = b" ".join(await client.ok(f"SELECT {name}"))
            return re.search(rb"UIDVALIDITY (\d+)", said)[1], re.search(rb"UIDNEXT (\d+)", said)[1]  # type: ignore[index]

        await client.ok("CREATE New")
        await client.append(message(), "New")
        first = await opened("New")
        await client.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        await client.ok("CLOSE")
        assert await opened("New") == (first[0], b"2")
        await client.ok("UNSELECT")
        await client.ok("DELETE New")
        await client.ok("CREATE New")
        assert (await opened("New"))[0] != first[0]


async def test_an_append_keeps_its_date_and_the_beginning_of_1970_is_one(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap()
        dates = (b" 1-Jan-1970 00:00:00 +0000", b" 1-Feb-2003 02:05:06 +0000")
        for date in (dates[0], b"01-Feb-2003 04:05:06 +0200"):
            client.send(b'a APPEND INBOX "%b" {%d+}\r\n%b' % (date, len(message()), message()))
            assert b" OK" in (await client.answer("a"))[-1]
        await client.ok("SELECT INBOX")
        found = await client.ok("FETCH 1:* INTERNALDATE")
        assert found == [b'* %d FETCH (INTERNALDATE "%b")' % pair for pair in enumerate(dates, 1)]


async def test_keywords_can_be_made_as_long_as_it_is_said_that_they_can(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.imap()
        names = " ".join(f"kw{number}" for number in range(MAX_KEYWORDS - 1))
        for more, room in ((names, True), ("last", False)):
            await client.ok("SELECT INBOX")
            await client.ok(f"STORE 1 +FLAGS.SILENT ({more})")
            (permanent,) = [line for line in await client.ok("SELECT INBOX") if b"PERMANENTFLAGS" in line]
            assert (rb"\*)]" in permanent) == room
        assert (await client.refused("STORE 1 +FLAGS (another)")).startswith(b"NO [LIMIT]")
        await client.ok("STORE 1 +FLAGS (LAST)")


async def test_uid_expunge_leaves_what_it_does_not_name(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(*[message(str(n)) for n in range(4)])
        client = await here.imap(select="INBOX")
        await client.ok(r"STORE 1:3 +FLAGS.SILENT (\Deleted)")
        assert await client.ok("UID EXPUNGE 2:9") == [b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
        assert await client.ok("UID SEARCH ALL") == [b"* SEARCH 1 4"]


@pytest.mark.slow
async def test_a_store_that_takes_nothing_lets_mail_be_read_and_says_no_to_the_rest(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.imap(select="INBOX")
        here.store.full = True
        assert (await client.ok("FETCH 1 BODY[TEXT]"))[0] == b"* 1 FETCH (BODY[TEXT] {6}\r\ntext\r\n)"
        assert b"[UNAVAILABLE]" in await client.refused(r"STORE 1 +FLAGS (\Flagged)")
        here.store.full = False
        assert await client.ok("FETCH 1 FLAGS") == [b"* 1 FETCH (FLAGS ())"]


async def test_an_append_is_refused_whole_or_taken_whole(tmp_path: Path) -> None:
    async with world(tmp_path, imap_limits=ImapLimits(max_message=1000)) as here:
        client = await here.imap(select="INBOX")
        assert b"[TOOBIG]" in await client.refused("APPEND INBOX {2000}")
        await client.refused("APPEND INBOX {0+}\r\n")
        assert b"[TRYCREATE]" in await client.refused("APPEND Nowhere {3+}\r\nabc")
        client.send("m APPEND INBOX {3+}\r\nabc {4+}\r\nde\0f")
        assert (await client.answer("m"))[-1].startswith(b"m NO")
        client.send("n APPEND INBOX (\\Seen) {3+}\r\nabc (\\Draft) {4+}\r\ndefg")
        assert await client.answer("n") == [b"* 2 EXISTS", (await _code(here)) + b"Appended"]


async def _code(here: World) -> bytes:
    info = here.mailboxes[0].account(account_of("alice@example.org")).view().folders["INBOX"]
    return b"n OK [APPENDUID %d 1:2] " % info.uidvalidity


async def test_commands_sent_at_once_are_answered_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(*[message(str(n)) for n in range(100)])
        client = await here.imap(select="INBOX")
        client.raw(b"".join(b"p%d NOOP\r\nq%d FETCH %d UID\r\n" % (n, n, n) for n in range(1, 101)))
        for n in range(1, 101):
            assert await client.answer(f"p{n}") == [b"p%d OK Nothing done" % n]
            assert await client.answer(f"q{n}") == [b"* %d FETCH (UID %d)" % (n, n), b"q%d OK Fetched" % n]


async def test_a_restart_says_goodbye_to_the_idle(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        waiting, idling = await here.imap(), await here.imap(select="INBOX")
        await idling.idle()
        stopping = asyncio.create_task(here.nodes[0].stop(5))
        for client in (waiting, idling):
            assert (await client.line()).startswith(b"* BYE This server is being restarted")
            client.close()
        await stopping


async def test_a_bug_in_a_command_ends_neither_session_nor_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the inside")

    async with world(tmp_path) as here:
        client = await here.imap()
        monkeypatch.setattr(here.mailboxes[0].account(account_of("alice@example.org")), "refresh", broken)
        said = await client.refused("STATUS INBOX (MESSAGES)")
        assert b"SERVERBUG" in said and b"secret" not in said
        await client.ok("CAPABILITY")
