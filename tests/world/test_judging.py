"""The judge is judged: each kind of error is put into a small world that is sound, and must be noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.log.api import Decision
from merpati.log.commits import ID
from merpati.log.floor import raise_floor
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.changes import Change, Made, Removed
from merpati.mailbox.mailboxes import AllMailboxes
from tests.world.judging import judged
from tests.world.letters import TWINS, letter
from tests.world.lives import Lives
from tests.world.missing import Missing
from tests.world.nodes import ACCOUNT
from tests.world.told import Told, _judge_folder
from tests.world.truth import LAYOUT, History, Truth
from tests.world.virtual import VirtualClock, run_virtually


@dataclass(frozen=True, slots=True)
class Small:
    """A world of one process, in which nothing is wrong yet: messages 1 to 4, and a flag."""

    clock: VirtualClock
    truth: Truth
    told: Told
    account: MailAccount

    async def change(self, *changes: Change) -> None:
        await self.account.log.commit(lambda state: Decision(None, changes))


Error = Callable[[Small], Awaitable[None]]


async def small() -> Small:
    clock = VirtualClock()
    truth = Truth(clock)
    told = Told(History(truth))
    account = AllMailboxes(truth, clock=clock, dice=SeededDice(1)).account(ACCOUNT)
    world = Small(clock, truth, told, account)
    for number in (1, 2, 3, 4):
        (put,) = await account.append([Append("INBOX", letter(number), cause=f"cause {number}")])
        told.sent.add(number)
        told.acked.add(number)
        told.placed.append((number, put.folder, put.uid))
    done = await account.store("INBOX", [2], ["$k1"])
    told.flagged.append((int(done.modseq), 1, 2, "$k1"))
    told.check_state(account)
    return world


def wrong_with(error: Error | None) -> list[str]:
    async def run() -> list[str]:
        world = await small()
        if error is not None:
            await error(world)
        await judged(world.truth, world.clock, world.told)
        return world.told.wrong

    return run_virtually(run())


def test_a_sound_world_is_not_found_wrong() -> None:
    assert wrong_with(None) == []


async def doubled_across_folders(world: Small) -> None:
    await world.account.copy("INBOX", [1], "Archive")


async def doubled_in_its_folder(world: Small) -> None:
    await world.account.append([Append("INBOX", letter(2))])


async def lost(world: Small) -> None:
    await world.account.expunge("INBOX", [4], only_deleted=False)


async def an_append_too_few(world: Small) -> None:
    world.told.tried[TWINS[0]], world.told.appended[TWINS[0]] = 1, 1


async def another_message(world: Small) -> None:
    await world.account.expunge("INBOX", [2], only_deleted=False)
    await world.account.append([Append("INBOX", letter(2).replace(b"body", b"Body"))])


async def not_where_it_was_said_to_be(world: Small) -> None:
    world.told.placed[-1] = (4, 1, 3)


async def a_flag_that_was_lost(world: Small) -> None:
    world.told.flagged.append((world.told.flagged[0][0], 1, 4, "$k1"))


async def expunged_and_there(world: Small) -> None:
    world.told.expunged.add((1, 3))


async def a_copy_of_another(world: Small) -> None:
    done = await world.account.copy("INBOX", [1], "Drafts")
    world.told.copied.append((1, 2, done.folder, done.target[0]))


async def a_uid_used_again_in_a_folder_made_anew(world: Small) -> None:
    await world.change(Made("x", 5))
    await world.account.copy("INBOX", [1], "x")
    await world.change(Removed(world.account.view().folders["x"].id), Made("x", 5))
    await world.account.copy("INBOX", [2], "x")


async def an_acknowledged_commit_that_is_another(world: Small) -> None:
    data, _ = world.truth.commits[2]
    world.told.believe(3, data)


async def an_acknowledged_commit_that_is_nowhere(world: Small) -> None:
    world.told.believed.append((99, bytes(ID)))


async def an_older_state(world: Small) -> None:
    tip = await world.account.log.read()
    world.told.check_state(world.account, tip.number + 1)


async def a_read_that_is_not_strong(world: Small) -> None:
    """Another process was told that its commit is durable, and who begins to read now does not see it."""
    reader = AllMailboxes(world.truth, clock=world.clock, dice=SeededDice(2)).account(ACCOUNT)
    tip = await reader.log.read()
    await world.account.append([Append("Drafts", letter(5))])
    world.told.believe(tip.number + 1, world.truth.commits[tip.number + 1][0])

    async def from_memory() -> object:
        return tip

    reader.log.read = from_memory  # type: ignore[method-assign, assignment]
    await Lives(world.clock, world.told, Missing(), 0.0)._look(reader, SeededDice(3))


async def a_state_that_the_log_does_not_lead_to(world: Small) -> None:
    opened = world.account.log._opened
    assert opened is not None
    state = replace(opened.tip.state, subscriptions=frozenset({"nothing"}))
    world.account.log._opened = type(opened)(type(opened.tip)(state, opened.tip.number, opened.tip.id), opened.known)
    world.told.check_state(world.account)


async def a_snapshot_of_another_state(world: Small) -> None:
    await a_state_that_the_log_does_not_lead_to(world)
    world.told.wrong.clear()
    await world.account.keep_snapshot()


async def a_commit_that_has_gone(world: Small) -> None:
    await world.truth.delete([LAYOUT.commit(3)])


async def the_last_commit_has_gone(world: Small) -> None:
    await world.truth.delete([LAYOUT.commit(max(world.truth.commits))])


async def an_object_that_is_left_over(world: Small) -> None:
    await world.truth.put(f"{LAYOUT.prefix}/else/x", b"x")


async def a_large_body_that_is_left_over(world: Small) -> None:
    await world.truth.put("blobs/x", b"x")
    await world.clock.sleep(GRACE)
    world.truth.delete = _deaf  # type: ignore[method-assign]


async def a_large_body_that_has_gone(world: Small) -> None:
    large = await world.account.put_large(_pieces(letter(7)))
    await world.account.append([Append("Drafts", large)])
    await world.truth.delete([large.key])


async def a_floor_above_all(world: Small) -> None:
    await raise_floor(world.truth, LAYOUT, 50)


async def a_pack_that_has_gone(world: Small) -> None:
    await world.account.compact()
    await world.clock.sleep(2 * GRACE)
    await world.account.compact()
    await world.truth.delete([info.key async for info in world.truth.list(LAYOUT.packs)])


async def _deaf(keys: object) -> None:
    """Nothing is ever removed."""


ERRORS = [
    (doubled_across_folders, "V1: message 1 is there 2 times"),
    (doubled_in_its_folder, "V1: message 2 is there 2 times"),
    (lost, "V1: message 4 is there 0 times"),
    (an_append_too_few, f"V1: message {TWINS[0]} is there 0 times"),
    (another_message, "V2"),
    (not_where_it_was_said_to_be, "V5: message 4 was never UID 3"),
    (a_flag_that_was_lost, "V5: $k1 of UID 4"),
    (expunged_and_there, "V5: UID 3 of folder 1 was expunged"),
    (a_copy_of_another, "V5: UID 1 of folder 2 is no copy"),
    (a_uid_used_again_in_a_folder_made_anew, "V3: UID 1 of x was used again"),
    (an_acknowledged_commit_that_is_another, "V5: commit 3 was acknowledged"),
    (an_acknowledged_commit_that_is_nowhere, "V5: commit 99 was acknowledged"),
    (an_older_state, "V4"),
    (a_read_that_is_not_strong, "V4"),
    (a_state_that_the_log_does_not_lead_to, "V6: two states"),
    (a_snapshot_of_another_state, "V6"),
    (a_commit_that_has_gone, "V2"),
    (the_last_commit_has_gone, "V2"),
    (an_object_that_is_left_over, "V7"),
    (a_large_body_that_is_left_over, "V7: blobs/x is needed by nobody"),
    (a_large_body_that_has_gone, "V2"),
    (a_floor_above_all, "V2"),
    (a_pack_that_has_gone, "V2"),
]


@pytest.mark.parametrize(("error", "told"), ERRORS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_judge_notices(error: Error, told: str) -> None:
    assert [line for line in wrong_with(error) if line.startswith(told)]


async def test_the_judge_notices_numbers_that_fall() -> None:
    """No fold lets them, so these are states that nobody can have."""
    told = Told(History(Truth(ManualClock())))
    account = AllMailboxes(Truth(ManualClock()), clock=ManualClock(), dice=SeededDice(1)).account(ACCOUNT)
    await account.append([Append("INBOX", letter(1))])
    tip = await account.log.read()
    folder = tip.state.folders[1]
    told.history.messages[1, 1] = (2, 17)
    for wrong in (replace(folder, modseq=1), replace(folder, uidnext=1), replace(folder, uidvalidity=1)):
        _judge_folder(told, folder, wrong, 3)
    assert [line[:2] for line in told.wrong].count("V4") == 1
    assert any("fell" in line for line in told.wrong) and any("do not rise" in line for line in told.wrong)
    assert any("was used again" in line for line in told.wrong)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
