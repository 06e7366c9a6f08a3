"""Whether a reader that was written from docs/mailbox-log.md finds in the store what merpati shows, byte for byte.

Nothing here needs to be changed when the code is: if the two differ, either the code or the page is wrong.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from merpati.clock import ManualClock
from merpati.directory.open import open_directory
from merpati.ids import SeededDice
from merpati.log.travel import OutOfReach, Travel
from merpati.mailbox.api import Append
from merpati.mailbox.changes import Change
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.rebuilding import rebuilt
from merpati.telemetry import Metrics
from tests.second_reader.directory import former_domains, log_id, read_directory
from tests.second_reader.fold import VERBS
from tests.second_reader.listing import listing
from tests.second_reader.lives import ACCOUNT, DatedFiles, Life
from tests.second_reader.log import Log
from tests.second_reader.objects import Bucket, Refused, TooNew
from tests.second_reader.reader import read_mailbox
from tests.second_reader.showing import assert_same, letters_in, shown

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs/mailbox-log.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power cut is awaited here, and there are a thousand files to write."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


async def lived(root: Path, seed: int, check: Callable[[Life], Awaitable[None]]) -> Life:
    """A life with everything in it, looked at in between."""
    life = Life(root, seed)
    await life.live(35)
    await check(life)
    await life.account.keep_snapshot()
    await life.live(20)
    await check(life)
    await life.truncate()
    await life.bring_back()
    await life.bring_in()
    await life.live(20)
    await check(life)
    await life.clean()
    await life.live(15)
    await check(life)
    return life


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_made_from_the_page_finds_what_merpati_shows(seed: int, tmp_path: Path) -> None:
    letters = set[str]()

    async def check(life: Life) -> None:
        account = await life.other_process()
        assert account.log.tip is not None
        assert_same(read_mailbox(tmp_path, ACCOUNT), await shown(account, account.log.tip.state))
        letters.update(letters_in(Log(Bucket(tmp_path), ACCOUNT), account.view().number))

    life = await lived(tmp_path, seed, check)
    assert letters >= {"a", *VERBS} - {"z"}, "a life without them proves nothing of them"
    assert {"snap", "floor", "chunk", "pack", "past", "log"} == {
        path.name for path in (tmp_path / "accounts" / ACCOUNT).iterdir()
    }
    await life.close()


async def test_it_finds_earlier_states_through_pasts_and_packs_too(tmp_path: Path) -> None:
    seen = 0

    async def check(life: Life) -> None:
        nonlocal seen
        account = await life.other_process()
        travel = Travel(account.log.reader)
        last = account.view().number
        for number in range(last, max(1, last - 60), -9):
            try:
                past = await travel.state_at(number)
            except OutOfReach:
                break
            assert_same(read_mailbox(tmp_path, ACCOUNT, number), await shown(account, past.state))
            seen += 1

    life = await lived(tmp_path, 7, check)
    assert seen > 12
    await life.close()


async def test_an_account_that_was_closed_for_good_has_nothing(tmp_path: Path) -> None:
    life = Life(tmp_path, 1)
    await life.live(5)
    await life.account.close_for_good()
    read = read_mailbox(tmp_path, ACCOUNT)
    assert read.closed and not read.folders and not read.subscriptions and not read.annotations
    await life.close()


async def test_a_damaged_snapshot_is_gone_round(tmp_path: Path) -> None:
    life = Life(tmp_path, 3)
    await life.live(30)
    await life.account.keep_snapshot()
    await life.live(10)
    before = read_mailbox(tmp_path, ACCOUNT)
    spoil(next((tmp_path / "accounts" / ACCOUNT / "snap").iterdir()), at=-50)
    assert read_mailbox(tmp_path, ACCOUNT) == before
    await life.close()


async def test_without_snapshots_the_pasts_lead_to_the_same_and_without_these_nothing_is_shown(tmp_path: Path) -> None:
    life, root = Life(tmp_path, 3), tmp_path / "accounts" / ACCOUNT
    await life.live(30)
    await life.truncate()
    before = read_mailbox(tmp_path, ACCOUNT)
    for snapshot in (root / "snap").iterdir():
        spoil(snapshot, at=-50)
    assert read_mailbox(tmp_path, ACCOUNT) == before
    shutil.rmtree(root / "past")
    with pytest.raises(Refused, match="R1"):
        read_mailbox(tmp_path, ACCOUNT)
    await life.close()


async def test_a_log_that_was_mended_is_read_on_from_there(tmp_path: Path) -> None:
    life = Life(tmp_path, 3)
    await life.live(30)
    await life.account.keep_snapshot()
    await life.live(10)
    last = life.account.view().number
    (tmp_path / "accounts" / ACCOUNT / "log" / f"{last - 2:020}").unlink()
    with pytest.raises(Refused, match="R7"):
        read_mailbox(tmp_path, ACCOUNT)
    await rebuilt(await life.other_process())
    account = await life.other_process()
    await account.append([Append("INBOX", life.letter())])
    assert account.log.tip is not None
    assert_same(read_mailbox(tmp_path, ACCOUNT), await shown(account, account.log.tip.state))
    await life.close()


async def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    life = Life(tmp_path, 3)
    await life.live(3)
    spoil(tmp_path / "accounts" / ACCOUNT / "log" / f"{2:020}", at=9)
    with pytest.raises(TooNew):
        read_mailbox(tmp_path, ACCOUNT)
    await life.close()


def spoil(path: Path, at: int) -> None:
    """Raise one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] = (data[at] + 1) & 0xFF
    path.write_bytes(data)


