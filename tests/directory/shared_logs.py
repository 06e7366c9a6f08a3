"""Logs that several directories share, as several processes share a bucket, and that can be out of reach.

The commit log itself is proven in tests/log; here a dictionary stands for the bucket.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from merpati.directory.fold import DirectoryFold
from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.errors import Unavailable
from merpati.ids import AccountId
from merpati.log.api import EMPTY, Commit, Damaged, Decision, Outcome, Part, Tip

FOLD = DirectoryFold()


class Bucket:
    """The commits of each log, and whether they can be reached."""

    def __init__(self) -> None:
        self.commits: dict[AccountId, list[Commit[DirectoryChange]]] = {}
        self.reads: Counter[AccountId] = Counter()
        self.down = False
        self.hang: asyncio.Event | None = None

    def open(self, log_id: AccountId) -> "SharedLog":
        return SharedLog(self, log_id)


class SharedLog:
    """`merpati.log.api.Log` over a `Bucket`."""

    def __init__(self, bucket: Bucket, log_id: AccountId) -> None:
        self.bucket = bucket
        self.id = log_id
        self.tip: Tip[DirectoryState] | None = None
        self.damage: Damaged | None = None

    async def read(self) -> Tip[DirectoryState]:
        self.bucket.reads[self.id] += 1
        if self.bucket.hang is not None:
            await self.bucket.hang.wait()
        await asyncio.sleep(0)
        if self.bucket.down:
            raise Unavailable("store is down")
        state, commits = FOLD.empty(), self.bucket.commits.get(self.id, [])
        for commit in commits:
            state = FOLD.apply(state, commit)
        self.tip = Tip(state, EMPTY + len(commits))
        return self.tip

    async def commit(self, decide: Callable[[DirectoryState], Decision]) -> Outcome:
        tip = await self.read()
        decision = decide(tip.state)
        if not decision.changes:
            return Outcome(decision.answer, tip.number)
        # through bytes and back, as on the store
        changes = tuple(FOLD.decode(FOLD.encode(decision.changes)))
        commit = Commit(tip.number + 1, b"", b"", 0.0, (Part(changes),))
        self.bucket.commits.setdefault(self.id, []).append(commit)
        self.tip = Tip(FOLD.apply(tip.state, commit), commit.number)
        return Outcome(decision.answer, commit.number)

    def feed(self, data: bytes) -> bool:
        return False

    async def changed(self, after: int) -> Tip[DirectoryState]:
        raise NotImplementedError
