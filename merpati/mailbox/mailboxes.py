"""All mailboxes of one store in one process.  Built by `components`; the doors and the delivery worker are handed it.

Which accounts stay in memory is the matter of `remembering`; summaries and pieces of packs that were read are shared by
all of them, each under a limit of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent
from merpati.events import Changed
from merpati.ids import AccountId, Dice
from merpati.log.commit_log import CommitLog, LogLimits, Safeguards
from merpati.log.keeping import Keeper, Rhythm, due
from merpati.log.lately import Lately
from merpati.log.layout import log_of
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Publisher
from merpati.mailbox.bare import BareFold
from merpati.mailbox.changes import Change
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.preparing import Preparing
from merpati.mailbox.pushing import Pushing
from merpati.mailbox.reading import Bodies
from merpati.mailbox.remembering import Remembered
from merpati.mailbox.runs import Shelf
from merpati.mailbox.state import MailState
from merpati.mailbox.values import MailboxLimits
from merpati.objects.api import ObjectStore
from merpati.telemetry import Metrics, logger

Told = Callable[[AccountId, int, float, bytes], None]

AT_ONCE = 16
"""Mailboxes read at once for those who idle, after news of them were missed."""
FIRST_PAUSE, MOST_PAUSE = 0.5, 30.0
"""Seconds between tries while the store is away."""


class AllMailboxes:
    """`Mailboxes` of `api`."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        clock: Clock,
        dice: Dice,
        publish: Publisher | None = None,
        limits: MailboxLimits | None = None,
        log_limits: LogLimits | None = None,
        metrics: Metrics | None = None,
        writer: str = "",
        safeguards: Safeguards | None = None,
        rhythm: Rhythm | None = None,
        bare_appends: bool = False,
    ) -> None:
        """`publish` makes commits known to other processes; `writer` (`delivery@mx1`) stands in each commit.

        `bare_appends`: put mail into mailboxes that nobody looks at without reading what messages they have.
        """
        self._store = store
        self._clock = clock
        self._dice = dice
        self._limits = limits or MailboxLimits()
        self._log_limits = log_limits
        self._metrics = metrics
        self._writer = writer
        self._safeguards = safeguards
        self._rhythm = rhythm or Rhythm()
        self._bare_appends = bare_appends
        self._shelf = Shelf()
        self._lately = Lately()
        self._preparing = Preparing(store, clock, dice)
        self._pushing = Pushing(publish, clock, self._limits.push)
        self._keeper = Keeper(metrics)
        self._remembered = Remembered(self._limits.memory)
        self._catching_up: dict[AccountId, asyncio.Task[None]] = {}
        self._few = asyncio.Semaphore(AT_ONCE)
        self._say = logger("mailbox")
        self._measure()

    def _measure(self) -> None:
        if self._metrics is not None:
            self._metrics.mailboxes.set_function(lambda: len(self._remembered))
            self._metrics.mailbox_bytes.set_function(lambda: self._remembered.weight)
            self._metrics.pushes_waiting.set_function(lambda: len(self._pushing))

    def account(self, account: AccountId) -> MailAccount:
        """The account's mailbox; costs nothing."""
        found = self._remembered.get(account) or self._made(account)
        self._remembered.use(found)
        return found

    async def open(self, account: AccountId) -> MailAccount:
        """The same after a strong read."""
        found = self.account(account)
        await found.refresh()
        return found

    def feed(self, event: Changed, data: bytes) -> None:
        """A record of `mailbox.changes`; ignored unless the account is open here."""
        found = self._remembered.get(event.account) if event.log == "mailbox" else None
        if found is not None:
            self._tell(found, event.number, data)

    def missed(self) -> None:
        """Records of `mailbox.changes` may have been missed: for those who wait, their mailboxes are read."""
        for account in self._remembered.all():
            if account.missed():
                self._catch_up_soon(account)

    def _tell(self, account: MailAccount, number: int, data: bytes) -> None:
        if account.told(number, data):
            self._catch_up_soon(account)

    def _catch_up_soon(self, account: MailAccount) -> None:
        before = self._catching_up.get(account.id)
        if before is None or before.done():  # it may have ended just now
            task = self._catching_up[account.id] = asyncio.ensure_future(self._catch_up(account))
            task.add_done_callback(partial(self._caught_up, account.id))

    def _caught_up(self, id: AccountId, task: asyncio.Task[None]) -> None:
        if self._catching_up.get(id) is task:
            del self._catching_up[id]

    async def close(self) -> None:
        """Make known what is still to be made known, and let go of all accounts."""
        for task in list(self._catching_up.values()):
            task.cancel()
        for account in self._remembered.all():
            await account.close()
        await self._keeper.close()
        await self._pushing.close()
        self._remembered.clear()

    async def idle(self) -> None:
        """Wait until what is done in the background is done."""
        await self._keeper.idle()

    def _made(self, account: AccountId) -> MailAccount:
        log = self._log(account, MailboxFold(self._shelf), self._committed)
        bare = partial(self._log, account, BareFold(), self._committed_bare) if self._bare_appends else None
        bodies = Bodies(log.reader, self._lately)
        say_again = partial(self._say_again, account)
        return MailAccount(account, log, bodies, self._preparing, self._clock, self._limits, say_again, bare)

    def _log(self, account: AccountId, fold: MailboxFold, committed: Told) -> CommitLog[MailState, Change]:
        return CommitLog(
            self._store,
            log_of(account),
            fold,
            clock=self._clock,
            dice=self._dice,
            writer=self._writer,
            limits=self._log_limits,
            metrics=self._metrics,
            committed=partial(committed, account),
            learned=partial(self._learned, account),
            safeguards=self._safeguards,
        )

    def _committed_bare(self, account: AccountId, number: int, at: float, data: bytes) -> None:
        """By a state without messages: if somebody has opened the mailbox meanwhile, it is news to them."""
        self._committed(account, number, at, data)
        if (found := self._remembered.get(account)) is not None:
            self._tell(found, number, data)

    def _committed(self, account: AccountId, number: int, at: float, data: bytes) -> None:
        """A commit of ours is durable: others hear of it, and now and then the state is written down."""
        self._pushing.push(account, number, at, data)
        found = self._remembered.get(account)
        if found is None:
            return
        layout = found.log.layout
        if due(layout, number, self._rhythm.compaction):
            self._keeper.later(layout, partial(self._whole(found).tidy, self._rhythm.compaction // 2))
        elif due(layout, number, self._rhythm.snapshot):
            self._keeper.later(layout, self._whole(found).keep_snapshot)

    def _whole(self, account: MailAccount) -> MailAccount:
        """The account, or one for as long as the work takes: its messages are read and let go again."""
        return account if account.log.tip is not None else self._made(account.id)

    async def _catch_up(self, account: MailAccount) -> None:
        """There is more, or may be, and a client idles on it: it is read, however long the store is away."""
        pause = FIRST_PAUSE
        while account.wanting:
            try:
                async with self._few:
                    await account.refresh()
            except MerpatiError as error:
                self._say.warning("a pushed commit could not be read", account=account.id, reason=str(error))
                if isinstance(error, Permanent):
                    return
                await self._clock.sleep(pause)
                pause = min(2 * pause, MOST_PAUSE)

    def _say_again(self, account: AccountId, number: int) -> None:
        """A delivery came again: whoever made its commit may have died before it made it known."""
        self._pushing.push(account, number, self._clock.time(), b"")

    def _learned(self, account: AccountId) -> None:
        """A state was read, pushed or written: it has another weight than the one before."""
        if (found := self._remembered.get(account)) is not None:
            self._remembered.weigh(found)
