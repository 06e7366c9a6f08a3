"""The one thread of a process that writes: it takes all that waits, does it in one transaction, and syncs once.

Called by the bus and its subscriptions through `publish` and `do`.  Between processes a file lock decides whose turn it
is, so that a writer sleeps until the kernel wakes it instead of trying SQLite's own lock again and again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from merpati.bus.api import Record
from merpati.bus.sqlite.errors import door, mapped
from merpati.bus.sqlite.schema import connect, create
from merpati.bus.sqlite.transaction import Ends, Transaction
from merpati.clock import Clock
from merpati.errors import MerpatiError, Unavailable

T = TypeVar("T")

MAX_WORKS = 512
"""Publishes and jobs of one transaction."""
MAX_BYTES = 8 << 20
"""Bytes after which a transaction takes no more."""
WRITE_SECONDS = 20.0
"""How long a write may take before whoever waits for it is told `Unavailable`."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Records to publish, or a job to run inside the transaction; `answer` is resolved once it is durable."""

    answer: asyncio.Future[Any]
    since: float
    records: Sequence[Record] = ()
    job: Callable[[Transaction], Any] | None = None

    @property
    def size(self) -> int:
        return sum(len(record.value) for record in self.records)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one work."""

    work: Work
    value: Any = None
    error: BaseException | None = None


class Writer:
    """`wake(topics)` is called in the writer's thread, `ring(topics)` in the event loop's, after each commit."""

    def __init__(self, path: Path, clock: Clock, wake: Callable[[set[int]], None], ring: Callable[[set[int]], None]):
        self._path = path
        self._clock = clock
        self._wake = wake
        self._ring = ring
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._waiting: set[Work] = set()
        self._ends = Ends()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def start(self) -> None:
        """Open the file, make its tables, start the thread.  Raises `Unavailable`."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(None, self._open)
        self._thread = threading.Thread(target=self._main, name="bus-writer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish what waits, then close the file."""
        self._closed = True
        self._queue.put(None)
        if self._thread is not None:
            await self._loop.run_in_executor(None, self._thread.join)
            self._thread = None

    async def publish(self, records: Sequence[Record]) -> None:
        """Return once the records are durable."""
        await self._submit(Work(self._loop.create_future(), self._clock.monotonic(), records=records))

    async def do(self, job: Callable[[Transaction], T]) -> T:
        """Run `job` in the writer's thread inside a transaction; its answer comes once that is durable.

        A job that raises leaves nothing behind.
        """
        value: T = await self._submit(Work(self._loop.create_future(), self._clock.monotonic(), job=job))
        return value

    def expire(self) -> None:
        """Tell whoever has waited for too long; their works may be written all the same."""
        before = self._clock.monotonic() - WRITE_SECONDS
        for work in [work for work in self._waiting if work.since < before and not work.answer.done()]:
            work.answer.set_exception(Unavailable("the event log is too slow", path=str(self._path)))

    async def _submit(self, work: Work) -> Any:
        if self._closed or self._thread is None:
            raise Unavailable("the event log is closed", path=str(self._path))
        self._waiting.add(work)
        self._queue.put(work)
        try:
            return await work.answer
        finally:
            self._waiting.discard(work)

    def _deliver(self, outcomes: list[Outcome], touched: set[int]) -> None:
        for outcome in outcomes:
            if outcome.work.answer.done():
                continue
            if outcome.error is None:
                outcome.work.answer.set_result(outcome.value)
            else:
                outcome.work.answer.set_exception(outcome.error)
        self._ring(touched)

    # From here on in the writer's thread.

    def _open(self) -> None:
        with door(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # the mail in it is nobody else's to read
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._turn = os.open(self._path.with_suffix(".turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                self._connection = connect(self._path)
                create(self._connection)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _main(self) -> None:
        while (works := self._gather()) is not None:
            outcomes, touched = self._write(works)
            if touched:
                self._wake(touched)
            if self._loop.is_closed():
                break  # nobody is left to be told
            self._loop.call_soon_threadsafe(self._deliver, outcomes, touched)
        self._connection.close()
        os.close(self._turn)

    def _gather(self) -> list[Work] | None:
        """The next works, as many as belong in one transaction; None at the end."""
        work = self._queue.get()
        works: list[Work] = []
        size = 0
        while work is not None:
            works.append(work)
            size += work.size
            if len(works) >= MAX_WORKS or size >= MAX_BYTES:
                return works
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return works
        if works:
            self._queue.put(None)
            return works
        return None

    def _write(self, works: list[Work]) -> tuple[list[Outcome], set[int]]:
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                return self._transact(works)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)
        except Exception as error:
            self._ends.forget()
            return [Outcome(work, error=mapped(error, self._path)) for work in works], set()

    def _transact(self, works: list[Work]) -> tuple[list[Outcome], set[int]]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._ends.refresh(connection)
            transaction = Transaction(connection, self._ends, self._clock.time())
            outcomes = [_perform(work, transaction) for work in works]
            transaction.flush()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        transaction.committed()
        return outcomes, transaction.touched


def _perform(work: Work, transaction: Transaction) -> Outcome:
    try:
        if work.job is not None:
            return Outcome(work, _run_job(work.job, transaction))
        transaction.publish(work.records)
        return Outcome(work)
    except (sqlite3.Error, OSError):
        raise
    except MerpatiError as error:
        return Outcome(work, error=error)
    except Exception as error:
        # a bug in one job is its caller's; the others' records are not to suffer
        return Outcome(work, error=error)


def _run_job(job: Callable[[Transaction], T], transaction: Transaction) -> T:
    transaction.connection.execute("SAVEPOINT job")
    try:
        return job(transaction)
    except sqlite3.Error:
        raise
    except Exception:
        transaction.connection.execute("ROLLBACK TO job")
        transaction.forget()
        raise
    finally:
        if transaction.connection.in_transaction:
            transaction.connection.execute("RELEASE job")
