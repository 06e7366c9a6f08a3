"""Archives as files: what is wrong with one is told, `tar` opens them, and what is damaged takes nothing along."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from merpati.errors import Permanent
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.mailbox.carrying.values import Unreadable
from tests.carrying.changing import changed, with_json, without
from tests.carrying.everything import NAMES, empty, filled, from_archive, present, rich, seen, to_archive

BAD = [
    (without("merpati-archive"), "does not begin with"),
    (without("folders.jsonl"), "not in their order"),
    (without("index-"), "not in their order"),
    (without("0000000002.eml"), "not in their order"),
    (without("end.json"), "ends in the middle"),
    (with_json("merpati-archive", version=2), "upgrade to read it"),
    (with_json("merpati-archive", format="other"), "no archive of a mailbox"),
    (with_json("merpati-archive", id="../../x"), "id is not"),
    (with_json("folders.jsonl", name="same"), "is in the archive twice"),
    (with_json("folders.jsonl", uidvalidity=0), "UIDVALIDITY or UIDNEXT"),
    (with_json("folders.jsonl", uidnext=1 << 32), "UIDVALIDITY or UIDNEXT"),
    (with_json("folders.jsonl", uidnext="many"), "not what it should be"),
    (with_json("folders.jsonl", uidnext=2), "do not ascend"),
    (with_json("index-", uid=1), "do not ascend"),
    (with_json("index-", uid=-1), "do not ascend"),
    (with_json("index-", file="../../../etc/passwd"), "not in their order"),
    (with_json("index-", date=1 << 70), "a date in the archive"),
    (with_json("index-", date=1 << 60), "a date in the archive"),
    (with_json("folders.jsonl", special_use="\\Sent\r\n* BYE"), "a special use"),
    (with_json("folders.jsonl", annotations={"/private/x\r\n* BYE": ""}), "name of an annotation"),
    (with_json("merpati-archive", annotations={"x": ""}), "name of an annotation"),
    (lambda name, data: b'{"x":' + b"[" * 1_000_000 if "merpati-archive" in name else data, "not what it should be"),
    (lambda name, data: b"no json" if "index-" in name else data, "not what it should be"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
async def test_an_archive_that_is_wrong_is_told_so(tmp_path: Path, change: Any, words: str) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    bad = changed(tmp_path / "a.tar.gz", tmp_path / "bad.tar.gz", change)
    with pytest.raises(Unreadable) as refused:
        await from_archive(await empty(), bad)
    assert words in str(refused.value)


async def test_a_folder_of_an_impossible_name_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    account = await filled()
    await to_archive(account, tmp_path / "a.tar.gz", "Work")
    bad = changed(tmp_path / "a.tar.gz", tmp_path / "bad.tar.gz", with_json("folders.jsonl", name="a//b"))
    other = await empty()
    with pytest.raises(Unreadable, match="no folder can have"):
        await from_archive(other, bad)
    assert (await other.refresh()).messages == 0 and len(other.view().folders) == 6


async def test_one_message_that_is_damaged_is_named_and_the_rest_comes(tmp_path: Path) -> None:
    account, other = await rich(), await empty()
    await to_archive(account, tmp_path / "a.tar.gz")
    inbox = len((await account.folder("INBOX")).uids)
    bad = changed(
        tmp_path / "a.tar.gz",
        tmp_path / "bad.tar.gz",
        lambda name, data: data.replace(b"Subject", b"Sabject") if name.endswith("0000000002.eml") else data,
    )
    carried = await from_archive(other, bad)
    assert carried.lost == 2 and carried.messages == 11
    assert carried.notes == ("INBOX UID 2: its bytes are lost", "Work UID 2: its bytes are lost")
    assert len((await other.folder("INBOX")).uids) == inbox - 1
    assert (await seen(other))["INBOX"][1] == (await seen(account))["INBOX"][1], "UIDNEXT as it was"


async def test_every_cut_is_told_from_the_whole(tmp_path: Path) -> None:
    await to_archive(await filled(), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    whole = gzip.compress(data)
    for cut in [*range(1, len(whole) - 1, len(whole) // 37), len(whole) - 9]:
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(Unreadable):
            for _ in ArchiveReader(tmp_path / "cut").messages():
                pass
    (tmp_path / "twice").write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + b"\0" * 100)
    assert len(list(ArchiveReader(tmp_path / "twice").messages())) == 11


async def test_what_came_of_half_an_archive_is_named_and_a_whole_one_goes_on(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:-40_000])
    account = await empty()
    with pytest.raises(Unreadable, match="ends in the middle") as refused:
        await from_archive(account, tmp_path / "cut.tar")
    folders = account.view().folders
    aside = str(refused.value.facts["unfinished"])
    assert aside in folders and refused.value.facts["messages"] == account.view().messages > 0
    assert (await from_archive(account, tmp_path / "a.tar")).there == refused.value.facts["messages"]
    whole = await empty()
    await from_archive(whole, tmp_path / "a.tar")
    assert await seen(account) == await seen(whole)


async def test_a_gigabyte_of_nothing_costs_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("merpati-archive.json")
    info.size = 1 << 30
    (tmp_path / "bomb").write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"{" * (1 << 20)))
    with pytest.raises(Unreadable, match="more than"):
        ArchiveReader(tmp_path / "bomb")


def tar(*words: object) -> list[str]:
    done = subprocess.run(["tar", *map(str, words)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


async def test_tar_opens_it_and_what_tar_packs_again_comes_in(tmp_path: Path) -> None:
    await to_archive(await rich(), tmp_path / "a.tar.gz")
    names = tar("-tzf", tmp_path / "a.tar.gz")
    assert names[:3] == ["merpati-archive.json", "folders.jsonl", "folders/0001-INBOX/index-000001.jsonl"]
    assert names[-1] == "end.json" and all(name.isascii() and ".." not in name for name in names)
    (tmp_path / "x").mkdir()
    tar("-xzf", tmp_path / "a.tar.gz", "-C", tmp_path / "x")
    head = json.loads((tmp_path / "x" / "merpati-archive.json").read_bytes())
    assert (head["format"], head["version"], head["address"]) == ("merpati-mailbox", 1, "ann@here.test")
    tar("-czf", tmp_path / "b.tgz", "-C", tmp_path / "x", *(f"./{name}" for name in names))
    assert (await from_archive(await empty(), tmp_path / "b.tgz")).messages == 13


async def test_an_archive_is_there_when_it_is_whole_and_never_overwritten(tmp_path: Path) -> None:
    account = await filled()
    await to_archive(account, tmp_path / "a.tar.gz")
    with pytest.raises(Permanent, match="there already"):
        await to_archive(account, tmp_path / "a.tar.gz")
    (tmp_path / "stopped.tar.gz.part").write_bytes(b"of an export that was killed")
    await to_archive(account, tmp_path / "stopped.tar.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "stopped.tar.gz"]


@pytest.mark.parametrize("only", NAMES[:3])
async def test_one_folder_goes_out_and_one_of_many_comes_in(tmp_path: Path, only: str) -> None:
    account, other, third = await rich(), await empty(), await empty()
    await to_archive(account, tmp_path / "one.tar.gz", only)
    await to_archive(account, tmp_path / "all.tar.gz")
    await from_archive(other, tmp_path / "one.tar.gz")
    await from_archive(third, tmp_path / "all.tar.gz", only)
    expected = (await seen(account))[only]
    assert (await seen(other))[only] == (await seen(third))[only] == expected
    assert (await present(other)).state.messages == len(expected[-1]) == (await present(third)).state.messages
