"""The life of a mailbox, thrown with dice: everything that leaves a trace in its log, for the second reader to read.

It is lived through merpati, on files whose dates are those of the test's clock, so that an hour of grace can pass.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from merpati.clock import ManualClock
from merpati.errors import Permanent
from merpati.ids import AccountId, SeededDice
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, Large
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.restoring import restored
from merpati.mailbox.verbs.bring import Origin
from merpati.objects.files import FilesStore

T = TypeVar("T")
ACCOUNT = AccountId("s" * 26)
DAY = 86_400.0
HOUR = 3600.0
WINDOW = 2 * HOUR
NAMES = ("INBOX", "Sent", "Work", "Work/a", "Work/a/b", "Entwürfe/日本", "x.mbox")
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "$a", "$Forwarded", "Long-Keyword")
USES = ("", "", "\\Archive", "\\Flagged")
SAMPLES = tuple(path.read_bytes() for path in sorted((Path(__file__).parent.parent / "samples/message").glob("*.eml")))


class DatedFiles(FilesStore):
    """Files that are dated by a clock whose time passes when it is told to."""

    def __init__(self, root: Path, clock: ManualClock) -> None:
        super().__init__(root, clock)
        self._root, self._clock = root, clock

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        self._date(key)

    async def put(self, key: str, data: bytes) -> None:
        await super().put(key, data)
        self._date(key)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await super().put_stream(key, chunks)
        self._date(key)

    def _date(self, key: str) -> None:
        os.utime(self._root / key, (self._clock.time(), self._clock.time()))


class Life:
    """One account and those who use it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.clock = ManualClock()
        self.store = DatedFiles(root, self.clock)
        self._dice = SeededDice(seed)
        self.boxes = AllMailboxes(self.store, clock=self.clock, dice=SeededDice(seed + 1), writer="life")
        self.account = self.boxes.account(ACCOUNT)
        self._sent = 0

    async def live(self, steps: int) -> None:
        """That many verbs, each that is refused passed over: what was refused leaves no trace."""
        verbs: tuple[tuple[int, Callable[[], Awaitable[object]]], ...] = (
            (20, self._append), (26, self._burst), (30, self._append_large), (40, self._copy), (50, self._move),
            (66, self._flag), (74, self._expunge), (84, self._arrange), (92, self._annotate), (98, self._subscribe),
            (100, self._tidy),
        )  # fmt: skip
        for _ in range(steps):
            thrown = self._dice.uniform(0, 100)
            await self.clock.advance(self._dice.uniform(0, 30))
            try:
                await next(verb for limit, verb in verbs if thrown < limit)()
            except Permanent:
                pass

    async def bring_back(self) -> None:
        """What was expunged of late comes back; and everything as it was, beside what is there."""
        number = (await self.account.refresh()).number
        past = (await Travel(self.account.log.reader).state_at(max(2, number - 20))).state
        await restored(self.account, past, folder="INBOX")
        await restored(self.account, past, beside="Then")
        await self.account.create("Then/nothing")
        await self.account.rename("Then", "Then once")

    async def bring_in(self) -> None:
        """Two folders of an archive: one keeps its UIDs, the other one's messages go into the INBOX."""
        for number, name in enumerate(("Old", "INBOX")):
            origin = Origin("a" * 40, number, name, 1_600_000_000, 90, keywords=("$old", "$a"), subscribed=True)
            await self.account.bring_begin(origin)
            letters = [(uid, Append("", self.letter(), ("\\Seen", "$old"), 1.5e9)) for uid in (7, 8, 60)]
            await self.account.bring(origin, letters)
            await self.account.bring_end(origin)

    async def other_process(self) -> MailAccount:
        """The account as somebody sees it who has read nothing yet."""
        return await AllMailboxes(self.store, clock=self.clock, dice=SeededDice(0)).open(ACCOUNT)

    async def truncate(self) -> None:
        """Compact, and delete the commits once their floor is old enough."""
        await self.account.compact()
        await self.clock.advance(1.1 * HOUR)
        await self.account.compact()

    async def clean(self) -> None:
        """Write packs anew without what was expunged before the window, and remove what nobody needs."""
        await self.clock.advance(2 * WINDOW)
        await self.account.compact()
        await self.account.reclaim(WINDOW)
        await self.clock.advance(2 * HOUR)
        await self.account.vacuum(WINDOW)

    async def close(self) -> None:
        await self.boxes.close()
        await self.store.close()

    # ---- what is done

    async def _append(self) -> None:
        await self.account.append([self._message(self._one(NAMES))], create=True)

    async def _burst(self) -> None:
        """Of several at the same time, some with several messages: they go into few commits."""
        bursts = [[self._message(self._one(NAMES[:3])) for _ in range(self._below(3) + 1)] for _ in range(3)]
        await asyncio.gather(*(self.account.append(burst, create=True) for burst in bursts))

    async def _append_large(self) -> None:
        """Objects of their own, several in few commits: a client's, or of deliveries, of which not all bytes count."""
        large = [await self._large() for _ in range(self._below(2) + 2)]
        sent = [Append("INBOX", self.letter(150_000))] if self._below(3) == 0 else []
        await asyncio.gather(self.account.append(large[:1]), self.account.append([*large[1:], *sent]))

    async def _large(self) -> Append:
        data = self.letter(500)
        stored = await self.account.put_large(_pieces(data))
        prefix = b"Return-Path: <a@life.test>\r\n" if self._below(2) else b""
        without = ((3, 5), (20, 31)) if self._below(2) else ()
        large = Large(stored.key, stored.digest, stored.size, prefix, without)
        return Append("INBOX", large, cause=f"large {self._sent}")

    async def _copy(self) -> None:
        folder, uids = await self._some()
        await self.account.copy(folder, uids, await self._folder())

    async def _move(self) -> None:
        folder, uids = await self._some()
        await self.account.move(folder, uids, await self._folder())

    async def _flag(self) -> None:
        folder, uids = await self._some()
        flags = [self._one(FLAGS) for _ in range(self._below(3) + 1)]
        mode = self._below(3)
        await self.account.store(folder, uids, flags, mode="add" if mode == 0 else "set" if mode == 1 else "remove")

    async def _expunge(self) -> None:
        folder, uids = await self._some()
        await self.account.expunge(folder, uids, only_deleted=self._below(2) == 0)

    async def _arrange(self) -> None:
        name, verb = self._one(NAMES), self._below(8)
        if verb < 4:
            await self.account.create(name, self._one(USES))
        elif verb < 6:
            await self.account.rename(name, self._one(NAMES) if verb == 4 else f"{name} {self._below(9)}")
        else:
            await self.account.delete(name)

    async def _annotate(self) -> None:
        name = self._one(("", await self._folder()))
        value = None if self._below(4) == 0 else self._dice.bytes(5)
        await self.account.set_metadata(name, {f"/private/comment{self._below(3)}": value, "/shared/comment": b"all"})

    async def _subscribe(self) -> None:
        if self._below(2):
            await self.account.subscribe(self._one((*NAMES, "never was")))
        else:
            await self.account.unsubscribe(self._one(NAMES))

    async def _tidy(self) -> None:
        await (self.account.keep_snapshot() if self._below(2) else self.account.compact())

    # ---- what it is done with

    def letter(self, size: int = 0) -> bytes:
        """A message that is unlike all others."""
        self._sent += 1
        head = f"Message-ID: <{self._sent}@life.test>\r\nX-Random: {self._dice.bytes(8).hex()}\r\n".encode()
        return head + self._one(SAMPLES) + self._dice.bytes(size).hex().encode()

    def _message(self, folder: str) -> Append:
        flags = tuple(flag for flag in FLAGS if self._below(5) == 0)
        cause = f"cause {self._sent}" if self._below(2) else ""
        return Append(folder, self.letter(self._below(2000)), flags, float(self._below(2_000_000_000)), cause)

    async def _folder(self) -> str:
        return self._one(tuple((await self.account.refresh()).folders) or ("INBOX",))

    async def _some(self) -> tuple[str, list[int]]:
        """A folder, and some of its UIDs; a UID may be there no more."""
        name = await self._folder()
        view = await self.account.folder(name)
        first = self._below(max(1, view.exists))
        return name, [*view.uids[first : first + 1 + self._below(4)], self._below(9) + 1]

    def _one(self, choices: Sequence[T]) -> T:
        return choices[self._below(len(choices))]

    def _below(self, end: int) -> int:
        return int(self._dice.uniform(0, end))


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data[:7]
    yield data[7:]
