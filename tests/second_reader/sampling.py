"""Makes the sample of a version of the format: every kind of object, and every kind of change, in a small bucket.

`python -m tests.second_reader.sampling FOLDER` writes `version-1.tar.gz` and what is in it as `version-1.json`.  Done
once for each version, when it is released: what is in `tests/samples/log` is never made anew (PROTOCOL.md rule B3).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from merpati.clock import ManualClock
from merpati.directory.open import open_directory
from merpati.ids import AccountId, SeededDice
from merpati.log.frame import Kind
from merpati.telemetry import Metrics
from merpati.upkeep.ending import Ending
from tests.second_reader.directory import former_domains, read_directory
from tests.second_reader.lives import ACCOUNT, DatedFiles, Life
from tests.second_reader.reader import Folder, read_mailbox

SEED = 35
CLOSED = AccountId("z" * 26)
"""An account whose log has ended."""


async def make(root: Path) -> None:
    """The bucket, in a folder."""
    clock = ManualClock()
    directory = open_directory(DatedFiles(root, clock), None, clock, SeededDice(SEED), Metrics(), "sample")
    for count in range(52):  # more commits than a snapshot is waited for
        await directory.add_domain(f"d{count}.test")
        await directory.remove_domain(f"d{count}.test")
    await directory.add_domain("a.test", "Bob@a.test")
    for name in ("eve", "mallory"):
        await directory.add_account(f"{name}@a.test", "$argon2id$x", quota=7)
        await directory.remove_account(f"{name}@a.test")
    await directory.restore_account("eve@a.test")
    for count in range(52):
        await directory.add_alias(f"a{count}@a.test", ("bob@a.test",))
        await directory.remove_alias(f"a{count}@a.test")
    await directory.add_account("Bob@a.test", "$argon2id$y")
    await directory.change_account("bob@a.test", enabled=False)
    await directory.add_alias("all@a.test", ("bob@a.test", "x@else.where"))
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    life = Life(root, SEED)
    await life.live(25)
    await life.truncate()
    await life.live(25)
    await life.account.keep_snapshot()
    await life.bring_back()
    await life.bring_in()
    await life.live(10)
    ended = life.boxes.account(CLOSED)
    await ended.refresh()
    await Ending(ended, life.clock).close()
    await life.close()


def told(root: Path) -> dict[str, Any]:
    """What a bucket has, as the second reader reads it: for the sample's JSON."""
    now = read_mailbox(root, ACCOUNT)
    return {
        "number": now.number,
        "folders": {name: _folder(folder) for name, folder in sorted(now.folders.items())},
        "subscriptions": sorted(now.subscriptions),
        "annotations": {
            name: {entry: value.hex() for entry, value in sorted(values.items())}
            for name, values in sorted(now.annotations.items())
        },
        "causes": len(now.causes),
        "directory": read_directory(root),
        "former": len(former_domains(root)),
        "closed": read_mailbox(root, CLOSED).closed,
    }


def _folder(folder: Folder) -> dict[str, Any]:
    return {
        "uidvalidity": folder.uidvalidity,
        "uidnext": folder.uidnext,
        "highestmodseq": folder.highestmodseq,
        "special_use": folder.special_use,
        "messages": [
            [each.uid, sorted(each.flags), each.date, each.modseq, hashlib.sha256(each.data).hexdigest()]
            for each in folder.messages
        ],
        "vanished": len(folder.vanished),
    }


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        asyncio.run(make(root))
        version = max(version for _, version in (kind.value for kind in Kind))
        with tarfile.open(target / f"version-{version}.tar.gz", "w:gz") as tar:
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                if not any(part.startswith(".") for part in path.relative_to(root).parts):
                    tar.add(path, str(path.relative_to(root)))
        (target / f"version-{version}.json").write_text(json.dumps(told(root), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