async def test_a_directory_is_read_from_the_page_too(tmp_path: Path) -> None:
    clock = ManualClock()
    directory = open_directory(DatedFiles(tmp_path, clock), None, clock, SeededDice(1), Metrics(), "test")
    await directory.add_domain("a.test", "Bob@a.test")
    await directory.add_domain("münchen.test")
    await directory.add_domain("gone.test")
    await directory.remove_domain("gone.test")
    for count in range(60):  # more commits than a snapshot is waited for
        await directory.add_domain(f"d{count}.test")
        await directory.remove_domain(f"d{count}.test")
    await directory.add_domain("d7.test")
    for count in range(130):
        await directory.add_account(f"User{count}@a.test", "hash", quota=count)
        if count % 10 == 0:
            await directory.remove_account(f"user{count}@a.test")
    await directory.restore_account("user20@a.test")
    await directory.add_account("Jörg@münchen.test", "hash")
    await directory.change_account("user1@a.test", enabled=False)
    await directory.add_alias("all@a.test", ("user1@a.test", "x@else.where"))
    await directory.add_alias("none@a.test", ("user2@a.test",))
    await directory.remove_alias("NONE@a.test")
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    read = read_directory(tmp_path)
    assert {name: entries["domain"][name] for name, entries in read.items()} == {
        entry.name: builtins_of(entry) for entry in await directory.domains()
    }
    for name, entries in read.items():
        for kind, expected in (
            ("account", await directory.accounts(name)), ("alias", await directory.aliases(name)),
            ("removed", await directory.removed(name)),
        ):  # fmt: skip
            assert sorted(entries[kind].values(), key=str) == sorted(map(builtins_of, expected), key=str)
    assert len(read["a.test"]["removed"]) == 12
    assert former_domains(tmp_path) == {"gone.test", *(f"d{count}.test" for count in range(60) if count != 7)}
    assert any((tmp_path / "accounts" / log_id("directory") / "snap").iterdir())
    assert any((tmp_path / "accounts" / log_id("directory\0a.test") / "snap").iterdir())


def builtins_of(entry: object) -> object:
    """As it stands in JSON."""
    return msgspec.json.decode(msgspec.json.encode(entry))


@pytest.mark.parametrize("path", sorted(HERE.glob("*.py")), ids=lambda path: path.name)
def test_the_reader_shares_no_code_with_merpati(path: Path) -> None:
    if path.name in ("lives.py", "sampling.py", "showing.py") or path.name.startswith("test_"):
        return
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    ours = {f"tests.second_reader.{name}" for name in ("fold", "log", "objects")}
    assert {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names} <= {
        "cramjam", "msgspec", *ours
    }  # fmt: skip


async def test_the_commit_that_the_page_takes_apart_is_one(tmp_path: Path) -> None:
    clock = ManualClock()
    boxes = AllMailboxes(DatedFiles(tmp_path, clock), clock=clock, dice=SeededDice(1), writer="local@mx")
    account = boxes.account(ACCOUNT)
    await account.refresh()
    await account.append([Append("INBOX", b"Subject: hi\r\n\r\nho\r\n", ("\\Seen",), 1.6e9)])
    await boxes.close()
    told = PAGE.partition("### A commit, byte by byte")[2].split("```\n")[1]
    assert told == listing((tmp_path / "accounts" / ACCOUNT / "log" / f"{3:020}").read_bytes()) + "\n"
    data = bytes.fromhex("".join(line[:64].strip() for line in told.splitlines()))
    (tmp_path / "accounts" / ACCOUNT / "log" / f"{3:020}").write_bytes(data)
    (message,) = read_mailbox(tmp_path, ACCOUNT).folders["INBOX"].messages
    assert (message.uid, message.flags, message.data) == (1, {"\\Seen"}, b"Subject: hi\r\n\r\nho\r\n")


def test_the_page_tells_of_every_change() -> None:
    kinds = {kind.__struct_config__.tag for kind in get_args(Change)}
    table = re.findall(r"^\| `(\w)` \|", PAGE, re.MULTILINE)
    assert sorted(table) == sorted(kinds)
    assert {"a", *VERBS} == kinds


def test_every_rule_that_is_cited_is_written_down() -> None:
    root = HERE.parent.parent
    written = set(
        re.findall(r"^- \*\*([A-Z]\d+)\*\*|^\| ([A-Z]\d+) \|", (root / "merpati/log/PROTOCOL.md").read_text(), re.M)
    )
    known = {one or other for one, other in written}
    texts = [root / "docs/mailbox-log.md", root / "merpati/log/PROTOCOL.md"]
    texts += [path for folder in ("log", "mailbox", "upkeep") for path in (root / "merpati" / folder).rglob("*.py")]
    cited = {rule for path in texts for rule in re.findall(r"\b[KBCRSFPVD][1-9]\b", path.read_text())}
    assert len(known) > 50 and cited <= known
