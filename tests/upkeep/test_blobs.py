"""The vacuum of large bodies: what nobody can have any more goes, what anybody can have stays, whatever goes on."""

from __future__ import annotations

from collections import Counter
from typing import get_args, get_type_hints

import msgspec
import pytest

from merpati.events import TOPICS, Dead, Local, Outbound, Received, longest_reference
from merpati.ids import AccountId, SeededDice, digest_of
from merpati.log.layout import log_of
from merpati.log.reading import GRACE
from merpati.log.travel import Travel
from merpati.log.vacuum import RETENTION
from merpati.mailbox import changes as changing
from merpati.mailbox.api import Append, Large
from merpati.mailbox.values import MailboxLimits
from merpati.mailbox.verbs.append import Prepared, append
from merpati.objects.keys import blob_key
from merpati.upkeep.blobs import BlobsVacuumed, BlobVacuum, LogUnread
from merpati.upkeep.deleting import purge_removed
from tests.mailbox.worlds import mail
from tests.upkeep.installation import ANN, BOB, DAY, HOUR, Installation, subjects
from tests.upkeep.stepping import SteppingStore

HORIZON = longest_reference() + GRACE
BODY = b"Subject: shared\r\n\r\n" + b"x" * 300_000


@pytest.fixture
def here() -> Installation:
    return Installation()


def vacuum_of(here: Installation, **how: float) -> BlobVacuum:
    return BlobVacuum(here.store, here.clock, SeededDice(77), **how)  # type: ignore[arg-type]


async def put(here: Installation, data: bytes = BODY, nonce: int = 1) -> Large:
    """A large body as ingest leaves it, for an event to name."""
    digest = digest_of(data)
    key = blob_key(digest, nonce.to_bytes(8, "big"))
    await here.store.put(key, data)
    return Large(key, digest, len(data))


async def deliver(here: Installation, id: AccountId, large: Large, cause: str = "") -> None:
    await here.mailboxes.account(id).append([Append("INBOX", large, cause=cause)])


async def expunge_all(here: Installation, id: AccountId) -> None:
    await here.mailboxes.account(id).expunge("INBOX", range(1, 1000), only_deleted=False)


async def upkeep(here: Installation) -> BlobsVacuumed:
    """A day's upkeep of every account, then of the large bodies."""
    for entry in await here.directory.accounts():
        account = here.mailboxes.account(entry.id)
        await account.compact()
        await account.reclaim()
        await account.vacuum()
    return await vacuum_of(here).run()


def test_the_horizon_is_the_longest_way_that_an_event_can_take_a_reference() -> None:
    for kinds in ((Received, Local, Dead), (Received, Outbound, Dead)):
        assert longest_reference() > sum(TOPICS[kind].keeps for kind in kinds)
    assert longest_reference([("30d", 30 * DAY)]) - longest_reference() == pytest.approx(30 * DAY - 120)


async def test_what_nobody_refers_to_goes_when_no_event_can_name_it_any_more(here: Installation) -> None:
    large = await put(here)
    await here.clock.advance(HORIZON - HOUR)
    assert await vacuum_of(here).run() == BlobsVacuumed(blobs=1)
    await here.clock.advance(2 * HOUR)
    assert await vacuum_of(here).run(dry_run=True) == BlobsVacuumed(1, 1, len(BODY), 0)
    assert await here.blobs() == [large.key]
    assert await vacuum_of(here).run() == BlobsVacuumed(1, 1, len(BODY), 0)
    assert await here.blobs() == [] and await vacuum_of(here).run() == BlobsVacuumed()


@pytest.mark.parametrize("written_down", [False, True])  # V6: then no commit in the window names it
async def test_a_message_keeps_its_body_and_so_does_its_past_for_the_window(
    here: Installation, written_down: bool
) -> None:
    ann = await here.add(ANN)
    await deliver(here, ann, await put(here))
    if written_down:
        await here.mailboxes.account(ann).keep_snapshot()
    await here.clock.advance(2 * HORIZON)
    assert (await upkeep(here)).removed == 0
    await expunge_all(here, ann)
    for _ in range(6):
        await here.clock.advance(DAY)
        assert (await upkeep(here)).removed == 0
    travel = Travel(here.process().account(ann).log.reader)
    past = await travel.state_at(await travel.number_at(here.clock.time() - RETENTION + DAY / 2))
    assert past.state.messages == 4
    for _ in range(3):
        await here.clock.advance(DAY)
        await upkeep(here)
    assert await here.blobs() == []


async def test_a_message_that_came_and_went_between_two_snapshots_is_had_in_the_window(
    here: Installation,
) -> None:
    ann = await here.add(ANN)
    large = await put(here)
    await here.clock.advance(HORIZON + 1)
    await here.mailboxes.account(ann).keep_snapshot()
    # written now, so that the reference is to the old object itself
    await here.mailboxes.account(ann).log.commit(raw_append(large))
    number = (await here.mailboxes.account(ann).log.read()).number
    await expunge_all(here, ann)
    await here.mailboxes.account(ann).compact()
    await here.clock.advance(3 * DAY)
    assert (await upkeep(here)).removed == 0
    past = await Travel(here.process().account(ann).log.reader).state_at(number)
    account = here.process().account(ann)
    (folder,) = [folder for folder in past.state.folders.values() if folder.name == "INBOX"]
    view = account.past_folder(folder, past.state)
    assert await account.body(view.body(view.exists - 1)) == BODY
    await here.clock.advance(RETENTION)
    assert (await upkeep(here)).removed == 1


