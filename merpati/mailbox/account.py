"""One account's mailbox in one process: the verbs as methods, the views, the bytes of messages.

Made by `Mailboxes` and shared by every session of the account.  Decides nothing itself: `verbs` do, `CommitLog` writes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

from merpati.clock import Clock
from merpati.errors import Temporary
from merpati.ids import AccountId, Digest
from merpati.log.api import EMPTY, Outcome, Tip
from merpati.log.commit_log import CommitLog
from merpati.log.compaction import Compacted, Compaction
from merpati.log.keeping import keep_snapshot
from merpati.log.reclaim import Reclaim
from merpati.log.tidying import tidy
from merpati.log.vacuum import RETENTION, Vacuum, Vacuumed
from merpati.mailbox.api import BodyRef
from merpati.mailbox.bodies import address_of, addresses
from merpati.mailbox.changes import Change, Kept, LargeBody
from merpati.mailbox.folder import Folder
from merpati.mailbox.preparing import Preparing
from merpati.mailbox.reading import PIECE, Bodies
from merpati.mailbox.state import MailState, must_live
from merpati.mailbox.types import ModSeq, Uid
from merpati.mailbox.values import Append, Appended, Copied, FolderId, Large, MailboxLimits, Stored
from merpati.mailbox.verbs import append as appending
from merpati.mailbox.verbs import born, closing, copying, expunge, folders, store
from merpati.mailbox.verbs import bring as bringing
from merpati.mailbox.verbs import restore as restoring
from merpati.mailbox.verbs.born import Decider
from merpati.mailbox.views import AccountAt, FolderAt, Render
from merpati.mailbox.weighing import Weighing

R = TypeVar("R")

Which = str | FolderId

UNREAD = 1000
"""Bytes of an account that has not been read."""
BARE_APPENDS = 8
"""Appends without the mailbox's messages, before it is read: whoever writes its snapshots must know what they add."""


