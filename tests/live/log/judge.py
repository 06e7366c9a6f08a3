"""What is held against a mailbox at the end: the raw log, the ledgers of its writers, and a node that starts anew.

Called by the tests.  Says what is wrong in words; nothing is an answer too.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping

from merpati.clock import SystemClock
from merpati.ids import AccountId, SystemDice
from merpati.log.verifying import verified
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.open import open_store
from tests.live.log.ledger import Ledger, read_ledger
from tests.live.log.raw import FIRST, RawLog
from tests.live.log.writers import TOTAL, letter, own


def ledgers(folder: pathlib.Path) -> dict[str, Ledger]:
    """By the names of their writers."""
    return {path.stem: read_ledger(path) for path in sorted(folder.glob("*.ledger"))}


def wrong_in_log(log: RawLog, told: Mapping[str, Ledger]) -> list[str]:
    """Whether the log says what its writers were told: as far back as it goes."""
    return [*log.wrong, *_counted_wrongly(log), *_not_once(log, told)]


def _increments(log: RawLog) -> Iterator[tuple[int, dict[str, int]]]:
    """Commit number, and what each increment made of the counts."""
    for commit in log.commits:
        for change in commit.changes:
            if change[0] == "m":
                yield commit.number, {name: int(value) for name, value in change[2]}


def _counted_wrongly(log: RawLog) -> Iterator[str]:
    """An update that was lost shows: two increments that make the same of a count."""
    known: dict[str, int] = {}
    for number, raised in _increments(log):
        for name, value in raised.items():
            before = known.get(name, 0 if log.first == FIRST else value - 1)
            if value != before + 1:
                yield f"commit {number} makes {value} of {name}, which was {before}"
            known[name] = value


def _not_once(log: RawLog, told: Mapping[str, Ledger]) -> Iterator[str]:
    """Each acknowledged operation once, each other one at most once, and none that nobody tried."""
    if log.first != FIRST:
        return
    counts = Counter((name, value) for _, raised in _increments(log) for name, value in raised.items())
    causes = Counter(row[6] for commit in log.commits for change in commit.changes if change[0] == "a"
                     for row in change[2])  # fmt: skip
    doubled = [cause for cause, count in causes.items() if count > 1]
    if doubled or len(causes) < sum(len(ledger.appended) for ledger in told.values()):
        yield f"{len(doubled)} causes stand twice, {len(causes)} at all"
    for name, ledger in told.items():
        for value in ledger.counted:
            if (times := counts[own(name), value]) != 1:
                yield f"{name} counted {value}, which stands there {times} times"
        made = sum(count for (key, _), count in counts.items() if key == own(name))
        if not len(ledger.counted) <= made <= ledger.counts:
            yield f"{name} has {made} increments, of {len(ledger.counted)} acknowledged and {ledger.counts} tried"


async def wrong_in_mailbox(url: str, data: pathlib.Path, who: AccountId, told: Mapping[str, Ledger]) -> list[str]:
    """Whether a node that knows nothing shows what was promised: every message once and whole, every count."""
    clock, dice = SystemClock(), SystemDice()
    store = open_store(url, data=data, clock=clock, dice=dice)
    boxes = AllMailboxes(store, clock=clock, dice=dice)
    try:
        account = await boxes.open(who)
        wrong = [str(each) for each in await verified(account.log.reader)]
        view = await account.folder("INBOX")
        if list(view.uids) != sorted(set(view.uids)) or view.info.uidnext <= max(view.uids, default=0):
            wrong.append("V3: UIDs do not rise")
        found: dict[bytes, list[int]] = {}
        for row in range(view.exists):
            found.setdefault(await account.body(view.body(row)), []).append(view.uids[row])
        wrong += _messages_wrong(found, told)
        annotated = account.view().metadata("")
        wrong += _totals_wrong({name: int(value) for name, value in annotated.items()}, told)
        return wrong
    finally:
        await boxes.close()
        await store.close()


def _messages_wrong(found: dict[bytes, list[int]], told: Mapping[str, Ledger]) -> Iterator[str]:
    for name, ledger in told.items():
        for number in ledger.appends:
            uids = found.pop(letter(name, number), [])
            promised = ledger.appended.get(number)
            if (promised is not None and uids != [promised]) or len(uids) > 1:
                yield f"V1: message {number} of {name}, promised as UID {promised}, is {uids}"
    for body, uids in found.items():
        yield f"V2: UID {uids} is a message that nobody sent: {body[:60]!r}"


def _totals_wrong(counts: Mapping[str, int], told: Mapping[str, Ledger]) -> Iterator[str]:
    made = {name: counts.get(own(name), 0) for name in told}
    if counts.get(TOTAL, 0) != sum(made.values()):
        yield f"an increment was lost: {counts.get(TOTAL, 0)} in all, {sum(made.values())} by the writers' own counts"
    for name, ledger in told.items():
        # of what was acknowledged each is another, and what was not may have been made
        if len(set(ledger.counted)) != len(ledger.counted) or not len(ledger.counted) <= made[name] <= ledger.counts:
            yield f"V5: {name} counted to {made[name]}: {len(ledger.counted)} acknowledged, {ledger.counts} tried"
