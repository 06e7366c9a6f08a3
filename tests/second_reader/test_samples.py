"""Whether what was written in each version of the format is still read: by merpati, and by the second reader (B3)."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
from pathlib import Path

import pytest

from merpati.clock import ManualClock
from merpati.directory.open import open_directory
from merpati.ids import SeededDice
from merpati.log.api import Decision
from merpati.log.frame import Kind
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.auditing import audited
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.objects.files import FilesStore
from merpati.telemetry import Metrics
from tests.second_reader.fold import VERBS
from tests.second_reader.growing import grow
from tests.second_reader.lives import ACCOUNT
from tests.second_reader.log import Log
from tests.second_reader.objects import Bucket
from tests.second_reader.reader import read_mailbox
from tests.second_reader.sampling import CLOSED, main, told
from tests.second_reader.showing import assert_same, letters_in, shown

SAMPLES = Path(__file__).parents[1] / "samples" / "log"
VERSIONS = sorted(path.name.removesuffix(".tar.gz") for path in SAMPLES.glob("*.tar.gz"))


@pytest.fixture(params=VERSIONS)
def sample(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A version, and its bucket."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    with tarfile.open(SAMPLES / f"{request.param}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    return request.param, tmp_path


def opened(root: Path, clock: ManualClock) -> AllMailboxes:
    return AllMailboxes(FilesStore(root, clock), clock=clock, dice=SeededDice(9), writer="test")


def later() -> ManualClock:
    return ManualClock(1_700_100_000.0)


async def account_of(root: Path) -> MailAccount:
    return await opened(root, later()).open(ACCOUNT)


def test_there_is_a_sample_of_the_newest_version_of_each_kind(sample: tuple[str, Path]) -> None:
    name, root = sample
    there = {(data[8:9], data[9]) for path in root.rglob("*/*") if path.is_file() and (data := path.read_bytes()[:16])}
    if name == VERSIONS[-1]:
        assert {kind.value for kind in Kind} <= there, (
            "make a sample of the new version: tests/second_reader/sampling.py"
        )
    number = read_mailbox(root, ACCOUNT).number
    assert letters_in(Log(Bucket(root), ACCOUNT), number) >= {"a", *VERBS} - {"z"}
    assert "z" in letters_in(Log(Bucket(root), CLOSED), read_mailbox(root, CLOSED).number)


def test_a_sample_of_a_new_version_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{VERSIONS[-1]}.json", f"{VERSIONS[-1]}.tar.gz"]


def test_the_second_reader_finds_in_it_what_was_put_there(sample: tuple[str, Path]) -> None:
    name, root = sample
    assert json.loads(json.dumps(told(root))) == json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))


async def test_merpati_finds_the_same_now_and_earlier_and_nothing_wrong(sample: tuple[str, Path]) -> None:
    _, root = sample
    account = await account_of(root)
    assert account.log.tip is not None
    assert_same(read_mailbox(root, ACCOUNT), await shown(account, account.log.tip.state))
    travel = Travel(account.log.reader)
    for number in range(2, account.log.tip.number, 5):
        assert_same(read_mailbox(root, ACCOUNT, number), await shown(account, (await travel.state_at(number)).state))
    found = await audited(account)
    assert (found.wrong, found.messages) == ((), sum(each.exists for each in account.view().folders.values()))


async def test_merpati_writes_on_where_an_older_version_ended(sample: tuple[str, Path]) -> None:
    _, root = sample
    account = await account_of(root)
    before = account.view().folders["INBOX"].exists
    await account.append([Append("INBOX", b"Subject: new\r\n\r\n")])
    await account.log.commit(lambda _: Decision(None, always=True))
    await account.compact()
    again = await account_of(root)
    assert again.view().folders["INBOX"].exists == before + 1
    assert again.log.tip is not None
    assert_same(read_mailbox(root, ACCOUNT), await shown(again, again.log.tip.state))


async def test_merpati_finds_the_directories(sample: tuple[str, Path]) -> None:
    _, root = sample
    clock = later()
    directory = open_directory(FilesStore(root, clock), None, clock, SeededDice(1), Metrics(), "test")
    expected = told(root)["directory"]
    assert [entry.name for entry in await directory.domains()] == sorted(expected)
    for kind, found in (
        ("account", await directory.accounts("a.test")), ("alias", await directory.aliases("a.test")),
        ("removed", await directory.removed("a.test")),
    ):  # fmt: skip
        assert sorted(entry.address for entry in found) == sorted(
            entry["address"] for entry in expected["a.test"][kind].values()
        )
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))


async def test_what_a_later_writer_adds_at_the_end_of_arrays_is_passed_over(sample: tuple[str, Path]) -> None:
    _, root = sample
    before = {number: read_mailbox(root, ACCOUNT, number) for number in range(3, 55, 7)}
    assert grow(root / "accounts" / ACCOUNT) > 40
    account = await account_of(root)
    travel = Travel(account.log.reader)
    for number, expected in before.items():
        assert_same(read_mailbox(root, ACCOUNT, number), expected)
        assert_same(await shown(account, (await travel.state_at(number)).state), expected)
    assert (await audited(account)).wrong == ()
    await account.append([Append("INBOX", b"Subject: new\r\n\r\n")])
    await account.compact()
    again = await account_of(root)
    assert again.log.tip is not None
    assert_same(read_mailbox(root, ACCOUNT), await shown(again, again.log.tip.state))
