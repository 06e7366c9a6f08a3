"""Each kind of object, damaged in each way: what stays readable, what verify says, and what rebuild gets back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from merpati.clock import ManualClock
from merpati.log.reading import GRACE
from merpati.log.vacuum import Vacuum
from merpati.mailbox.auditing import audited
from merpati.mailbox.rebuilding import rebuilt
from merpati.objects.memory import MemoryStore
from tests.damage.parts import chunk_of
from tests.damage.spoiling import OTHER, SPOILED, Shape, everything, keys, left, lived, shape, spoil
from tests.mailbox.worlds import fresh, messages

HOWS = [*SPOILED, "gone", "foreign"]


@dataclass(frozen=True, slots=True)
class World:
    clock: ManualClock
    store: MemoryStore
    expected: Shape


async def world() -> World:
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock, OTHER, 8)
    await lived(store, clock)
    return World(clock, store, await shape(fresh(store, clock)))


async def key_of(store: MemoryStore, which: str) -> str:
    if which in ("columns", "flags", "summaries", "vanished", "tree", "larges"):
        return await chunk_of(store, which)
    if which == "blob":
        blobs = [info.key async for info in store.list("blobs/")]
        (key,) = [key for key in blobs if b"blarge" in await store.get(key)]  # two accounts have one each
        return key
    listed = await keys(store, which.partition(" ")[0])
    return listed[{"first": 0, "second": 1, "middle": 3, "last": -1}.get(which.partition(" ")[2], 0)]


READABLE = ["snap first", "columns", "flags", "summaries", "vanished", "tree", "larges", "past", "floor"]
"""What can be damaged and everything is still there to read: it follows from the rest."""


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("which", READABLE)
async def test_what_follows_from_the_log_is_made_up_for_and_made_anew(which: str, how: str) -> None:
    at = await world()
    key = await key_of(at.store, which)
    await spoil(at.store, key, how)
    before = await everything(at.store)
    assert await shape(fresh(at.store, at.clock)) == at.expected
    found = await audited(fresh(at.store, at.clock, 3))
    assert await everything(at.store) == before, "reading writes nothing"
    # a floor of the same number says the same, and a snapshot that is gone may never have been
    same = (which, how) in (("floor", "gone"), ("floor", "foreign"), ("snap first", "gone"))
    assert [each.key for each in found.wrong if each.key == key] or same, found.wrong
    assert found.messages == sum(map(len, at.expected.folders.values()))
    done = await rebuilt(fresh(at.store, at.clock, 4))
    assert done.exact
    assert {name: data for name, data in (await everything(at.store)).items() if name in before} == before
    assert await shape(fresh(at.store, at.clock, 5)) == at.expected
    await writes_on(at)


async def writes_on(at: World) -> None:
    """The mailbox takes mail, and when the damaged objects have been cleaned away nothing is wrong with it."""
    account = fresh(at.store, at.clock, 6)
    await account.append(messages("afterwards"))
    for seed in (7, 8, 9):
        account = fresh(at.store, at.clock, seed)
        await account.compact()
        await at.clock.advance(8 * 86_400.0)
        await account.keep_snapshot()
    await at.clock.advance(GRACE + 1)
    await account.append(messages("later"))
    await account.keep_snapshot()
    await at.clock.advance(GRACE + 1)
    await Vacuum(account.log.reader, grace=GRACE, retention=GRACE).run()
    left = await audited(fresh(at.store, at.clock, 10))
    assert left.wrong == ()


LOST = ["pack", "blob", "log first", "log middle", "log last"]
"""What is in one place only; the first commit that is there has been taken into a snapshot, but for its message."""
BYTES_LEFT = ("a bit of the kind", "a bit before the end", "a bit of the digest", "cut by one byte")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("which", LOST)
async def test_what_is_lost_is_named_and_everything_else_is_kept(which: str, how: str) -> None:
    at = await world()
    key = await key_of(at.store, which)
    if which == "blob" and how == "foreign":
        return
    await spoil(at.store, key, how)
    before = await everything(at.store)
    found = await audited(fresh(at.store, at.clock, 3))
    assert await everything(at.store) == before, "reading writes nothing"
    assert [each for each in found.wrong if each.key == key and each.rule] or (which, how) == ("log last", "gone")
    done = await rebuilt(fresh(at.store, at.clock, 4))
    assert {name: data for name, data in (await everything(at.store)).items() if name in before} == before
    after = await left(fresh(at.store, at.clock, 5))
    assert after.bodies <= at.expected.bodies
    gone = at.expected.bodies - after.bodies
    if which == "log middle":
        assert not done.exact and len(gone) <= 1 and done.lost, "the message that came with it, and no other"
    elif which == "log last":
        assert not gone
    elif which == "log first" and how in BYTES_LEFT:
        assert done.exact and not gone, "the bytes of its message are where they were (R9)"
    else:
        assert done.exact and (done.lost or which == "blob"), "large messages are not read by a rebuild"
    uids = {name: [uid for uid, _, _ in rows] for name, rows in after.folders.items()}
    known = {name: {body: uid for uid, body, _ in rows} for name, rows in at.expected.folders.items()}
    for name, rows in after.folders.items():
        assert uids[name] == sorted(set(uids[name]))
        for uid, body, _ in rows:
            assert uid == known[name][body] or uid >= at.expected.identities[name][1], "no UID means another message"
        assert after.identities[name][0] == at.expected.identities[name][0]
        assert after.identities[name][1] >= at.expected.identities[name][1] or (which, how) == ("log last", "gone")
    account = fresh(at.store, at.clock, 6)
    await account.append(messages("afterwards"))
    assert (await left(fresh(at.store, at.clock, 7))).folders["INBOX"][-1][1] == (await left(account)).folders["INBOX"][
        -1
    ][1]
