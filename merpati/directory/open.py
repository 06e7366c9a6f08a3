"""The directory of an installation out of its components, and its logs, kept short.  Called by `merpati.components`.

A directory is read whole by every process that starts, so its logs have snapshots more often than mailboxes do: who
opens one fetches these, and the few commits after them.
"""

from __future__ import annotations

from functools import partial

from merpati.bus.api import Bus
from merpati.clock import Clock
from merpati.directory.fold import DirectoryFold
from merpati.directory.log_directory import LogDirectory
from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.ids import AccountId, Dice
from merpati.log.commit_log import CommitLog
from merpati.log.keeping import Keeper, Rhythm, due, keep_snapshot
from merpati.log.layout import log_of
from merpati.log.tidying import no_attachments, tidy
from merpati.objects.api import ObjectStore
from merpati.telemetry import Metrics

RHYTHM = Rhythm(snapshot=100)
"""In commits: one is an account added, or its password changed."""

Log = CommitLog[DirectoryState, DirectoryChange]


class DirectoryLogs:
    """Opens the logs of a directory; what is due after a commit is done in the background by the `keeper`."""

    def __init__(
        self, store: ObjectStore, clock: Clock, dice: Dice, metrics: Metrics, writer: str = "", rhythm: Rhythm = RHYTHM
    ) -> None:
        self._store = store
        self._clock = clock
        self._dice = dice
        self._metrics = metrics
        self._writer = writer
        self._rhythm = rhythm
        self._fold = DirectoryFold()
        self.keeper = Keeper(metrics)

    def open(self, log_id: AccountId) -> Log:
        """The log of this id; nothing is read yet."""

        def committed(number: int, at: float, data: bytes) -> None:
            self._look_after(log, number)

        log: Log = CommitLog(
            self._store, log_of(log_id), self._fold, clock=self._clock, dice=self._dice, writer=self._writer,
            metrics=self._metrics, committed=committed,
        )  # fmt: skip
        return log

    def _look_after(self, log: Log, number: int) -> None:
        """S6: commit `number` is durable, and after some there is something to do."""
        if due(log.layout, number, self._rhythm.compaction):
            work = partial(tidy, log, no_attachments, least=self._rhythm.compaction // 2)
            self.keeper.later(log.layout, work)
        elif due(log.layout, number, self._rhythm.snapshot):
            self.keeper.later(log.layout, partial(_keep, log))


async def _keep(log: Log) -> None:
    if log.tip is not None and log.damage is None:
        await keep_snapshot(log.reader, log.tip)


def open_directory(
    store: ObjectStore,
    bus: Bus | None,
    clock: Clock,
    dice: Dice,
    metrics: Metrics,
    writer: str = "",
    rhythm: Rhythm = RHYTHM,
) -> LogDirectory:
    """Nothing is read yet.  Without a bus changes are seen by looking, within seconds; with one it is a `Service`."""
    logs = DirectoryLogs(store, clock, dice, metrics, writer, rhythm)
    return LogDirectory(logs.open, clock, dice, metrics, bus, keeper=logs.keeper)
