"""What the files engine owes to disks, crashes and other processes."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Unavailable, Unknown
from merpati.objects import files
from merpati.objects.api import Exists, NotFound
from merpati.objects.files import STALE, FilesStore


async def test_a_temporary_file_left_by_a_crash_is_removed_and_a_young_one_is_not(tmp_path: Path) -> None:
    (tmp_path / ".tmp").mkdir()
    clock = ManualClock()
    for name, age in (("old", STALE + 1), ("young", STALE - 1)):
        file = tmp_path / ".tmp" / name
        file.write_bytes(b"half")
        os.utime(file, (clock.time() - age,) * 2)
    FilesStore(tmp_path, clock)
    assert [path.name for path in (tmp_path / ".tmp").iterdir()] == ["young"]


async def test_nothing_temporary_remains_after_success_or_failure(tmp_path: Path) -> None:
    store = FilesStore(tmp_path, SystemClock())
    await store.create("a/b", b"1")
    await store.put("a/b", b"2")
    with pytest.raises(Exists):
        await store.create("a/b", b"3")
    assert list((tmp_path / ".tmp").iterdir()) == []


async def test_the_folder_of_a_deleted_account_goes_with_its_last_object(tmp_path: Path) -> None:
    store = FilesStore(tmp_path, SystemClock())
    await store.create("accounts/x/log/1", b"1")
    await store.create("accounts/y/log/1", b"1")
    await store.delete(["accounts/x/log/1"])
    assert [path.name for path in (tmp_path / "accounts").iterdir()] == ["y"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE])
async def test_a_disk_that_is_full_or_broken_is_unavailable_and_nothing_is_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = FilesStore(tmp_path, SystemClock())

    def failing_fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", failing_fsync)
    with pytest.raises(Unavailable):
        await store.create("a", b"1")
    monkeypatch.undo()
    with pytest.raises(NotFound):
        await store.get("a")
    assert list((tmp_path / ".tmp").iterdir()) == []


async def test_a_folder_that_cannot_be_synced_makes_the_end_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesStore(tmp_path, SystemClock())

    def failing_sync(_: str) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(files, "sync_folder", failing_sync)
    with pytest.raises(Unknown):
        await store.create("a", b"1")


def _race(root: str, who: int, rounds: int) -> list[int]:
    async def run() -> list[int]:
        store = FilesStore(Path(root), SystemClock())
        won = []
        for number in range(rounds):
            try:
                await store.create(f"race/{number}", b"%d" % who)
                won.append(number)
            except Exists:
                pass
        return won

    return asyncio.run(run())


def test_processes_racing_for_keys_have_one_winner_each(tmp_path: Path) -> None:
    rounds = 100
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_race, [(str(tmp_path), who, rounds) for who in range(4)])
    assert sorted(number for numbers in won for number in numbers) == list(range(rounds))
