"""Snapshots of mailboxes: what they cost, what they hold, and what becomes of damaged ones."""

from __future__ import annotations

import asyncio
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.keeping import COMPACTION, EVERY
from merpati.log.reading import GRACE
from merpati.log.snapshots import read_snapshot
from merpati.log.verifying import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, BodyMissing
from merpati.mailbox.runs import Shelf, joined, parsed
from merpati.mailbox.state import MailState
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages

FLAGS = ["\\Seen", "\\Deleted", "$a"]


def shape(state: MailState) -> object:
    """All of a state but the summaries, which may be in a run."""
    folders = []
    for folder in state.folders.values():
        columns = folder.columns
        arrays = [columns.uids, columns.flags, columns.modseqs, columns.sizes, columns.dates]
        arrays += [columns.commits, columns.offsets, columns.checks]
        rest = (folder.id, folder.name, folder.uidvalidity, folder.modseq, folder.uidnext, folder.special_use)
        sums = (folder.exists, folder.unseen, folder.deleted, folder.size, folder.deleted_size)
        cut: list[array[int]] = [each[: columns.length] for each in arrays]
        folders.append((rest, sums, folder.keywords, cut, list(folder.vanished.entries), folder.vanished.since))
    tree = (state.names, state.subscriptions, state.next_folder, state.last_uidvalidity, state.retired_all)
    causes = (list(state.causes.older.items()), list(state.causes.recent.items()))
    return state.number, folders, tree, list(state.retired.items()), causes, list(state.larges.all()), state.metadata


async def envelopes(account: MailAccount) -> list[list[bytes]]:
    found = []
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found.append(list(await view.envelopes(range(view.exists))))
    return found


Step = tuple[str, int, int]


async def do(account: MailAccount, step: Step, count: int) -> None:
    verb, a, b = step
    match verb:
        case "append":
            await account.append([Append("INBOX", mail(f"{count}-{i}"), cause=f"{count}-{i}") for i in range(a)])
        case "flag":
            await account.store("INBOX", range(a, a + b), [FLAGS[b % 3]])
        case "expunge":
            await account.expunge("INBOX", range(a, a + b), only_deleted=False)
        case "copy":
            await account.copy("INBOX", range(a, a + b), "Archive")
        case "move":
            await account.move("Archive", range(a, a + b), "Trash")
        case "tree":
            await account.create(f"x{count}")
            await account.set_metadata(f"x{count}", {"/private/comment": b"words"})
            await account.rename(f"x{count}", f"y{count}")
        case "gone":
            await account.create("z")
            await account.delete("z")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "flag", "expunge", "copy", "move", "tree", "gone", "snapshot"]),
        st.integers(1, 9),
        st.integers(1, 6),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_any_snapshot_and_the_commits_after_it_are_what_the_commits_alone_are(steps: list[Step]) -> None:
    async def run() -> None:
        store = MemoryStore(ManualClock())
        account = await mailboxes(store).open(ACCOUNT)
        for count, step in enumerate(steps):
            await (account.keep_snapshot() if step[0] == "snapshot" else do(account, step, count))
        keys = [info.key async for info in store.list(LAYOUT.snapshots)]
        for key in [*keys, ""]:
            other = fresh(store)
            assert await envelopes(other) == await envelopes(account)
            assert other.log.tip is not None and account.log.tip is not None
            assert shape(other.log.tip.state) == shape(account.log.tip.state)
            await store.delete([key] if key else [])  # next time from the one before

    asyncio.run(run())


async def filled(store: MemoryStore, many: int) -> MailAccount:
    account = await mailboxes(store).open(ACCOUNT)
    for start in range(0, many, 100):
        await account.append(messages(*range(start, min(start + 100, many))))
    return account


async def sizes(store: MemoryStore, prefix: str) -> dict[str, int]:
    return {info.key: info.size async for info in store.list(prefix)}


async def test_a_new_snapshot_writes_only_what_changed() -> None:
    store = MemoryStore(ManualClock())
    account = await filled(store, 3000)
    await account.keep_snapshot()
    before = await sizes(store, f"{LAYOUT.prefix}/chunk/")
    await account.store("INBOX", [1], ["\\Seen"])
    await account.keep_snapshot()
    after = await sizes(store, f"{LAYOUT.prefix}/chunk/")
    assert len(set(after) - set(before)) == 1, "the flags, and nothing else"
    await account.keep_snapshot()
    assert await sizes(store, f"{LAYOUT.prefix}/chunk/") == after
    await account.append(messages("new"))
    await account.keep_snapshot()
    new = set(await sizes(store, f"{LAYOUT.prefix}/chunk/")) - set(after)
    assert len(new) <= 3, "the last run of columns, its flags, and the last run of summaries"