def raw_append(large: Large):  # type: ignore[no-untyped-def]
    """An append as it was before anybody looked at a body's age."""
    body = changing.LargeBody(large.key, bytes.fromhex(large.digest), large.size)
    return append([Prepared("INBOX", b"", large.size, b"\0" * 12 + b"\x90", large=body)], 1.0, MailboxLimits())


async def test_a_body_that_two_accounts_share_outlives_the_one_and_goes_with_the_other(here: Installation) -> None:
    ann, bob = await here.add(ANN), await here.add(BOB)
    large = await put(here)
    await deliver(here, ann, large)
    await deliver(here, bob, large)
    await here.directory.remove_account(ANN, purge=True)
    await here.round()
    await here.clock.advance(HORIZON + 1)
    assert (await upkeep(here)).removed == 0
    assert (await subjects(here.process().account(bob)))[-1].startswith(b"Subject: shared")
    await here.directory.remove_account(BOB, purge=True)
    await purge_removed(here.directory, here.mailboxes, here.clock)
    assert (await vacuum_of(here).run()).removed == 1
    assert await here.keys(ann) == []


async def test_no_body_is_read_large_or_small(here: Installation) -> None:
    ann = await here.add(ANN)
    await deliver(here, ann, await put(here))
    await here.clock.advance(HORIZON + 1)
    for count in range(10):
        await here.mailboxes.account(ann).append([Append("INBOX", mail(count, 200_000))])
    await here.mailboxes.account(ann).keep_snapshot()
    read: Counter[str] = Counter()

    class Watched(SteppingStore):
        async def get(self, key: str) -> bytes:
            data = await super().get(key)
            read[key.partition("/")[0]] += len(data)
            return data

        async def get_range(self, key: str, start: int, end: int) -> bytes:
            read[key.partition("/")[0]] += end - start
            return await super().get_range(key, start, end)

    async def go_on(step: int) -> None: ...

    watched = Watched(here.store, go_on)
    assert (await BlobVacuum(watched, here.clock, SeededDice(3)).run()).logs == 3
    assert read["blobs"] == 0 and 0 < read["accounts"] < 600_000


async def test_a_compaction_that_moves_what_is_read_does_no_harm() -> None:
    at, steps = 1, 2
    while at <= steps:
        here = Installation()
        ann = await here.add(ANN, mails=2)
        await deliver(here, ann, await put(here))
        await here.clock.advance(HORIZON + 1)
        await here.mailboxes.account(ann).compact()
        await here.clock.advance(GRACE + 1)

        async def act(number: int, at: int = at, here: Installation = here, ann: AccountId = ann) -> None:
            if number == at:
                await here.mailboxes.account(ann).tidy(1)

        stepping = SteppingStore(here.store, act)
        assert (await BlobVacuum(stepping, here.clock, SeededDice(5)).run()).removed == 0
        at, steps = at + 1, stepping.steps
    assert steps > 10


# ---- nothing is removed on a guess


async def old_orphan(here: Installation) -> AccountId:
    """An account with a large body, truncated once, and a body that nobody refers to and that could go."""
    ann = await here.filled(ANN)
    await put(here, b"orphan" * 100_000)
    await here.clock.advance(HORIZON + 1)
    return ann


@pytest.mark.parametrize(
    "what", ["the newest snapshot", "a snapshot's chunks", "the pasts", "the last commit", "snapshots"]
)
async def test_if_a_log_cannot_be_read_nothing_goes_and_the_error_says_which(here: Installation, what: str) -> None:
    ann = await old_orphan(here)
    assert (await vacuum_of(here).run(dry_run=True)).removed == 1
    keys = await here.keys(ann)
    of = {kind: [key for key in keys if f"/{kind}/" in key] for kind in ("snap", "chunk", "past", "log")}
    junk, gone = {
        "the newest snapshot": (of["snap"][:1], []),
        "a snapshot's chunks": ([], of["chunk"]),
        "the pasts": (of["past"], []),
        "the last commit": (of["log"][-1:], []),
        "snapshots": ([], of["snap"]),
    }[what]
    for key in junk:
        await here.store.put(key, b"junk")
    await here.store.delete(gone)
    with pytest.raises(LogUnread) as caught:
        await vacuum_of(here, retention=2 * HORIZON).run()
    assert caught.value.facts["log"] == log_of(ann).prefix and caught.value.facts["reason"]
    assert len(await here.blobs()) == 2


async def test_a_log_of_a_kind_that_is_not_known_keeps_everything(here: Installation) -> None:
    await old_orphan(here)
    await here.store.put(f"{log_of(AccountId('z' * 26)).commit(2)}", b"MERPATI\nZ" + bytes(60))
    with pytest.raises(LogUnread):
        await vacuum_of(here).run()
    assert len(await here.blobs()) == 2


async def test_a_lost_directory_deletes_no_mail(here: Installation) -> None:
    ann = await old_orphan(here)
    ours = log_of(ann).prefix
    await here.store.delete([i.key async for i in here.store.list("accounts/") if not i.key.startswith(ours)])
    assert await here.new_directory().domains() == []
    assert (await vacuum_of(here).run()).removed == 1
    assert len(await subjects(here.process().account(ann))) == 15


def test_every_change_that_can_name_a_large_body_is_looked_at() -> None:
    """A new kind of change that does must be told to `marking`."""

    def names_one(kind: object, seen: frozenset[object] = frozenset()) -> bool:
        if kind is changing.LargeBody:
            return True
        if kind in seen:
            return False
        inner = get_type_hints(kind).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()
        return any(names_one(each, seen | {kind}) for each in (*inner, *get_args(kind)))

    kinds = {kind for kind in get_args(changing.Change) if names_one(kind)}
    assert kinds == {changing.Added, changing.Copied}
