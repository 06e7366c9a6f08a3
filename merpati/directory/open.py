"""The directory of an installation out of its components.  Called by `merpati.components`."""

from __future__ import annotations

from merpati.bus.api import Bus
from merpati.clock import Clock
from merpati.directory.fold import DirectoryFold
from merpati.directory.log_directory import LogDirectory
from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.ids import AccountId, Dice
from merpati.log.api import Log
from merpati.log.commit_log import CommitLog
from merpati.log.layout import Layout
from merpati.objects.api import ObjectStore
from merpati.telemetry import Metrics


def open_directory(
    store: ObjectStore, bus: Bus | None, clock: Clock, dice: Dice, metrics: Metrics, writer: str = ""
) -> LogDirectory:
    """Nothing is read yet.  Without a bus changes are seen by looking, within seconds; with one it is a `Service`."""
    fold = DirectoryFold()

    def opener(log_id: AccountId) -> Log[DirectoryState, DirectoryChange]:
        layout = Layout(f"accounts/{log_id}")
        return CommitLog(store, layout, fold, clock=clock, dice=dice, writer=writer, metrics=metrics)

    return LogDirectory(opener, clock, dice, metrics, bus)
