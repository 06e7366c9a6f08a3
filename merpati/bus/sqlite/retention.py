"""Forgetting: records past their time are deleted a few at a time, and free pages go back to the file system.

Called by the bus now and then; one process of those that share the log does it.  Each step is a short job for the
writer, so nobody who publishes waits for it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from merpati.bus.sqlite.reading import Readers, bounds, offset_since
from merpati.bus.sqlite.schema import TopicRow, row_id, topics
from merpati.bus.sqlite.transaction import Transaction
from merpati.bus.sqlite.writer import Writer
from merpati.clock import Clock

STEP_ROWS = 500
STEP_BYTES = 8 << 20
"""Deleted by one job at most."""
STEP_PAGES = 512
"""Given back by one job at most."""
SPARE_PAGES = 4096
"""Free pages (16 MiB) that are kept for what comes next."""
SPARE_SHARE = 4
"""Of as many pages, one may be free."""
PAUSE_SECONDS = 0.005


async def retain(writer: Writer, readers: Readers, clock: Clock, turn: Path) -> int:
    """Delete what is past its time, unless another process is at it; how many records were deleted."""
    lock = os.open(turn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        deleted = 0
        for topic in (await readers.run(topics)).values():
            for lane, cut in (await readers.run(_expired, topic, clock.time() - topic.keeps)).items():
                deleted += await _delete(writer, clock, lane, cut)
        await _give_back(writer, readers, clock)
        return deleted
    except BlockingIOError:
        return 0
    finally:
        os.close(lock)


async def _delete(writer: Writer, clock: Clock, lane: int, cut: int) -> int:
    """Delete a lane's records below `cut`."""
    deleted = 0
    while step := await writer.do(lambda transaction: _delete_some(transaction, lane, cut)):
        deleted += step
        await clock.sleep(PAUSE_SECONDS)
    return deleted


async def _give_back(writer: Writer, readers: Readers, clock: Clock) -> None:
    """Shrink the file while more of it is free than is of use."""
    for _ in range(max(0, await readers.run(_spare_pages)) // STEP_PAGES):
        await writer.do(_vacuum_some)
        await clock.sleep(PAUSE_SECONDS)


def _expired(connection: sqlite3.Connection, topic: TopicRow, before: float) -> dict[int, int]:
    """The lanes with something to delete, and the offset of the first record that stays."""
    cuts = {lane: offset_since(connection, lane, before) for lane in topic.lanes}
    floors = bounds(connection, topic.lanes)
    return {lane: cut for lane, cut in cuts.items() if cut > floors[lane][0]}


def _delete_some(transaction: Transaction, lane: int, cut: int) -> int:
    """Delete the oldest records of a lane, as far as one job goes; the floor says that they are gone."""
    connection = transaction.connection
    floor, end = bounds(connection, range(lane, lane + 1))[lane]
    places = (row_id(lane, floor), row_id(lane, min(cut, end)), STEP_ROWS)
    rows = connection.execute(
        "SELECT id, length(value) FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", places
    ).fetchall()
    room, count = STEP_BYTES, 0
    for _, size in rows:
        if room <= 0:
            break
        room -= size
        count += 1
    if count:
        stop = rows[count - 1][0] + 1
        connection.execute("DELETE FROM record WHERE id >= ? AND id < ?", (row_id(lane, 0), stop))
        connection.execute("UPDATE lane SET floor = ? WHERE id = ?", (stop - row_id(lane, 0), lane))
    return count


def _spare_pages(connection: sqlite3.Connection) -> int:
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    spare: int = free - max(SPARE_PAGES, pages // SPARE_SHARE)
    return spare


def _vacuum_some(transaction: Transaction) -> None:
    # one by one: Python's sqlite3 ends a statement without columns after its first step, so more pages are one page
    for _ in range(STEP_PAGES):
        transaction.connection.execute("PRAGMA incremental_vacuum(1)")
