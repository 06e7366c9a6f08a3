"""Whoever may not be here any more is sent away, soon, in whatever state the session is; whoever may is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from access import standing
from access.login import Principal
from access.standing import EVERY, LAST, Standing
from merpati.bus.memory import MemoryBus
from merpati.clock import ManualClock
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.events import topic_specs
from merpati.ids import SeededDice, derived_account_id
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.access.world import Client, World, message, world

MINUTE = 60.0
"""A session may last so long after the right to it has ended."""


@dataclass(eq=False)
class Visit:
    """A session that notes what is done to it; `busy` is one whose command does not end."""

    principal: Principal | None
    busy: bool = False
    dismissed: bool = False
    ended: bool = False
    present: set[Visit] = field(default_factory=set)

    @property
    def connection(self) -> Visit:
        return self

    def dismiss(self) -> None:
        self.dismissed = True
        if not self.busy:
            self.abort()

    def abort(self) -> None:
        self.ended = True
        self.present.discard(self)


class House:
    """Two processes over one store: an operator's, and one with sessions; `follows` is whether that hears the bus."""

    def __init__(self, clock: ManualClock, bus: MemoryBus, *, follows: bool) -> None:
        self.clock = clock
        self.follows = follows
        store = MemoryStore(clock)
        self.operator = open_directory(store, bus, clock, SeededDice(1), Metrics())
        self.directory = open_directory(store, bus if follows else None, clock, SeededDice(2), Metrics())
        self.visits: set[Visit] = set()
        self.standing = Standing(self.directory, {"imap": self.visits, "pop3": set()}, clock, Metrics())

    async def visit(self, address: str, *, busy: bool = False) -> Visit:
        entry = await self.directory.account(address)
        assert entry is not None
        visit = Visit(Principal(entry.id, entry.address, entry.version), busy, present=self.visits)
        self.visits.add(visit)
        return visit

    async def until_ended(self, visit: Visit, at_most: float) -> float:
        """Seconds until a visit has ended, or `at_most`."""
        began = self.clock.monotonic()
        while not visit.ended and self.clock.monotonic() - began < at_most:
            await self.clock.advance(0.5)
        return self.clock.monotonic() - began