async def test_an_expunge_at_the_front_does_not_write_the_folder_anew() -> None:
    store = MemoryStore(ManualClock())
    account = await filled(store, 3000)
    await account.keep_snapshot()
    before = await sizes(store, f"{LAYOUT.prefix}/chunk/")
    await account.expunge("INBOX", [1], only_deleted=False)
    await account.keep_snapshot()
    new = set(await sizes(store, f"{LAYOUT.prefix}/chunk/")) - set(before)
    assert len(new) <= 4, "its run, the flags of that, and who vanished; summaries stay"


async def test_a_snapshot_comes_by_itself_and_delays_nobody() -> None:
    store = MemoryStore(ManualClock())
    boxes = mailboxes(store)
    account = await boxes.open(ACCOUNT)
    for number in range(EVERY + 1):
        await account.append(messages(number))
    await boxes.idle()
    keys = list(await sizes(store, LAYOUT.snapshots))
    assert len(keys) == 1
    assert await envelopes(fresh(store)) == await envelopes(account)


async def test_summaries_are_not_read_before_somebody_asks() -> None:
    store = MemoryStore(ManualClock())
    account = await filled(store, 1500)
    await account.keep_snapshot()
    seen: list[str] = []
    other = fresh(MeteredStore(store, ManualClock(), lambda operation, outcome, seconds: seen.append(operation)))
    view = await other.folder("INBOX", fresh=True)
    assert view.exists == 1500
    cold = len(seen)
    await view.envelopes(range(10))
    assert len(seen) == cold + 1
    await view.envelopes(range(10, 400))
    assert len(seen) == cold + 1, "the run is remembered"


@pytest.mark.parametrize("spoil", [None, b"junk"])
async def test_a_lost_summary_is_made_anew_of_its_message(spoil: bytes | None) -> None:
    store = MemoryStore(ManualClock())
    account = await filled(store, 20)
    expected = await envelopes(account)
    await account.keep_snapshot()
    tip = account.log.tip
    assert tip is not None
    snapshot = await read_snapshot(store, LAYOUT, tip.number)
    for name in snapshot.chunks:
        other = fresh(store)
        await other.refresh()
        kept = await store.get(LAYOUT.chunk(name))
        await (store.delete([LAYOUT.chunk(name)]) if spoil is None else store.put(LAYOUT.chunk(name), spoil))
        assert await envelopes(other) == expected
        assert await envelopes(fresh(store)) == expected, "the commits are still there"
        await store.put(LAYOUT.chunk(name), kept)


async def test_a_snapshot_that_meets_a_lost_summary_is_written_all_the_same() -> None:
    store = MemoryStore(ManualClock())
    account = await filled(store, 20)
    expected = await envelopes(account)
    await account.keep_snapshot()
    other = fresh(store)
    await other.refresh()
    await store.delete(list(await sizes(store, f"{LAYOUT.prefix}/chunk/")))
    await store.delete(list(await sizes(store, LAYOUT.snapshots)))
    await other.store("INBOX", [3], ["\\Seen"])
    await other.keep_snapshot()
    assert await envelopes(fresh(store)) == expected
    with pytest.raises(BodyMissing):
        await store.delete(list(await sizes(store, LAYOUT.commits)))
        await envelopes(fresh(store))


