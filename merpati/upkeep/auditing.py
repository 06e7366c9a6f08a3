"""Everything in a bucket, verified: every mailbox, and the directory.  Called by `merpati mailbox verify --all`.

The logs are found by looking into the bucket, so that those are read too whose directory was lost.  Reads, and never
writes; one log after the other, and what cannot be read does not hold up the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from merpati.clock import Clock
from merpati.directory.fold import DirectoryFold
from merpati.errors import MerpatiError
from merpati.ids import AccountId, Dice
from merpati.log.api import Damaged, NewerFormat
from merpati.log.findings import finding_of
from merpati.log.layout import log_of
from merpati.log.reading import Reader
from merpati.log.verifying import verified
from merpati.mailbox.auditing import Audited, audited
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.api import ObjectStore
from merpati.upkeep.logs import DIRECTORY, MAILBOX, NOTHING, kind_of, log_ids


@dataclass(frozen=True, slots=True)
class AuditedLog:
    """What came of one log."""

    name: str
    """The address or the domain, or the prefix of its keys if the directory does not know it."""
    kind: str
    """`mailbox`, `directory`; empty if that cannot be told."""
    found: Audited
    failure: str = ""
    """Why it could not be read to its end, the store being away."""


async def audit_everything(
    store: ObjectStore, mailboxes: AllMailboxes, clock: Clock, dice: Dice, names: Mapping[AccountId, str]
) -> AsyncIterator[AuditedLog]:
    """Each log; `names` has those that the directory knows.  Raises `Unavailable` if the bucket cannot be listed."""
    async for id in log_ids(store):
        name, kind = names.get(id, log_of(id).prefix), ""
        try:
            kind = await kind_of(store, id)
            if kind == MAILBOX:
                yield AuditedLog(name, kind, await audited(mailboxes.account(id)))
            elif kind == DIRECTORY:
                reader = Reader(store, log_of(id), DirectoryFold(), clock, dice)
                yield AuditedLog(name, kind, Audited(0, 0, tuple(await verified(reader))))
            elif kind != NOTHING:
                raise Damaged("a log of a kind that is not known", key=log_of(id).prefix, rule="B2")
        except (Damaged, NewerFormat) as damage:
            yield AuditedLog(name, kind, Audited(0, 0, (finding_of(damage, "all of it, until it is rebuilt"),)))
        except MerpatiError as failure:
            yield AuditedLog(name, kind, Audited(0, 0, ()), str(failure))
