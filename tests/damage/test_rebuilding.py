"""Mailboxes of which a whole kind of objects is gone, or a part for which nothing makes up; and what rebuild makes."""

from __future__ import annotations

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.api import Damaged, NewerFormat
from merpati.log.reading import GRACE
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.auditing import audited
from merpati.mailbox.checking import differences
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.rebuilding import rebuilt
from merpati.mailbox.restoring import restored
from merpati.mailbox.salvaging import FOUND, SPARE_UIDS
from merpati.mailbox.state import MailState
from merpati.objects.memory import MemoryStore
from tests.damage.parts import chunk_of
from tests.damage.spoiling import Shape, everything, keys, left, lived, shape, spoil
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages

DAY = 86_400.0


async def state_of(account: MailAccount) -> MailState:
    return (await account.log.read()).state


async def without(store: MemoryStore, *kinds: str) -> None:
    for kind in kinds:
        await store.delete(await keys(store, kind))


async def old() -> tuple[MemoryStore, ManualClock, Shape]:
    """A mailbox whose beginning is out of the window: nobody has the heads of its first commits any more."""
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await lived(store, clock)
    for number in range(3):
        await account.compact()
        await clock.advance(8 * DAY)
        await account.append(messages(f"b later {number}", folder="Archive"))
        await account.keep_snapshot()
        await account.reclaim(DAY)
        await account.vacuum(DAY)
    account = fresh(store, clock)
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        await view.packed(range(view.exists))
    return store, clock, await shape(account)


@pytest.mark.parametrize("kinds", [("snap", "chunk"), ("snap",), ("chunk",)])
async def test_without_snapshots_and_columns_the_log_gives_the_same_mailbox(kinds: tuple[str, ...]) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    before = await state_of(await lived(store, clock))
    await without(store, *kinds)
    assert differences(before, await state_of(fresh(store, clock))) == [], "and it is read before it is rebuilt"
    done = await rebuilt(fresh(store, clock, 2))
    assert (done.exact, done.lost, done.messages) == (True, (), before.messages)
    assert [what for what in differences(before, await state_of(fresh(store, clock, 3))) if what != "number"] == []
    assert await keys(store, "snap") and await keys(store, "chunk")
    assert (await audited(fresh(store, clock, 4))).messages == before.messages
    await clock.advance(GRACE + 1)
    await fresh(store, clock, 5).append(messages("next"))


async def test_a_truncated_mailbox_without_snapshots_never_looks_like_a_new_one() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock)
    await without(store, "snap", "past")
    before = await everything(store)
    account = fresh(store, clock)
    for ask in (account.refresh, lambda: account.append(messages("x")), account.compact, account.reclaim):
        with pytest.raises(Damaged) as refused:
            await ask()
        assert (refused.value.facts["key"], refused.value.facts["rule"]) == (LAYOUT.snapshots, "R1")
    assert await everything(store) == before


async def test_of_a_mailbox_of_which_only_packs_and_the_last_commits_are_left_all_mail_is_found() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    expected = await shape(await lived(store, clock))
    await without(store, "snap", "chunk", "past")
    done = await rebuilt(fresh(store, clock, 2))
    assert not done.exact and "commit 2 to" in done.lost[0]
    after = await shape(fresh(store, clock, 3))
    assert expected.bodies - after.bodies <= {mail("blarge", 300_000)}, "where a large one is, the lost commits knew"
    assert {body for _, body, _ in after.folders[FOUND]} >= {mail("b0"), mail("b7")}
    assert [body for _, body, _ in after.folders["INBOX"]] == [mail(f"btail {number}") for number in range(5)]
    assert (await audited(fresh(store, clock, 4))).wrong == ()
    await fresh(store, clock, 5).append(messages("next"))


