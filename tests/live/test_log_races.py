"""32 writers in four processes on one mailbox: 2,000 commits, no gap, no lost update, nobody starved."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest

from merpati.ids import SystemDice, new_account_id
from tests.live.log.crew import crew
from tests.live.log.judge import ledgers, wrong_in_log, wrong_in_mailbox
from tests.live.log.raw import BucketObjects, FolderObjects, Objects, raw_log
from tests.live.log.writers import Plan
from tests.servers.object_stores import client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROCESSES, EACH = 4, 8
COMMITS = 2000
SECONDS = 200.0
"""On a machine that has other things to do; alone it is a fifth of it."""


@pytest.fixture(params=["files", "minio", "seaweed"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[tuple[str, Objects]]:
    """The URL of a fresh store, and a way into it beside."""
    if request.param == "files":
        yield f"file:{tmp_path / 'objects'}", FolderObjects(tmp_path / "objects")
        return
    url: str = request.getfixturevalue("s3_url" if request.param == "minio" else "seaweed_url")
    bucket, _, endpoint = url.removeprefix("s3://").partition("?endpoint=")
    yield url, BucketObjects(client(endpoint), bucket)


async def test_32_writers_make_2000_commits_and_lose_no_update(
    store: tuple[str, Objects], tmp_path: pathlib.Path
) -> None:
    url, objects = store
    who, folder = new_account_id(SystemDice()), tmp_path / "crew"
    names = [tuple(f"w{process}x{each}" for each in range(EACH)) for process in range(PROCESSES)]
    plans = [
        Plan(url, who, str(folder), names[each], until=COMMITS + 1, seed=each, node=f"node{each % 2}")
        for each in range(PROCESSES)
    ]
    with crew(folder, plans) as running:
        began = time.monotonic()
        for process in range(PROCESSES):
            running.start(process)
        running.wait(SECONDS)
        took = time.monotonic() - began
        assert "Traceback" not in running.said()
    told = ledgers(folder)
    log = raw_log(objects, f"accounts/{who}")
    made = {name: len(ledger.appended) + len(ledger.counted) for name, ledger in told.items()}
    longest = max(ledger.longest for ledger in told.values())
    print(f"{len(log.commits)} commits in {took:.1f} s, {min(made.values())} to {max(made.values())} a writer, "
          f"the slowest {longest:.2f} s")  # fmt: skip
    assert wrong_in_log(log, told) == []
    assert len(log.commits) >= COMMITS
    # nothing was refused, nothing took as long as the patience, and everybody had a turn
    assert [kind for ledger in told.values() for kind in ledger.refused] == []
    assert len(told) == PROCESSES * EACH and min(made.values()) > 0
    assert await wrong_in_mailbox(url, tmp_path, who, told) == []
