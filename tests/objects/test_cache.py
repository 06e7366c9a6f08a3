"""The disk cache where it may go wrong: several processes, kills, a disk that is full or gone, another limit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.ids import SeededDice
from merpati.log.reading import GRACE
from merpati.log.sound import sound
from merpati.mailbox.api import Append
from merpati.objects.api import NotFound
from merpati.objects.cache import BLOCK, DIGEST, RESPITE, CachedStore
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, fresh, mail, mailboxes, messages
from tests.servers.installed import ROOT

LIMIT = 1 << 20
READS = 3000


def name(number: int) -> str:
    return f"accounts/a/log/{number:020}"


def content(number: int) -> bytes:
    return SeededDice(number).bytes(500 + number * 37 % 9000)


async def filled(count: int) -> MemoryStore:
    inner = MemoryStore(ManualClock())
    for number in range(count):
        await inner.create(name(number), content(number))
    return inner


async def read_much(folder: Path, seed: int) -> None:
    """What each of the processes does: `python -m tests.objects.test_cache FOLDER SEED`."""
    store, dice = CachedStore(await filled(400), folder, LIMIT, SystemClock()), SeededDice(seed)
    for _ in range(READS):
        number = int(dice.uniform(0, 400))
        assert await store.get(name(number)) == content(number), number
    await store.close()


def reader(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.objects.test_cache", str(folder), str(seed)]
    return subprocess.Popen(command, cwd=ROOT)


def taken(folder: Path) -> int:
    """Bytes that the files below take on the disk."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            total += -(-stat.st_size // BLOCK) * BLOCK if path.is_file() else 0
    return total


@pytest.mark.slow
def test_processes_that_share_a_cache_stay_under_its_limit_together_also_when_killed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    readers = [reader(folder, seed) for seed in range(3)]
    most, kills = 0, 0
    until = time.monotonic() + 60
    while any(one.poll() is None for one in readers):
        assert time.monotonic() < until
        most = max(most, taken(folder))
        if kills < 4 and most > LIMIT // 2:
            os.kill(readers[0].pid, signal.SIGKILL)
            readers[0].wait()
            kills += 1
            readers[0] = reader(folder, 100 + kills)
            time.sleep(0.5)
    assert [one.returncode for one in readers] == [0, 0, 0]
    assert kills == 4
    assert LIMIT // 2 < most <= LIMIT


async def test_a_range_of_an_object_that_was_read_whole_costs_no_request(tmp_path: Path) -> None:
    seen: list[str] = []
    inner = MeteredStore(await filled(5), ManualClock(), lambda operation, outcome, seconds: seen.append(operation))
    store = CachedStore(inner, tmp_path, LIMIT, SystemClock())
    await store.get(name(4))
    for start, end in ((0, 10), (100, 400), (600, 5000), (9000, 9001)):
        assert await store.get_range(name(4), start, end) == content(4)[start:end]
    assert seen == ["get"]


class FullDisk(io.FileIO):
    """A file on a disk without room."""

    room = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if str(self.name).endswith("sweep.lock"):  # what processes tell each other
            return super().write(data)
        if FullDisk.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        FullDisk.room -= 1
        return super().write(data)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> type[FullDisk]:
    monkeypatch.setattr("merpati.objects.cache.open", lambda path, mode, buffering: FullDisk(path, mode), raising=False)
    FullDisk.room = 0
    return FullDisk


async def test_on_a_full_disk_reads_go_on_and_what_is_old_makes_room(tmp_path: Path, full_disk: type[FullDisk]) -> None:
    store = CachedStore(await filled(RESPITE + 60), tmp_path, LIMIT, SystemClock())
    full_disk.room = 40
    for number in range(20):
        assert await store.get(name(number)) == content(number)
    before = taken(tmp_path)
    for number in range(20, RESPITE):
        assert await store.get(name(number)) == content(number)
    assert 0 < taken(tmp_path) < before
    full_disk.room = 1000
    for _ in range(RESPITE):
        assert await store.get(name(RESPITE)) == content(RESPITE)
    assert len(content(RESPITE)) + DIGEST in [path.stat().st_size for path in tmp_path.rglob("*")]


async def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder was to be")
    store = CachedStore(await filled(3), tmp_path / "cache", LIMIT, SystemClock())
    for number in (1, 2, 1):
        assert await store.get(name(number)) == content(number)
        assert await store.get_range(name(number), 1, 9) == content(number)[1:9]
    await store.delete([name(1)])


async def test_what_a_cache_of_another_limit_has_left_goes(tmp_path: Path) -> None:
    large = CachedStore(await filled(300), tmp_path, 1 << 30, SystemClock())
    for number in range(300):
        await large.get(name(number))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "old").write_bytes(b"x" * LIMIT)
    small = CachedStore(await filled(300), tmp_path, LIMIT, SystemClock())
    assert await small.get(name(1)) == content(1)
    assert taken(tmp_path) <= LIMIT
    assert [path.name for path in tmp_path.iterdir()] == ["000"]


