"""Whether the second reader meets all that the format has, and refuses what it may not read; see test_second_reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from merpati.mailbox.rebuilding import rebuilt
from merpati.upkeep.ending import Ending
from tests.second_reader.fold import LARGE
from tests.second_reader.lives import ACCOUNT, HOUR, Life
from tests.second_reader.log import Log
from tests.second_reader.objects import Bucket, Refused, TooNew, digest
from tests.second_reader.reader import read_mailbox


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


async def lived(root: Path, seed: int) -> Life:
    """Truncated, with commits that came later."""
    life = Life(root, seed)
    await life.live(40)
    await life.account.keep_snapshot()  # so compaction needs a commit of its own
    await life.truncate()
    await life.bring_back()
    await life.live(30)
    return life


def traits_of(log: Log, last: int) -> set[str]:
    """What commits can have beside their letters."""
    traits = set[str]()
    for number in range(2, last + 1):
        commit = log.commit(number)
        assert commit is not None
        if len(commit.parts) > 1:
            traits.add("several parts")
        if not any(msgspec.msgpack.decode(changes) for changes, _ in commit.parts):
            traits.add("no change")
        larges = 0
        for changes, attachments in commit.parts:
            if len(attachments) > 1:
                traits.add("several attachments")
            for letter, *fields in msgspec.msgpack.decode(changes):
                rows = fields[1] if letter in "ac" else []
                traits |= {trait for row in rows for trait in (_appended(row) if letter == "a" else _copied(row))}
                larges += sum(row[5] is not None for row in rows if letter == "a")
        if larges > 1:
            traits.add("several large bodies")
    return traits


def _appended(row: list[Any]) -> set[str]:
    large = row[5]
    if large is None:
        return {"a UID that is given" if row[7] else "UIDNEXT"}
    return {"a large body without prefix" if row[4] < 0 else "a prefix", "ranges left out" if large[3] else "all of it"}


def _copied(row: list[Any]) -> set[str]:
    origin = "no origin" if row[6] == [0, 0] else "an origin"
    if row[4] < LARGE:
        return {origin}
    return {origin, "a copy of a large body" if row[8] is None else "a copy that says where its large body is"}


async def test_the_lives_have_all_that_commits_can_have(tmp_path: Path) -> None:
    found = set[str]()
    for seed in range(2):
        life = await lived(tmp_path / str(seed), seed)
        await life.bring_in()
        found |= traits_of(Log(Bucket(tmp_path / str(seed)), ACCOUNT), (await life.account.refresh()).number)
        await life.close()
    assert found >= {
        "several parts", "no change", "several attachments", "several large bodies", "UIDNEXT", "a UID that is given",
        "a large body without prefix", "a prefix", "ranges left out", "all of it", "an origin", "no origin",
        "a copy of a large body", "a copy that says where its large body is",
    }  # fmt: skip


async def test_a_closed_account_is_closed_by_its_commit_and_by_its_snapshot(tmp_path: Path) -> None:
    life = await lived(tmp_path, 1)
    ending = Ending(life.account, life.clock)
    number = await ending.close()
    assert read_mailbox(tmp_path, ACCOUNT).closed
    await life.clock.advance(2 * HOUR)
    for path in (tmp_path / "accounts" / ACCOUNT / "log").iterdir():
        path.unlink()
    read = read_mailbox(tmp_path, ACCOUNT)
    assert (read.number, read.closed, read.folders, read.subscriptions) == (number, True, {}, frozenset())
    await life.close()


async def test_what_a_lost_commit_led_to_is_refused_and_what_came_after_is_read(tmp_path: Path) -> None:
    life = await lived(tmp_path, 4)
    lost = (await life.account.refresh()).number - 3
    (tmp_path / "accounts" / ACCOUNT / "log" / f"{lost:020}").unlink()
    await rebuilt(await life.other_process())
    now = (await (await life.other_process()).refresh()).number
    assert read_mailbox(tmp_path, ACCOUNT, now).number == now
    assert read_mailbox(tmp_path, ACCOUNT, lost - 1).number == lost - 1
    with pytest.raises(Refused, match=r"P7"):
        read_mailbox(tmp_path, ACCOUNT, lost)
    await life.close()


def _newest(root: Path, kind: str) -> Path:
    """Of those whose keys count down the first, of commits the last."""
    names = sorted(path for path in (root / "accounts" / ACCOUNT / kind).iterdir() if not path.name.startswith("."))
    return names[-1] if kind == "log" else names[0]


def newer(path: Path) -> None:
    """An object as a newer version would write it: the digest at its end is right."""
    data = bytearray(path.read_bytes())
    data[9] = 2
    length = int.from_bytes(data[-36:-32], "big")
    data[-32:] = digest(bytes(data[:16] + data[-36 - length : -32]))
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["log", "snap", "pack", "past"])
async def test_a_newer_version_of_any_kind_is_refused(kind: str, tmp_path: Path) -> None:
    life = await lived(tmp_path, 4)
    last = (await life.account.refresh()).number
    newer(_newest(tmp_path, kind))
    with pytest.raises(TooNew):
        read_mailbox(tmp_path, ACCOUNT, 5 if kind == "past" else last)
    await life.close()


async def test_a_newer_chunk_is_refused_too(tmp_path: Path) -> None:
    life = await lived(tmp_path, 4)
    await life.account.keep_snapshot()
    log = Log(Bucket(tmp_path), ACCOUNT)
    name = max(log.snapshots()[0].chunks)
    data = bytearray((tmp_path / "accounts" / ACCOUNT / "chunk" / name).read_bytes())
    data[9] = 2
    renamed = f"{digest(bytes(data)).hex()}_{name[-8:]}"
    (tmp_path / "accounts" / ACCOUNT / "chunk" / renamed).write_bytes(data)
    with pytest.raises(TooNew):
        log.chunk(renamed)
    await life.close()


@pytest.mark.parametrize("changes", [[["q", 1]], [["k", 1, ["$a"]], ["ab"]]])
async def test_a_change_that_is_not_known_is_of_a_newer_version(changes: object, tmp_path: Path) -> None:
    life = await lived(tmp_path, 4)
    last = (await life.account.refresh()).number
    path = tmp_path / "accounts" / ACCOUNT / "log" / f"{last:020}"
    head, data = Bucket(tmp_path).head(f"accounts/{ACCOUNT}/log/{last:020}", b"C")
    head[5] = [[msgspec.msgpack.encode(changes), []]]
    packed = msgspec.msgpack.encode(head)
    rest = packed + len(packed).to_bytes(4, "big")
    path.write_bytes(data[:16] + rest + digest(data[:16] + rest))
    with pytest.raises(TooNew):
        read_mailbox(tmp_path, ACCOUNT)
    await life.close()
