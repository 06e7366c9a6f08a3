"""What the figures are measured with: a large folder, a store that counts, and mail kept the usual way to compare with.

Shared by `test_figures` and by `make bench`; nothing here is timed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from merpati.clock import Clock, ManualClock, SystemClock
from merpati.ids import SeededDice, SystemDice
from merpati.log.compress import compressed
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, FolderView, Publisher
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.message.summary import Summary, summarise
from merpati.objects.api import ObjectInfo, ObjectStore
from merpati.objects.wrapped import WrappedStore
from tests.log.lists import in_virtual_time
from tests.mailbox.worlds import ACCOUNT, mail

T = TypeVar("T")

PAGE = 1000
"""Keys that S3 lists, or deletes, in one request."""
LOT = 1000
RECENT = 2000
"""Messages of a large folder that were delivered of late, so that the account still knows what caused them."""
FORTNIGHT = 15 * 86_400.0


class CountingStore(WrappedStore):
    """Counts requests as S3 would: a listing or a deletion is one for each thousand keys."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.requests: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    @property
    def puts(self) -> int:
        return sum(self.requests.get(each, 0) for each in ("create", "put", "put_stream"))

    def clear(self) -> None:
        self.requests.clear()

    async def get(self, key: str) -> bytes:
        return await self._sent("get", super().get(key))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        return await self._sent("get_range", super().get_range(key, start, end))

    async def create(self, key: str, data: bytes) -> None:
        await self._sent("create", super().create(key, data))

    async def put(self, key: str, data: bytes) -> None:
        await self._sent("put", super().put(key, data))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await self._sent("put_stream", super().put_stream(key, chunks))

    async def delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for _ in range(PAGE, len(wanted), PAGE):
            await self._request("delete")
        await self._sent("delete", super().delete(wanted))

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        await self._request("list")
        count = 0
        async for info in super().list(prefix, after=after, limit=limit):
            if count and count % PAGE == 0:
                await self._request("list")
            count += 1
            yield info

    async def _sent(self, operation: str, work: Awaitable[T]) -> T:
        await self._request(operation)
        return await work

    async def _request(self, operation: str) -> None:
        self.requests[operation] = self.requests.get(operation, 0) + 1


class DistantStore(CountingStore):
    """Each request takes one second of virtual time, so what passes is the number of round trips one after another.

    Requests that are under way together are one round trip; how many there were stands in `requests`.
    """

    def __init__(self, inner: ObjectStore, clock: ManualClock) -> None:
        super().__init__(inner)
        self._clock = clock

    async def _request(self, operation: str) -> None:
        await super()._request(operation)
        await self._clock.sleep(1.0)


class Inline(ThreadPoolExecutor):
    """Does in the caller's thread what is handed to it: virtual time does not wait for threads."""

    def submit(self, fn: Callable[..., T], /, *args: object, **named: object) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **named))
        except Exception as error:
            done.set_exception(error)
        return done


async def trips(clock: ManualClock, store: DistantStore, work: Awaitable[object]) -> int:
    """How many round trips of `work` follow one another; the requests stand in `store` then."""
    asyncio.get_running_loop().set_default_executor(Inline())
    store.clear()
    began = clock.time()
    await in_virtual_time(clock, work)
    return round(clock.time() - began)


async def filled(boxes: AllMailboxes, messages: int, clock: Clock | None = None) -> MailAccount:
    """An account whose INBOX has so many messages, `RECENT` of them delivered in the last fortnight; all in a snapshot.

    Each message has the summary of a letter of its own; some are read, some were expunged.  A manual clock is moved on.
    """
    account = await boxes.open(ACCOUNT)
    shape = summarise(mail(10**8))
    for start in range(0, messages, LOT):
        numbers = range(start, min(start + LOT, messages))
        if isinstance(clock, ManualClock) and numbers.stop > messages - RECENT >= numbers.start:
            await clock.advance(FORTNIGHT)
        caused = numbers.stop > messages - RECENT
        await account.append([_letter(shape, number, caused=caused) for number in numbers])
    await account.store("INBOX", range(10, messages, 7), ["\\Seen"])
    await account.expunge("INBOX", range(5, messages, messages // 50), only_deleted=False)
    await account.append([_letter(shape, messages + number, caused=True) for number in range(50)])
    await boxes.idle()
    await account.keep_snapshot()
    return account


def _letter(shape: Summary, number: int, *, caused: bool) -> Append:
    number += 10**8
    old, new = b"100000000", b"%d" % number
    summary = Summary(
        shape.size,
        shape.envelope.replace(old, new),
        shape.body,
        shape.structure,
        subject=shape.subject.replace(old.decode(), new.decode()),
        base_subject=shape.base_subject.replace(old.decode(), new.decode()),
        author=shape.author,
        message_id=shape.message_id.replace(old.decode(), new.decode()),
    )
    return Append("INBOX", mail(number), cause=f"{number} bob@receiver.test" if caused else "", summary=summary)


async def copied(source: ObjectStore, target: ObjectStore) -> None:
    """Every object of one store in another."""
    async for info in source.list(""):
        await target.put(info.key, await source.get(info.key))


def real_mailboxes(store: ObjectStore) -> AllMailboxes:
    """As a process has them, on the machine's clock."""
    return AllMailboxes(store, clock=SystemClock(), dice=SystemDice(), writer="test")


def uid_flags(view: FolderView) -> bytes:
    """What `FETCH 1:* (UID FLAGS)` reads of the state, as IMAP has it."""
    values = zip(range(1, view.exists + 1), view.uids, map(view.flags_text, view.flags), strict=True)
    return b"".join([b"* %d FETCH (UID %d FLAGS (%b))\r\n" % each for each in values])


def delivering(store: ObjectStore, clock: Clock | None = None, publish: Publisher | None = None) -> AllMailboxes:
    """As the delivery worker has them."""
    return AllMailboxes(
        store, clock=clock or SystemClock(), dice=SeededDice(31), publish=publish, writer="worker", bare_appends=True
    )


class ObjectPerMessage:
    """Mail the usual way, to compare with: an object for each message, compressed alone, and an index of the folder.

    The name of a message's object carries its flags, as in a Maildir.  The index (UID and name of each message) is
    written anew with each delivery, for an object cannot be appended to.  The most favourable case: one writer, which
    has the index in memory, so that a delivery reads nothing.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._index: list[str] = []

    async def deliver(self, message: bytes) -> None:
        name = f"accounts/m/cur/{len(self._index) + 1:010}_00"
        await self._store.put(name, compressed(message))
        self._index.append(name)
        await self._store.put("accounts/m/index", "\n".join(self._index).encode())

    async def flag(self, row: int, flags: int) -> None:
        """An object cannot be renamed: it is copied and deleted."""
        old = self._index[row]
        new = f"{old[:-2]}{flags:02x}"
        await self._store.put(new, await self._store.get(old))
        await self._store.delete([old])
        self._index[row] = new
        await self._store.put("accounts/m/index", "\n".join(self._index).encode())

    async def open(self) -> list[str]:
        """The folder cold: the index, and a listing for the flags that others may have set."""
        await self._store.get("accounts/m/index")
        return [info.key async for info in self._store.list("accounts/m/cur/")]

    async def fill(self, count: int) -> None:
        """So many messages, as if they had been delivered."""
        self._index = [f"accounts/m/cur/{number + 1:010}_00" for number in range(count)]
        for name in self._index:
            await self._store.put(name, b"")
        await self._store.put("accounts/m/index", "\n".join(self._index).encode())