@pytest.mark.parametrize("which", ["columns", "flags"])
async def test_a_folder_for_which_nothing_makes_up_is_shut_and_the_others_live_on(which: str) -> None:
    store, clock, expected = await old()
    key = await chunk_of(store, which)
    await spoil(store, key, "a bit before the end")
    account = fresh(store, clock, 2)
    await account.append(messages("delivered", folder="Archive"))
    before = await everything(store)
    view = await account.refresh()
    assert view.folders["INBOX"].exists == len(expected.folders["INBOX"]), "its head is there"
    for ask in (
        lambda: account.folder("INBOX"), lambda: account.append(messages("x")), lambda: account.delete("INBOX"),
        lambda: account.store("INBOX", [1], ["\\Seen"]), lambda: account.copy("INBOX", [1], "Archive"),
        account.keep_snapshot, account.compact, account.reclaim, account.vacuum,
    ):  # fmt: skip
        with pytest.raises(Damaged) as refused:
            await ask()
        assert (refused.value.facts["key"], refused.value.facts["rule"]) == (key, "S3")
    assert await everything(store) == before, "nothing was written and nothing removed"
    other = fresh(store, clock, 3)
    there = (await left(other, but="INBOX")).folders
    assert there.pop("Archive")[-1][1] == mail("delivered")
    assert there == {name: rows for name, rows in expected.folders.items() if name not in ("INBOX", "Archive")}
    found = await audited(other)
    assert [(each.key, each.lost) for each in found.wrong if each.key == key and "INBOX" in each.lost]
    done = await rebuilt(fresh(store, clock, 4))
    assert not done.exact and any("INBOX" in each for each in done.lost)
    after = await shape(fresh(store, clock, 5))
    assert after.bodies == expected.bodies | {mail("delivered")}
    if which == "flags":
        assert [row[:2] for row in after.folders["INBOX"]] == [row[:2] for row in expected.folders["INBOX"]]
        assert not any(flags for _, _, flags in after.folders["INBOX"])
    else:
        assert after.folders["INBOX"][0][0] >= expected.identities["INBOX"][1], "as new messages"
    assert await shape(account) == after, "who had the folder shut opens it by reading on"
    await account.append(messages("again"))
    assert {each.key for each in (await audited(fresh(store, clock, 6))).wrong} <= {key, LAYOUT.snapshot(0), *before}


@pytest.mark.parametrize("which", ["tree", "larges"])
async def test_an_account_of_which_a_shared_part_is_lost_is_read_and_not_written(which: str) -> None:
    store, clock, expected = await old()
    key = await chunk_of(store, which)
    await spoil(store, key, "gone")
    account = fresh(store, clock, 2)
    assert (await left(account)).bodies >= expected.bodies - {mail("blarge", 300_000)}
    for ask in (lambda: account.append(messages("x")), lambda: account.create("New"), account.reclaim, account.vacuum):
        with pytest.raises(Damaged) as refused:
            await ask()
        assert refused.value.facts["key"] == key
    done = await rebuilt(account)
    assert not done.exact and done.lost
    await account.append(messages("x"))
    assert (await left(fresh(store, clock, 3))).folders["INBOX"][-1][1] == mail("x")
    assert (await account.create("New")) not in {1, 2, 3, 4, 5, 6, 7, 8}


async def test_behind_a_lost_commit_no_uid_is_given_twice_and_whoever_was_away_is_told() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.append(messages("lost"))
    lost = account.view().number
    await account.append(messages("behind", flags=("\\Flagged",)))
    await account.store("INBOX", [1], ["\\Answered"])
    await account.create("Made")
    await account.append(messages("in it", folder="Made"))
    seen = (await account.folder("INBOX")).info
    await store.delete([LAYOUT.commit(lost)])
    other = fresh(store, clock, 2)
    assert (await shape(other)).folders["INBOX"] == [(1, mail(1), ()), (2, mail(2), ())]
    with pytest.raises(Damaged) as refused:
        await other.append(messages("x"))
    assert (refused.value.facts["key"], refused.value.facts["rule"]) == (LAYOUT.commit(lost), "R7")
    with pytest.raises(Damaged):
        await other.compact()
    done = await rebuilt(fresh(store, clock, 3))
    assert done.lost[0] == f"what was done by commit {lost}"
    for holder in (other, account, fresh(store, clock, 4)):
        await holder.refresh()
        view = await holder.folder("INBOX")
        rows = [(view.uids[row], await holder.body(view.body(row))) for row in range(view.exists)]
        assert [body for _, body in rows] == [mail(1), mail(2), mail("behind")]
        assert [uid for uid, _ in rows[:2]] == [1, 2] and rows[2][0] >= seen.uidnext
        assert view.info.uidvalidity == seen.uidvalidity and view.info.uidnext > SPARE_UIDS
        assert view.flag_names(view.flags[0]) == ("\\Answered",), "flags of what was there before are kept"
        assert view.changed_since(seen.highestmodseq) == [0, 1, 2], "every flag is told anew"
        assert (3, rows[2][0] - 1) in view.vanished_since(seen.highestmodseq)
        found = await holder.folder(FOUND)
        assert await holder.body(found.body(0)) == mail("in it")
    await other.append(messages("x"))
    await clock.advance(GRACE + 1)
    await other.compact()
    await clock.advance(GRACE + 1)
    await other.compact()
    assert (await audited(fresh(store, clock, 5))).wrong == ()
    assert await keys(store, "log") == [], "the compaction goes on behind it"


