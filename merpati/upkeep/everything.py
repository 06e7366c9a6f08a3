"""All that can be cleaned in a bucket, at once: every mailbox, removed accounts, then the large bodies.

Called by `merpati mailbox vacuum --all`.  The mailboxes are found by looking into the bucket, so those whose directory
was lost are cleaned too.  What fails is told of at the end, and does not hold up the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from merpati.clock import Clock
from merpati.directory.api import Removals
from merpati.errors import MerpatiError
from merpati.ids import Dice
from merpati.log.api import EMPTY
from merpati.log.layout import log_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import Full, ObjectStore
from merpati.upkeep.blobs import BlobsVacuumed, BlobVacuum
from merpati.upkeep.deleting import Purged, purge_removed
from merpati.upkeep.leftovers import Register, sweep_leftovers
from merpati.upkeep.logs import MAILBOX, kind_of, log_ids


class Directory(Removals, Register, Protocol):
    """Who is there, and who is being purged."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was done; in a dry run, what would have been, but for packs and removed accounts."""

    mailboxes: int = 0
    packs: int = 0
    """Packs that went or became smaller."""
    snapshots: int = 0
    objects: int = 0
    bytes: int = 0
    purged: Purged = field(default_factory=Purged)
    blobs: BlobsVacuumed = field(default_factory=BlobsVacuumed)
    failures: tuple[tuple[str, str], ...] = ()
    """(log or address, why)."""


async def clean_mailbox(account: MailAccount, retention: float, *, dry_run: bool = False) -> Cleaned:
    """One of them.  Raises `Damaged`, `Unavailable`."""
    try:
        packs = 0 if dry_run else await account.reclaim(retention)
    except Full:  # there is no room for smaller packs before the rest has gone
        packs = 0
    done = await account.vacuum(retention, dry_run=dry_run)
    return Cleaned(1, packs, done.snapshots, done.objects, done.bytes)


async def clean_everything(
    store: ObjectStore,
    directory: Directory,
    mailboxes: AllMailboxes,
    clock: Clock,
    dice: Dice,
    blobs: BlobVacuum,
    *,
    retention: float,
    dry_run: bool = False,
) -> Cleaned:
    """All of them.  Raises `Unavailable` if the bucket cannot be listed, or the directory not be read."""
    done = Cleaned()
    async for id in log_ids(store):
        try:
            if await kind_of(store, id) == MAILBOX and await _lives(account := mailboxes.account(id)):
                done = _sum(done, await clean_mailbox(account, retention, dry_run=dry_run))
        except MerpatiError as failure:
            done = replace(done, failures=(*done.failures, (log_of(id).prefix, str(failure))))
    if not dry_run:
        purged = await purge_removed(directory, mailboxes, clock)
        purged += await sweep_leftovers(store, directory, clock, dice)
        done = replace(done, purged=purged, failures=(*done.failures, *purged.failures))
    try:
        return replace(done, blobs=await blobs.run(dry_run=dry_run))
    except MerpatiError as failure:
        return replace(done, failures=(*done.failures, ("blobs", str(failure))))


async def _lives(account: MailAccount) -> bool:
    """Whether there is something in it; one that has ended is purged, step by step."""
    tip = await account.log.read()
    return tip.number > EMPTY and not tip.state.closed


def _sum(one: Cleaned, other: Cleaned) -> Cleaned:
    return replace(
        one,
        mailboxes=one.mailboxes + other.mailboxes,
        packs=one.packs + other.packs,
        snapshots=one.snapshots + other.snapshots,
        objects=one.objects + other.objects,
        bytes=one.bytes + other.bytes,
    )