class MailAccount:
    """`Account` of `api`."""

    def __init__(
        self,
        id: AccountId,
        log: CommitLog[MailState, Change],
        bodies: Bodies,
        preparing: Preparing,
        clock: Clock,
        limits: MailboxLimits,
        say_again: Callable[[int], None],
        bare: Callable[[], CommitLog[MailState, Change]] | None = None,
    ) -> None:
        """`say_again` makes a commit known whose writer may have died before it did.

        `bare` makes a log whose state has no messages, for appends to a mailbox that nobody looks at.
        """
        self.id = id
        self.log = log
        self._bodies = bodies
        self._preparing = preparing
        self._weighing = Weighing()
        self._clock = clock
        self._limits = limits
        self._view: AccountAt | None = None
        self._folders: dict[FolderId, FolderAt] = {}
        self._behind = False
        self._say_again = say_again
        self._make_bare = bare
        self._bare: CommitLog[MailState, Change] | None = None
        self._bare_appends = 0

    @property
    def weight(self) -> int:
        """About how many bytes of memory the state takes."""
        tip = self.log.tip or (self._bare.tip if self._bare else None)
        return self._weighing.weight(tip.state) if tip else UNREAD

    async def close(self) -> None:
        """Let what is being written come to its end."""
        for log in (self.log, self._bare):
            if log is not None:
                await log.close()

    # ---- looking

    def view(self) -> AccountAt:
        """The newest state this process knows."""
        tip = self.log.tip
        if tip is None or tip.number == EMPTY:
            raise Temporary("the mailbox has not been read yet", account=self.id)
        must_live(tip.state)
        if self._view is None or self._view.state is not tip.state:
            self._view = AccountAt(tip.state)
        return self._view

    async def refresh(self) -> AccountAt:
        """A strong read; an account that was never used gets its first folders."""
        await self._read()
        return self.view()

    async def folder(self, which: Which, *, fresh: bool = False) -> FolderAt:
        """A folder's messages.  Raises `NoSuchFolder`."""
        tip = self.log.tip
        if fresh or tip is None or tip.number == EMPTY:
            tip = await self._read()
        must_live(tip.state)
        folder = tip.state.find(which)
        before = self._folders.get(folder.id)
        if before is not None and before.number == tip.number:
            return before
        view = self._folders[folder.id] = FolderAt(folder, tip.state, self._render(), before)
        self._forget_removed(tip.state)
        return view

    @property
    def wanting(self) -> bool:
        """Whether someone waits for what there may be to read."""
        return self._behind and self.log.awaited

    async def wait_changed(self, after: int) -> int:
        """Wait for a commit with a greater number than `after`; reads only if there may be more than is known."""
        if self._behind:
            await self._read()
        return (await self.log.changed(after)).number

    def told(self, number: int, data: bytes) -> bool:
        """A push: commit `number` is there, and `data` is it, if it is small.  True if someone waits and must read."""
        if self._bare is not None:
            self._bare.feed(data)
        tip = self.log.tip
        if tip is None or number <= tip.number or self.log.feed(data):
            return False
        return self.missed()

    def missed(self) -> bool:
        """There may be more than is known, and no push will tell.  True if someone waits and must read."""
        self._behind = True
        return self.wanting

    async def _read(self) -> Tip[MailState]:
        self._behind = False
        try:
            tip = await self.log.read()
        except BaseException:
            self._behind = True  # what there was to read is still to be read
            raise
        if tip.number == EMPTY:
            await self.log.commit(born.born(self._clock.time()))
            tip = await self.log.read() if self.log.tip is None else self.log.tip
        return tip

    def _forget_removed(self, state: MailState) -> None:
        for gone in [key for key in self._folders if key not in state.folders]:
            del self._folders[gone]

    def _render(self) -> Render:
        # a view must not hold the account: it is kept there, and the account would outlive whoever held it
        return partial(self._preparing.rendered, bodies=self._bodies)

    # ---- the bytes

    async def body(self, ref: BodyRef) -> bytes:
        """The message, byte for byte as appended.  Raises `BodyMissing`."""
        return await self._bodies.whole(address_of(ref))

    async def body_range(self, ref: BodyRef, start: int, end: int) -> bytes:
        """Bytes [start, end) of the message, fewer if it ends before."""
        return await self._bodies.range(address_of(ref), start, end)

    def body_stream(self, ref: BodyRef, chunk: int = PIECE) -> AsyncIterator[bytes]:
        """The message in pieces, in bounded memory."""
        return self._bodies.stream(address_of(ref), chunk)

    async def put_large(self, chunks: AsyncIterator[bytes]) -> Large:
        """Take a large message in, before it is appended."""
        return await self._preparing.put_large(chunks)

    async def lasting(self, body: LargeBody) -> LargeBody:
        """A large body of an earlier state, as it is to be referred to now (V7).  Raises `BodyMissing`."""
        key = await self._preparing.lasting(body.key, Digest(body.digest.hex()))
        return body if key == body.key else LargeBody(key, body.digest, body.size, body.without)

    async def staying(self, attachments: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Attachments of an earlier state that may be referred to now (P9).  Raises `Damaged`."""
        return await self._bodies.staying(attachments)

    # ---- keeping

    async def close_for_good(self) -> Tip[MailState]:
        """D2: end the log; the state that it ends with.  Raises `Damaged` if its end cannot be read."""
        await self.log.commit(closing.close(self._clock.time()))
        tip = await self.log.read()
        if not tip.state.closed:
            raise self.log.damage or Temporary("the end of the log is not known yet", account=self.id)
        return tip

    async def keep_snapshot(self) -> None:
        """Write down the state that this process knows, unless one as new is in the store."""
        tip = self.log.tip or await self.log.read()
        if self.log.damage is None and not tip.state.closed:
            await keep_snapshot(self.log.reader, tip)

    async def compact(self, least: int = 1) -> Compacted:
        """Move `least` commits or more into packs, and delete those that were moved long enough ago."""
        return await Compaction(self.log, grace=self.log.grace).run(least)

    async def reclaim(self, retention: float = RETENTION) -> int:
        """Write packs anew without the mail that no state in the window has; how many packs went."""
        return await Reclaim(self.log, addresses, grace=self.log.grace, retention=retention).run()

    async def vacuum(self, retention: float = RETENTION, *, dry_run: bool = False) -> Vacuumed:
        """Remove what no snapshot in the window needs, or just say what that is."""
        return await Vacuum(self.log.reader, grace=self.log.grace, retention=retention).run(dry_run=dry_run)

    async def tidy(self, least: int) -> None:
        """All of it, as it is done now and then."""
        if self.log.tip is not None:
            must_live(self.log.tip.state)
        await tidy(self.log, addresses, least=least)

    def past_folder(self, folder: Folder, past: MailState) -> FolderAt:
        """A folder of an earlier state."""
        return FolderAt(folder, past, self._render())

    async def restore(self, messages: Sequence[Kept], keywords: Sequence[str], into: str) -> int:
        """Messages of an earlier state, with flags by the table `keywords`; how many were not there."""
        decide = restoring.restore(messages, keywords, into, self._clock.time(), self._limits)
        return (await self._commit(decide)).answer

    # ---- messages

    async def append(self, messages: Sequence[Append], *, create: bool = False, quota: int = 0) -> tuple[Appended, ...]:
        """All of the messages or none.  Raises `NoSuchFolder`, `OverQuota`, `BadName`."""
        prepared = await self._preparing.prepared(tuple(messages), self._bodies)
        decide = appending.append(prepared, self._clock.time(), self._limits, create=create, quota=quota)
        outcome = await (await self._for_appends()).commit(decide)
        if any(each.duplicate for each in outcome.answer):
            self._say_again(outcome.number)
        return outcome.answer

    async def _for_appends(self) -> CommitLog[MailState, Change]:
        """The log; or one that knows no messages, as long as nobody has looked at the mailbox and little mail comes."""
        if self.log.tip is None and self._make_bare is not None:
            if self._bare_appends < BARE_APPENDS:
                self._bare_appends += 1
                self._bare = self._bare or self._make_bare()
                return self._bare
            await self.log.read()
        self._bare, self._bare_appends = None, 0
        return self.log

    async def bring_begin(self, origin: bringing.Origin) -> bringing.Bringing:
        """A folder of an archive is to come in; where it stands.  Raises `BadName`, `TooMany`."""
        return (await self._commit(bringing.begin(origin, self._clock.time(), self._limits))).answer

    async def bring(self, origin: bringing.Origin, messages: Sequence[tuple[int, Append]]) -> tuple[int, int]:
        """Messages of it with their UIDs, ascending; how many came, and how many were there."""
        prepared = await self._preparing.prepared(tuple(message for _, message in messages), self._bodies)
        brought = [bringing.Brought(uid, each) for (uid, _), each in zip(messages, prepared, strict=True)]
        return (await self._commit(bringing.fill(origin, brought, self._clock.time()))).answer

    async def bring_end(self, origin: bringing.Origin) -> bringing.Place:
        """All of it is there: it comes to its place; ask again while something is left."""
        return (await self._commit(bringing.place(origin, self._clock.time(), self._limits))).answer

    async def store(
        self,
        folder: Which,
        uids: Sequence[int],
        flags: Sequence[str],
        *,
        mode: Literal["set", "add", "remove"] = "add",
        unchanged_since: int | None = None,
    ) -> Stored:
        """Flags of messages.  Raises `NoSuchFolder`, `TooMany`."""
        decide = store.store(folder, uids, flags, mode, unchanged_since, self._clock.time())
        outcome = await self._commit(decide)
        answer = outcome.answer
        return replace(answer, modseq=ModSeq(outcome.number)) if answer.changed else answer

    async def expunge(
        self, folder: Which, uids: Sequence[int] | None = None, *, only_deleted: bool = True
    ) -> tuple[Uid, ...]:
        """Remove messages; which ones it removed."""
        decide = expunge.expunge(folder, uids, self._clock.time(), only_deleted=only_deleted)
        return (await self._commit(decide)).answer

    async def copy(self, source: Which, uids: Sequence[int], target: Which, *, quota: int = 0) -> Copied:
        """Copies, in one commit.  Raises `NoSuchFolder`, `OverQuota`."""
        return (await self._commit(copying.copy(source, uids, target, self._clock.time(), quota))).answer

    async def move(self, source: Which, uids: Sequence[int], target: Which) -> Copied:
        """Copy and expunge, in one commit.  Raises `NoSuchFolder`."""
        return (await self._commit(copying.move(source, uids, target, self._clock.time()))).answer

    # ---- folders

    async def create(self, name: str, special_use: str = "") -> FolderId:
        """Make a folder and those above it.  Raises `FolderExists`, `BadName`, `Forbidden`, `TooMany`."""
        return (await self._commit(folders.create(name, special_use, self._clock.time(), self._limits))).answer

    async def delete(self, name: str) -> None:
        """Remove a folder and its messages.  Raises `NoSuchFolder`, `Forbidden`."""
        await self._commit(folders.delete(name, self._clock.time()))

    async def rename(self, old: str, new: str) -> None:
        """A folder and those below it.  Raises `NoSuchFolder`, `FolderExists`, `BadName`, `TooMany`."""
        await self._commit(folders.rename(old, new, self._clock.time(), self._limits))

    async def subscribe(self, name: str) -> None:
        """The folder need not exist.  Raises `BadName`, `TooMany`."""
        await self._commit(folders.subscribe(name, True, self._clock.time(), self._limits))

    async def unsubscribe(self, name: str) -> None:
        """Nothing happens if it is not subscribed."""
        await self._commit(folders.subscribe(name, False, self._clock.time(), self._limits))

    async def set_metadata(self, folder: str, entries: Mapping[str, bytes | None]) -> None:
        """Set annotations, or remove them with None.  Raises `NoSuchFolder`, `TooMany`."""
        await self._commit(folders.annotate(folder, entries, self._clock.time(), self._limits))

    async def _commit(self, decide: Decider[R]) -> Outcome[R]:
        return await self.log.commit(decide)
