"""Damage that is gone around is told all the same: once an object, to the log of the process and to its metrics."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.damages import MOST, Damages
from merpati.mailbox.api import BodyMissing
from merpati.objects.memory import MemoryStore
from merpati.telemetry import Metrics
from tests.damage.parts import chunk_of
from tests.damage.spoiling import keys, lived, spoil
from tests.mailbox.worlds import ACCOUNT, LAYOUT, mailboxes


def told_by(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("merpati_damaged_objects_total", {"log": "mailbox"})


@pytest.mark.parametrize("which", ["snap", "columns", "log"])
async def test_whoever_opens_a_mailbox_around_damage_says_so_once(which: str) -> None:
    clock, metrics = ManualClock(), Metrics()
    store = MemoryStore(clock)
    await lived(store, clock)
    places = {"snap": 0, "log": -1}
    key = await chunk_of(store, which) if which == "columns" else (await keys(store, which))[places[which]]
    await spoil(store, key, "cut in the middle")
    boxes = mailboxes(store, clock, SeededDice(3), metrics=metrics)
    with capture_logs() as lines:
        for _ in range(3):
            await boxes.open(ACCOUNT)
    (line,) = [line for line in lines if line["event"] == "damage"]
    assert (line["log"], line["key"], line["log_level"]) == (LAYOUT.prefix, key, "warning")
    assert line["rule"] and told_by(metrics) == 1


async def test_a_message_that_is_lost_is_told_of_once_however_often_it_is_asked_for() -> None:
    clock, metrics = ManualClock(), Metrics()
    store = MemoryStore(clock)
    await lived(store, clock)
    await spoil(store, (await keys(store, "pack"))[0], "gone")
    account = await mailboxes(store, clock, SeededDice(3), metrics=metrics).open(ACCOUNT)
    view = await account.folder("INBOX")
    for _ in range(3):
        with pytest.raises(BodyMissing):
            await account.body(view.body(0))
    assert told_by(metrics) == 1


async def test_a_sound_mailbox_has_nothing_to_say_and_its_size_is_known() -> None:
    clock, metrics = ManualClock(), Metrics()
    store = MemoryStore(clock)
    await lived(store, clock)
    boxes = mailboxes(store, clock, SeededDice(3), metrics=metrics)
    account = await boxes.open(ACCOUNT)
    await account.append([])
    assert not told_by(metrics)
    value = metrics.registry.get_sample_value
    assert value("merpati_mailboxes") == 1 and value("merpati_mailbox_memory_bytes") == account.weight
    assert value("merpati_pushes_waiting") == 0


def test_a_log_full_of_damage_does_not_fill_ours() -> None:
    metrics = Metrics()
    damages = Damages("mailbox", LAYOUT.prefix, metrics)
    with capture_logs() as lines:
        for number in range(3 * MOST):
            damages.met(BodyMissing("the message is missing in the store", key=str(number), rule="B2"))
    assert len(lines) == MOST and told_by(metrics) == MOST
