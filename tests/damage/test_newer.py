"""What a newer version wrote: an older node refuses it with the advice to upgrade, and changes nothing (rule B3)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from merpati.clock import ManualClock
from merpati.directory.editing import INSTALLATION
from merpati.directory.open import open_directory
from merpati.errors import Unavailable
from merpati.ids import SeededDice
from merpati.log.api import Damaged, NewerFormat
from merpati.log.frame import Kind, head_of, sealed
from merpati.log.layout import Layout, log_of
from merpati.log.travel import Travel
from merpati.mailbox.auditing import audited
from merpati.mailbox.rebuilding import rebuilt
from merpati.objects.api import ObjectStore
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.access.world import PASSWORD, account_of, message, world
from tests.damage.spoiling import everything, keys, lived
from tests.mailbox.worlds import LAYOUT, fresh, messages


async def newer_commit(store: ObjectStore, layout: Layout, changes: bytes) -> str:
    """The key of a commit that follows the last one and says what nobody knows yet."""
    last = [info.key async for info in store.list(layout.commits)][-1]
    id, number, _, at, *_ = msgspec.msgpack.decode(head_of(Kind.COMMIT, await store.get(last), last))
    head = msgspec.msgpack.encode([b"n" * 16, number + 1, id, at, "newer", [[changes, []]]])
    key = layout.commit(number + 1)
    await store.create(key, sealed(Kind.COMMIT, head))
    return key


LETTER = msgspec.msgpack.encode([["k", 1, ["$known"]], ["q", 1, 2]])


async def test_a_change_of_an_unknown_kind_is_a_newer_versions_and_no_damage() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock)
    number = (await fresh(store, clock).refresh()).number
    key = await newer_commit(store, LAYOUT, LETTER)
    before = await everything(store)
    for attempt in (fresh(store, clock, 2).refresh(), fresh(store, clock, 3).append(messages("x"))):
        with pytest.raises(NewerFormat, match="upgrade") as refused:
            await attempt
        assert (refused.value.facts["key"], refused.value.facts["rule"]) == (key, "B3")
    with pytest.raises(NewerFormat, match="upgrade"):
        await rebuilt(fresh(store, clock, 4))
    found = (await audited(fresh(store, clock, 5))).wrong
    assert {(each.key, each.rule) for each in found} == {(key, "B3")}
    assert not any(each.lost for each in found), "it is all there, for who can read it"
    assert (await Travel(fresh(store, clock, 6).log.reader).state_at(number)).state.number == number
    assert await everything(store) == before


@pytest.mark.parametrize("changes", [b"\x91\xc1", b"\x91\x91\xa1a", b"\x90\x00", b'[{"kind":'])
async def test_changes_that_are_none_are_damage_all_the_same(changes: bytes) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock)
    key = await newer_commit(store, LAYOUT, changes)
    account = fresh(store, clock, 2)
    with pytest.raises(Damaged) as refused:
        await account.append(messages("x"))
    assert refused.value.facts["key"] == key


async def test_messages_in_a_pack_of_a_newer_version_are_refused_and_not_called_lost() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock)
    for key in await keys(store, "pack"):
        data = await store.get(key)
        await store.put(key, data[:9] + b"\x02" + data[10:])
    found = (await audited(fresh(store, clock, 2))).wrong
    assert found and {each.rule for each in found} == {"B3"} and not any(each.lost for each in found)
    view = await fresh(store, clock, 3).folder("INBOX")
    account = fresh(store, clock, 4)
    with pytest.raises(NewerFormat, match="upgrade"):
        for row in range(view.exists):
            await account.body(view.body(row))


async def test_a_directory_of_a_newer_version_is_not_read_without_what_is_new() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    opened = open_directory(store, None, clock, SeededDice(1), Metrics(), "test")
    await opened.add_domain("a.test")
    layout = log_of(INSTALLATION)
    await newer_commit(store, layout, b'[{"kind":"realm","entry":{"name":"b.test"}}]')
    before = await everything(store)
    again = open_directory(store, None, clock, SeededDice(2), Metrics(), "test")
    with pytest.raises((NewerFormat, Unavailable), match=r"upgrade|directory unavailable"):
        await again.domains()
    with pytest.raises(NewerFormat, match="upgrade"):
        await again.add_domain("c.test")
    assert await everything(store) == before


async def test_clients_are_told_to_come_again_and_not_where_things_are(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(message("there"))
        await newer_commit(here.store, log_of(account_of("alice@example.org")), LETTER)
        client = await here.imap(node=1)
        for command in ("SELECT INBOX", 'LIST "" *', "STATUS INBOX (MESSAGES)"):
            told = await client.refused(command)
            assert told.startswith(b"NO [UNAVAILABLE] a commit of a newer version") and b"accounts/" not in told
        pop3 = await here.client("pop3", node=1)
        await pop3.say("USER alice@example.org")
        told = await pop3.say(f"PASS {PASSWORD}")
        assert told.startswith(b"-ERR [SYS/TEMP]") and b"accounts/" not in told
