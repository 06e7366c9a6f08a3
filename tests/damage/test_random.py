"""Mailboxes of which objects are spoiled at random: whatever it is, it is said, nothing lies, and it can be mended."""

from __future__ import annotations

import random

import pytest

from merpati.clock import ManualClock
from merpati.errors import MerpatiError
from merpati.log.reading import GRACE
from merpati.mailbox.auditing import audited
from merpati.mailbox.rebuilding import rebuilt
from merpati.objects.memory import MemoryStore
from tests.damage.spoiling import OTHER, SPOILED, everything, left, lived, shape, spoil
from tests.mailbox.worlds import ACCOUNT, fresh, mail, messages


@pytest.mark.parametrize("seed", [*range(25), 263])
async def test_whatever_is_spoiled_it_is_named_and_what_is_left_is_true(seed: int) -> None:
    dice = random.Random(seed)
    clock = ManualClock()
    store = MemoryStore(clock)
    await lived(store, clock, OTHER, 8)
    expected = await shape(await lived(store, clock))
    ours = [key for key in await everything(store) if ACCOUNT in key]
    spoiled = dice.sample(ours, dice.randint(1, 4))
    for key in spoiled:
        await spoil(store, key, dice.choice([*SPOILED, "gone", "foreign"]))
    before = await everything(store)
    try:
        seen = await left(fresh(store, clock, 1))
        assert seen.bodies <= expected.bodies
    except MerpatiError as error:
        assert error.facts["rule"] and error.facts["key"]
    await audited(fresh(store, clock, 2))
    assert await everything(store) == before
    done = await rebuilt(fresh(store, clock, 3))
    now = await everything(store)
    assert {key: now[key] for key in before} == before
    after = await left(fresh(store, clock, 4))
    known = {name: {body: uid for uid, body, _ in rows} for name, rows in expected.folders.items()}
    for name, rows in after.folders.items():
        for uid, body, _ in rows:
            again = name not in known or body not in known[name]
            assert again or uid == known[name][body] or uid >= expected.identities[name][1]
    if done.exact and not done.lost:
        assert after.bodies == expected.bodies
    account = fresh(store, clock, 5)
    await account.append(messages("afterwards"))
    await clock.advance(GRACE + 1)
    await account.compact()
    assert mail("afterwards") in (await left(fresh(store, clock, 6))).bodies