async def test_a_machine_with_many_processes_stays_under_the_limit_too(tmp_path: Path) -> None:
    """What each had written without saying so added up."""
    inner = await filled(600)
    stores = [CachedStore(inner, tmp_path, LIMIT, SystemClock()) for _ in range(48)]
    most = 0
    for number in range(600):
        await stores[number % len(stores)].get(name(number))
        most = max(most, taken(tmp_path)) if number % 5 == 0 else most
    assert LIMIT // 2 < most <= LIMIT
    for store in stores:
        await store.close()


async def test_while_whoever_measures_is_stopped_nothing_more_is_kept(tmp_path: Path) -> None:
    store = CachedStore(await filled(600), tmp_path, LIMIT, SystemClock())
    await store.get(name(0))
    lock = os.open(tmp_path / "000" / "sweep.lock", os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for number in range(600):
        assert await store.get(name(number)) == content(number)
    assert LIMIT // 8 < taken(tmp_path) < LIMIT // 4
    os.close(lock)
    for _ in range(2):
        for number in range(600):
            assert await store.get(name(number)) == content(number)
    assert LIMIT // 2 < taken(tmp_path) <= LIMIT


async def test_what_nobody_reads_for_a_week_goes_whoever_looks(tmp_path: Path) -> None:
    """It may be the mail of an account that was deleted, and no other mail may come to push it out."""
    clock = ManualClock(start=time.time())
    inner, day = await filled(3), 86_400.0
    store, other = (CachedStore(inner, tmp_path, LIMIT, clock) for _ in range(2))

    def age() -> None:
        for path in tmp_path.rglob("*"):
            if len(path.name) == 40:
                used = path.stat().st_mtime - day
                os.utime(path, (used, used))

    for number in range(3):
        await store.get(name(number))
    await inner.delete([name(1)])
    for _ in range(8):
        age()
        await clock.advance(day + 1)
        await other.get(name(0))
    assert len([path for path in tmp_path.rglob("*") if len(path.name) == 40]) == 1
    assert await store.get(name(0)) == content(0)
    assert await store.get(name(2)) == content(2)
    with pytest.raises(NotFound):
        await store.get(name(1))


async def test_what_came_garbled_is_read_again_and_not_remembered(tmp_path: Path) -> None:
    store = MemoryStore(ManualClock())
    account = await mailboxes(store).open(ACCOUNT)
    await account.append(messages(1, 2))
    await account.append([Append("INBOX", mail("large", 300_000))])
    await account.compact()
    whole = [info.key async for info in store.list("")]
    assert {key.split("/")[-2] for key in whole} == {"log", "snap", "chunk", "pack", "past", "floor", "blobs"}
    for key in whole:
        right = await store.get(key)
        spoiled = right[:-1] + bytes([right[-1] ^ 1])
        assert sound(key, right)
        await store.put(key, spoiled)
        cache = CachedStore(store, tmp_path, 1 << 26, ManualClock(), sound=sound)
        assert await cache.get(key) == spoiled
        await store.put(key, right)
        assert await cache.get(key) == right
        await cache.close()


async def test_a_command_that_root_runs_reads_the_server_s_cache_and_writes_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, folder = await filled(3), tmp_path / "cache"
    server = CachedStore(inner, folder, LIMIT, SystemClock())
    await server.get(name(1))
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    before = sorted(folder.rglob("*"))
    command = CachedStore(inner, folder, LIMIT, SystemClock())
    for number in (1, 2, 2):
        assert await command.get(name(number)) == content(number)
    await inner.delete([name(1)])
    assert await command.get(name(1)) == content(1)
    assert sorted(folder.rglob("*")) == before


class Garbling(WrappedStore):
    """A network that spoils the ranges it brings, for as long as it is bad."""

    bad = False

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        data = await super().get_range(key, start, end)
        return data[:-1] + bytes([data[-1] ^ 1]) if self.bad else data


@pytest.mark.parametrize("packed", [False, True])
async def test_mail_that_came_garbled_once_is_not_lost_to_this_node(tmp_path: Path, packed: bool) -> None:
    """A range has no digest of its own, so it is kept; who reads it finds that it is wrong, and asks the bucket."""
    clock = ManualClock()
    bucket = MemoryStore(clock)
    writer = mailboxes(bucket, clock).account(ACCOUNT)
    await writer.append(messages(1, 2))
    await writer.keep_snapshot()
    if packed:
        for _ in range(2):
            await writer.compact()
            await clock.advance(GRACE + 1)
    network = Garbling(bucket)
    for _ in range(2):
        account = fresh(CachedStore(network, tmp_path, 1 << 26, clock, sound=sound), clock)
        view = await account.folder("INBOX", fresh=True)
        network.bad = not network.bad
        assert [await account.body(view.body(row)) for row in range(2)] == [mail(1), mail(2)]


if __name__ == "__main__":
    asyncio.run(read_much(Path(sys.argv[1]), int(sys.argv[2])))
