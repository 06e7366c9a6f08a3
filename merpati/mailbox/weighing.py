"""About how many bytes of memory an account's state takes: what `remembering` holds against its limit.

Quick, for it is asked after every commit: sums that are there are added up.  Only what a folder says of the summaries
that are in memory is counted anew now and then, for messages that went, and snapshots, have made it less.
"""

from __future__ import annotations

from merpati.mailbox.columns import ROW
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState

STATE = 2000
FOLDER = 1000
CAUSE = VANISHED = NAME = 150
"""Bytes of a cause; of a range of UIDs that vanished; of a name and what stands by it."""
LARGE_BODY = 500
LOOSE = 64 * 1024
"""Bytes of summaries more than twice those that were counted last: then they are counted again."""


class Weighing:
    """Of one account."""

    def __init__(self) -> None:
        self._claimed = self._counted = 0

    def weight(self, state: MailState) -> int:
        """Bytes, rather too many than too few."""
        rows = vanished = claimed = 0
        for folder in state.folders.values():
            columns = folder.columns
            rows += columns.length
            claimed += columns.inline
            vanished += len(folder.vanished.entries)
        entries = sum(map(len, state.metadata.values()))
        values = sum(len(value) for each in state.metadata.values() for value in each.values()) if entries else 0
        return (
            STATE
            + FOLDER * len(state.folders)
            + ROW * rows
            + VANISHED * vanished
            + self._summaries(state, claimed)
            + CAUSE * len(state.causes)
            + LARGE_BODY * len(state.larges)
            + NAME * (len(state.subscriptions) + len(state.retired) + entries)
            + values
        )

    def _summaries(self, state: MailState, claimed: int) -> int:
        more = claimed - self._claimed
        if more < 0 or more > self._counted + LOOSE:
            self._claimed, self._counted = claimed, sum(map(_inline, state.folders.values()))
            more = 0
        return self._counted + more


def _inline(folder: Folder) -> int:
    columns = folder.columns
    if not columns.inline:
        return 0
    return sum(len(summary) for summary in columns.summaries[: columns.length] if isinstance(summary, bytes))
