"""A directory made anew of its log, around damage.  Called by `merpati domain rebuild`.

A change names what it changes and says all of it, so those behind a lost commit are taken as they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.log.api import Commit, Contended, Tip
from merpati.log.commit_log import CommitLog
from merpati.log.rebuilding import TRIES, Rebuilding, Remade
from merpati.log.remains import Remains


async def rebuilt(log: CommitLog[DirectoryState, DirectoryChange]) -> Remade[DirectoryState]:
    """Make everything but the log anew.  Raises `Unavailable`, `NewerFormat`, `TooLate`, `Contended`."""
    for _ in range(TRIES):
        try:
            return await _Directory(log).run()
        except Contended as error:
            contended = error
    raise contended


class _Directory(Rebuilding[DirectoryState, DirectoryChange]):
    async def salvaged(
        self,
        base: Tip[DirectoryState],
        commits: AsyncIterator[tuple[int, Commit[DirectoryChange] | None]],
        number: int,
        remains: Remains,
    ) -> tuple[DirectoryState, bool]:
        state, exact = base.state, True
        async for _, commit in commits:
            if commit is None:
                exact = False
            else:
                state = self.reader.fold.apply(state, commit)
        return state, exact