async def test_a_server_that_had_the_mailbox_open_goes_on_after_a_rebuild() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    serving: AllMailboxes = mailboxes(store, clock, SeededDice(5))
    account = await lived(store, clock)
    number = account.view().number
    await spoil(store, LAYOUT.commit(number - 2), "emptied")
    served = await serving.open(ACCOUNT)
    with pytest.raises(Damaged):
        await served.append(messages("x"))
    await rebuilt(fresh(store, clock, 2))
    await served.append(messages("x"))
    await account.append(messages("y"))
    inbox = (await shape(fresh(store, clock, 3))).folders["INBOX"]
    assert [body for _, body, _ in inbox][-2:] == [mail("x"), mail("y")]


async def test_two_rebuilds_at_once_and_one_that_died_are_as_good_as_one() -> None:
    import asyncio

    clock = ManualClock()
    store = MemoryStore(clock)
    account = await lived(store, clock)
    lost = account.view().number - 2
    await spoil(store, LAYOUT.commit(lost), "cut by one byte")

    class Dying(MemoryStore):
        async def create(self, key: str, data: bytes) -> None:
            if "/snap/" in key:
                raise RuntimeError("killed")
            await store.create(key, data)

    dying = Dying(clock)
    dying._objects, dying._order = store._objects, store._order
    with pytest.raises(RuntimeError):
        await rebuilt(fresh(dying, clock, 9))
    with pytest.raises(Damaged):
        await fresh(store, clock, 10).append(messages("x"))
    done = await asyncio.gather(rebuilt(fresh(store, clock, 2)), rebuilt(fresh(store, clock, 3)))
    assert all(each.messages == done[0].messages for each in done)
    await fresh(store, clock, 4).append(messages("x"))
    bodies = [body for _, body, _ in (await shape(fresh(store, clock, 5))).folders["INBOX"]]
    assert len(bodies) == len(set(bodies)) and bodies[-1] == mail("x")


@pytest.mark.parametrize("kind", ["log", "snap", "pack", "past"])
async def test_a_newer_version_is_refused_with_the_advice_to_upgrade_and_nothing_is_written(kind: str) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock)
    key = (await keys(store, kind))[-1 if kind == "log" else 0]
    data = bytearray(await store.get(key))
    data[9] += 1
    await store.put(key, bytes(data))
    before = await everything(store)
    found = await audited(fresh(store, clock, 2))
    assert (key, "B3") in {(each.key, each.rule) for each in found.wrong}
    with pytest.raises(NewerFormat, match="upgrade"):
        await rebuilt(fresh(store, clock, 3))
    if kind in ("log", "snap"):
        with pytest.raises(NewerFormat):
            await fresh(store, clock, 4).append(messages("x"))
    assert await everything(store) == before


async def test_foreign_keys_are_named_and_do_no_harm() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    expected = await shape(await lived(store, clock))
    strange = [
        f"{LAYOUT.prefix}/{name}" for name in ("log/abc", "log/0", "snap/zzz", "floor/0x", "other/1", "chunk/a/b")
    ]
    for key in strange:
        await store.put(key, b"?")
    account = fresh(store, clock, 2)
    assert await shape(account) == expected
    await account.append(messages("x"))
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    await account.vacuum(GRACE)
    found = (await audited(fresh(store, clock, 3))).wrong
    assert {each.key for each in found if each.rule == "K"} >= set(strange) - {f"{LAYOUT.prefix}/chunk/a/b"}
    assert {each.key for each in found} <= set(strange)


async def test_a_state_is_restored_around_what_is_damaged_of_it() -> None:
    store, clock, expected = await old()
    number = fresh(store, clock).log.tip or await fresh(store, clock, 2).log.read()
    account = fresh(store, clock, 3)
    await account.expunge("Archive", only_deleted=False)
    await account.keep_snapshot()
    key = await chunk_of(store, "columns")
    await spoil(store, key, "gone")
    other = fresh(store, clock, 4)
    past = await Travel(other.log.reader).state_at(number.number)
    done = await restored(other, past.state)
    assert done.shut == () or done.shut == ("INBOX",)
    assert {body for _, body, _ in (await left(other, but="INBOX")).folders["Archive"]} == {
        body for _, body, _ in expected.folders["Archive"]
    }
    assert done.lost