async def test_a_snapshot_written_after_damage_was_met_takes_over_nothing_of_the_damaged_one() -> None:
    """R5: who had met it would else name the damaged chunk for ever."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.keep_snapshot()
    before = await sizes(store, f"{LAYOUT.prefix}/chunk/")
    await account.create("new")
    await account.keep_snapshot()
    for key in set(await sizes(store, f"{LAYOUT.prefix}/chunk/")) - set(before):
        await store.put(key, b"x")
    other = fresh(store, clock, 5)
    await other.append(messages(3))
    await other.keep_snapshot()
    reader = fresh(store, clock, 6)
    assert (await reader.refresh()).messages == 3
    assert reader.log.reader.broken.damage is None


async def test_summaries_in_memory_do_not_name_a_chunk_that_the_snapshot_before_has_not() -> None:
    """S2: the vacuum may have taken it."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    other = fresh(store, clock, 5)
    await account.append(messages(1, 2, 3))
    await other.refresh()
    await account.keep_snapshot()
    await other.append(messages(4))
    for number in range(3):
        await other.create(f"f{number}")
        await other.keep_snapshot()
        await clock.advance(3 * GRACE)
        await other.vacuum(GRACE)
    await other.expunge("INBOX", [4], only_deleted=False)
    await account.refresh()
    await account.keep_snapshot()
    assert await verified(other.log.reader) == []


async def test_nothing_is_built_upon_a_snapshot_of_another_log() -> None:
    """B2: its packs and pasts are none of ours."""
    clock = ManualClock()
    stores = [MemoryStore(clock), MemoryStore(clock)]
    accounts = [await mailboxes(store, clock, SeededDice(seed)).open(ACCOUNT) for seed, store in enumerate(stores)]
    for account in accounts:
        await account.append(messages(1))
        await account.keep_snapshot()
        await account.append(messages(2))
    await accounts[1].compact()
    await stores[0].put(LAYOUT.snapshot(4), await stores[1].get(LAYOUT.snapshot(4)))
    await accounts[0].append(messages(3))
    await accounts[0].keep_snapshot()
    newest = await accounts[0].log.reader.newest_head()
    assert newest is not None and (newest.number, newest.packs, newest.pasts) == (5, (), ())


def test_a_run_of_summaries_gives_back_what_it_was_given() -> None:
    keys = [(1, 2), (3, 4), (5, 6)]
    assert parsed(joined(keys, [b"a", b"", b"ccc"])) == dict(zip(keys, [b"a", b"", b"ccc"], strict=True))
    with pytest.raises(ValueError, match="cut short"):
        parsed(joined(keys, [b"a", b"", b"ccc"])[:20])


def test_the_shelf_lets_go_of_what_was_not_asked_for() -> None:
    shelf = Shelf(100)
    for name in "abc":
        shelf.put(name, {}, 40)  # type: ignore[arg-type]
        shelf.get("a")  # type: ignore[arg-type]
    assert [shelf.get(name) is not None for name in "abc"] == [True, False, True]  # type: ignore[arg-type]


@pytest.mark.slow
async def test_after_a_thousand_commits_a_mailbox_is_compacted_and_cleaned_by_itself() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    boxes = mailboxes(store, clock)
    account = await boxes.open(ACCOUNT)
    for number in range(2 * COMPACTION):
        if number % 100 == 0:
            await boxes.idle()
            await clock.advance(86_400.0)
        await account.store("INBOX", [1], ["\\Seen"], mode="set" if number % 2 else "remove")
        await account.append(messages(number))
    await boxes.idle()
    assert len(await sizes(store, f"{LAYOUT.prefix}/pack/")) >= 2
    assert len(await sizes(store, LAYOUT.snapshots)) < 2 * COMPACTION // EVERY
    assert len(await sizes(store, LAYOUT.commits)) < 3 * COMPACTION
    assert (await fresh(store, clock).refresh()).messages == 2 * COMPACTION


async def test_a_snapshot_takes_over_no_chunk_that_is_not_there() -> None:
    """S2: its writer slept, the vacuum took its chunks for left-overs, and it died before it could withdraw it (S5)."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2, 3))
    await account.keep_snapshot()
    newest = await account.log.reader.newest_head()
    assert newest is not None and len(newest.chunks) > 2
    gone = LAYOUT.chunk(newest.chunks[0])
    await store.delete([gone])
    await account.subscribe("Elsewhere")
    before = {info.key async for info in store.list(LAYOUT.chunks)}
    await account.keep_snapshot()
    written = {info.key async for info in store.list(LAYOUT.chunks)} - before
    assert len(written) == 2, "the tree, and what was missing"
    reader = fresh(store, clock)
    assert (await reader.folder("INBOX")).exists == 3
    assert reader.log.reader.broken.damage is None
    await clock.advance(3 * GRACE)
    await reader.vacuum(GRACE)
    assert await verified(reader.log.reader) == []