@pytest.fixture(params=[True, False], ids=["followed", "looked at"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    clock = ManualClock()
    bus = MemoryBus(clock, SeededDice(3))
    await bus.start()
    await bus.ensure_topics(topic_specs(2, ()))
    house = House(clock, bus, follows=request.param)
    await house.operator.add_domain("example.org")
    for name in ("alice", "bob"):
        await house.operator.add_account(f"{name}@example.org", "$argon2id$old")
    await house.directory.start()
    watching = asyncio.create_task(house.standing.watch())
    await clock.advance(1)
    yield house
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await house.directory.stop(0)
    await bus.close()


async def _replace(directory: LogDirectory) -> None:
    await directory.remove_account("alice@example.org")
    await directory.add_account("alice@example.org", "$argon2id$old")


Change = Callable[[LogDirectory], Awaitable[object]]
ENDING: list[tuple[str, Change]] = [
    ("a new password", lambda d: d.change_account("alice@example.org", password_hash="$argon2id$new")),
    ("closed", lambda d: d.change_account("alice@example.org", enabled=False)),
    ("removed", lambda d: d.remove_account("alice@example.org")),
    ("removed, and another of that name", _replace),
]


@pytest.mark.parametrize("change", [change for _, change in ENDING], ids=[name for name, _ in ENDING])
async def test_a_session_ends_within_a_minute_of_losing_its_right(house: House, change: Change) -> None:
    mine, other = await house.visit("Alice+tag@example.org"), await house.visit("bob@example.org")
    await house.clock.advance(100)
    await change(house.operator)
    took = await house.until_ended(mine, MINUTE)
    assert mine.ended and not other.dismissed
    assert took <= (EVERY + 1 if house.follows else MINUTE - LAST)


async def test_a_command_that_does_not_end_is_cut_off_within_a_minute(house: House) -> None:
    mine = await house.visit("alice@example.org", busy=True)
    await house.clock.advance(100)
    await house.operator.change_account("alice@example.org", enabled=False)
    took = await house.until_ended(mine, 2 * MINUTE)
    assert mine.ended and LAST <= took <= MINUTE


async def test_who_keeps_the_right_stays(house: House) -> None:
    mine = await house.visit("alice@example.org")
    await house.operator.change_account("alice@example.org", quota=1000)
    await house.operator.change_account("bob@example.org", password_hash="$argon2id$new")
    await house.operator.add_alias("info@example.org", ("alice@example.org",))
    await house.clock.advance(10 * MINUTE)
    assert not mine.dismissed


async def test_each_user_is_looked_up_once_however_many_sessions_there_are() -> None:
    asked: list[str] = []

    class Nobody:
        async def account(self, address: str) -> None:
            asked.append(address)

    visits = {Visit(Principal(derived_account_id(str(n % 10)), f"user{n % 10}@example.org")) for n in range(1000)}
    await Standing(Nobody(), {"imap": visits}, ManualClock(), Metrics()).look()
    assert len(asked) == 10
    assert all(visit.dismissed for visit in visits)


# With sockets


async def changed(here: World, **fields: object) -> None:
    """Alice's account changes, and is looked at."""
    here.users.change("alice", **fields)
    await here.nodes[0]._standing.look()


BYE = b"* BYE [EXPIRED] The account has changed; log in again"
GONE = b"-ERR [AUTH] the account has changed; log in again"


async def _waiting(client: Client) -> None:
    await client.ok("NOOP")


async def _idling(client: Client) -> None:
    await client.idle()


@pytest.mark.parametrize("first", [_waiting, _idling])
@pytest.mark.parametrize("select", ["", "INBOX"])
@pytest.mark.parametrize("fields", [{"version": 2}, {"enabled": False}])
async def test_imap_says_bye(
    tmp_path: Path, first: Callable[[Client], Awaitable[None]], select: str, fields: dict[str, object]
) -> None:
    async with world(tmp_path) as here:
        mine, other = await here.imap(select=select), await here.imap("bob", select=select)
        await first(mine)
        await changed(here, **fields)
        assert await mine.line() == BYE
        assert await mine.line() == b"", "and closed"
        await other.ok("NOOP")
        assert 'merpati_dismissed_sessions_total{protocol="imap"} 1.0' in here.metrics.render().decode()


async def test_the_new_password_lets_in_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.imap()
        await changed(here, version=2)
        again = await here.imap()
        await here.nodes[0]._standing.look()
        await again.ok("NOOP")


async def test_the_command_at_work_ends_and_those_behind_it_are_not_obeyed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client = await here.imap(select="INBOX")
        here.store.gate = asyncio.Event()
        client.send("a NOOP\r\nb STORE 1 +FLAGS (\\Deleted)\r\nc EXPUNGE")
        async with asyncio.timeout(5):
            await here.store.met.wait()
        await changed(here, version=2)
        here.store.gate.set()
        assert (await client.line()).startswith(b"a OK")
        assert await client.line() == BYE
        assert await client.line() == b""
        other = await here.imap(select="INBOX")
        assert await other.ok("SEARCH ALL") == [b"* SEARCH 1"]


@pytest.mark.parametrize("last", ["QUIT", "RETR 1", ""])
async def test_pop3_deletes_nothing_and_closes(tmp_path: Path, last: str) -> None:
    async with world(tmp_path) as here:
        await here.deliver(message())
        client, other = await here.pop3(), await here.pop3("bob")
        assert (await client.say("DELE 1")).startswith(b"+OK")
        await changed(here, enabled=False)
        if last:
            client.send(last)
        assert await client.line() == GONE
        assert await client.line() == b""
        assert (await other.say("NOOP")).startswith(b"+OK")
        here.users.change("alice", enabled=True)
        assert (await (await here.pop3()).say("STAT")).startswith(b"+OK 1 ")


async def test_a_client_that_does_not_take_its_mail_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as here:
        await here.deliver(*[message(body="y" * 900_000) for _ in range(20)])
        client = await here.imap(select="INBOX")
        client.send("a FETCH 1:* BODY[]")
        await asyncio.sleep(0.2)
        monkeypatch.setattr(standing, "LAST", 0.0)
        await changed(here, version=2)
        await asyncio.sleep(0.2)
        assert here.nodes[0]._imap.present, "it still has mail to give"
        await here.nodes[0]._standing.look()
        async with asyncio.timeout(5):
            while here.nodes[0]._imap.present:
                await asyncio.sleep(0.01)


async def test_while_the_directory_cannot_tell_nobody_is_sent_away(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        client = await here.imap()
        here.users.down = True
        await here.nodes[0]._standing.look()
        await client.ok("NOOP")
