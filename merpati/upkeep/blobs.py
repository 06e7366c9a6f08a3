"""Removing large bodies that nobody refers to any more: rules V5 to V7 of PROTOCOL.md.

Called by the schedule and by `merpati mailbox vacuum --all`.  A body under `blobs/` is shared by events on their way,
by several accounts, and by their pasts; so all of these are asked before one goes.  May crash anywhere, run twice, and
run in several processes at once, beside whatever else is going on.
"""

from __future__ import annotations

from dataclasses import dataclass

from merpati.clock import Clock
from merpati.errors import MerpatiError, Temporary
from merpati.events import longest_reference
from merpati.ids import AccountId, Dice
from merpati.log.layout import Layout, log_of
from merpati.log.reading import GRACE, Reader
from merpati.log.storetime import store_time
from merpati.log.vacuum import DELETED_AT_ONCE, RETENTION
from merpati.mailbox.changes import Change
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.marking import larges_needed
from merpati.mailbox.state import MailState
from merpati.objects.api import ObjectStore
from merpati.telemetry import logger
from merpati.upkeep.logs import DIRECTORY, MAILBOX, NOTHING, kind_of, log_ids

BLOBS = Layout("blobs")
"""Where large bodies are.  A log's layout, for the store's time is asked there too (K7)."""


@dataclass(frozen=True, slots=True)
class BlobsVacuumed:
    """What a vacuum found and removed; with `dry_run` what it would have removed."""

    blobs: int = 0
    """Large bodies that there are."""
    removed: int = 0
    bytes: int = 0
    """Of those removed."""
    logs: int = 0
    """Logs that were asked; none if every body is too young to go."""


class LogUnread(Temporary):
    """A log cannot be read, so nobody knows what it refers to, and nothing was removed.  Facts: `log`, and why."""


class BlobVacuum:
    """Cleans the large bodies of a whole store."""

    def __init__(
        self,
        store: ObjectStore,
        clock: Clock,
        dice: Dice,
        *,
        retention: float = RETENTION,
        horizon: float | None = None,
        grace: float = GRACE,
    ) -> None:
        """`retention`: seconds for which the states of mailboxes can be had.

        `horizon`: seconds for which an event may name a body, `longest_reference(tiers)` of the installation.
        """
        self._store = store
        self._clock = clock
        self._dice = dice
        self._retention = max(retention, grace)
        self._horizon = longest_reference() if horizon is None else horizon
        self._grace = grace
        self._say = logger("upkeep")

    async def run(self, *, dry_run: bool = False) -> BlobsVacuumed:
        """Remove what is old and needed by nobody.  Raises `LogUnread` if any log cannot be read; then all stay."""
        now = await store_time(self._store, BLOBS, self._dice)
        blobs, old = await self._old(now - self._horizon - self._grace)
        logs = 0
        if old:
            # V6: marked after the bodies were listed: what refers to one of them since then is seen, or needs it not
            async for id in log_ids(self._store):
                logs += 1
                await self._spare(id, now, old)
        size = sum(old.values())
        if not dry_run:
            await self._delete(list(old))
            if old:
                self._say.info("large bodies removed", bodies=len(old), bytes=size)
        return BlobsVacuumed(blobs, len(old), size, logs)

    async def _old(self, before: float) -> tuple[int, dict[str, int]]:
        """V5: how many bodies there are, and those that no event can name any more, with their sizes."""
        blobs, old = 0, {}
        async for info in self._store.list(f"{BLOBS.prefix}/"):
            blobs += 1
            if info.modified < before:
                old[info.key] = info.size
        return blobs, old

    async def _spare(self, id: AccountId, now: float, old: dict[str, int]) -> None:
        """V6: take out of `old` what a log needs."""
        try:
            kind = await kind_of(self._store, id)
            if kind in (NOTHING, DIRECTORY):
                return
            if kind != MAILBOX:
                raise Temporary(f"a log of the kind {kind}, which this version does not know")
            reader: Reader[MailState, Change] = Reader(
                self._store, log_of(id), MailboxFold(), self._clock, self._dice, grace=self._grace
            )
            async for key in larges_needed(reader, now, retention=self._retention, grace=self._grace):
                old.pop(key, None)
        except MerpatiError as error:
            facts = {**error.facts, "log": log_of(id).prefix, "reason": error.public}
            raise LogUnread("a log cannot be read: no large body was removed", **facts) from error  # type: ignore[arg-type]

    async def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), DELETED_AT_ONCE):
            await self._store.delete(keys[start : start + DELETED_AT_ONCE])
