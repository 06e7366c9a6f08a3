"""`merpati account remove|restore` and `merpati mailbox vacuum --all`, as an operator meets them."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from tests.cli.test_commands import PASSWORD, Shell


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("installed"))
    for line in ("domain add here.test", "account add ann@here.test", "account add bob@here.test"):
        assert shell.run(line, PASSWORD).returncode == 0
    (shell.folder / "mail" / "cur").mkdir(parents=True)
    (shell.folder / "mail" / "cur" / "1.a:2,S").write_bytes(b"Subject: one\n\nwords\n")
    (shell.folder / "mail" / "cur" / "2.a:2,S").write_bytes(b"Subject: two\n\n" + b"long\n" * 100_000)
    for name in ("ann", "bob"):
        assert shell.run(f"mailbox import {name}@here.test mail").returncode == 0
    return shell


@pytest.fixture
def shell(installed: Shell, tmp_path: pathlib.Path) -> Shell:
    return installed.copied(tmp_path)


def objects(shell: Shell, under: str) -> list[pathlib.Path]:
    found = (shell.folder / "data").rglob("*")
    return [path for path in found if path.is_file() and f"/{under}" in str(path)]


def of(shell: Shell, line: str) -> dict:  # type: ignore[type-arg]
    done = shell.run(f"{line} --json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_removed_account_is_listed_and_comes_back(shell: Shell) -> None:
    assert shell.run("account remove ann@here.test").stdout == "removed ann@here.test\n"
    (row,) = of(shell, "account list --removed")
    assert (row["address"], row["mailbox"]) == ("ann@here.test", "kept")
    assert "kept" in shell.run("account list here.test --removed").stdout
    assert shell.run("account restore ann@here.test").stdout == "restored ann@here.test\n"
    assert of(shell, "account list --removed") == []
    assert len(of(shell, "mailbox show ann@here.test --folder INBOX")["messages"]) == 2
    assert "there is an account" in shell.run("account restore ann@here.test").stderr
    assert "no account eve@here.test was removed" in shell.run("account restore eve@here.test").stderr


def test_a_purge_leaves_no_word_of_the_mail_an_hour_later(shell: Shell) -> None:
    id = of(shell, "account show ann@here.test")["id"]
    assert shell.run("mailbox compact ann@here.test").returncode == 0
    done = shell.run("account remove ann@here.test --purge")
    assert done.returncode == 0 and "purged, the rest goes in an hour" in done.stdout
    assert {path.parent.name for path in objects(shell, f"accounts/{id}/")} == {"snap", "floor", "log"}
    assert of(shell, "account list --removed")[0]["mailbox"] == "purged"
    assert "being purged" in shell.run("account restore ann@here.test").stderr
    for path in objects(shell, f"accounts/{id}/"):
        os.utime(path, (path.stat().st_mtime - 4000,) * 2)
    assert of(shell, "mailbox vacuum --all")["accounts"]["objects"] >= 2
    left = objects(shell, f"accounts/{id}/")
    assert {path.parent.name for path in left} == {"snap", "floor"}
    assert all(b"Subject" not in path.read_bytes() for path in left)
    assert len(of(shell, "mailbox show bob@here.test --folder INBOX")["messages"]) == 2


def test_one_that_was_removed_before_is_purged_at_once(shell: Shell) -> None:
    assert shell.run("account remove ann@here.test").returncode == 0
    assert shell.run("account remove ann@here.test --purge").returncode == 0
    assert of(shell, "account list --removed")[0]["mailbox"] == "purged"
    assert "no account eve@here.test" in shell.run("account remove eve@here.test --purge").stderr
    assert shell.run("mailbox compact bob@here.test").returncode == 0
    done = of(shell, "account remove bob@here.test --purge")
    assert done.pop("objects") > 0 and done.pop("bytes") > 0
    assert done == {"removed": "bob@here.test", "failures": []}


def test_everything_is_cleaned_and_large_bodies_that_nobody_needs_go(shell: Shell) -> None:
    orphan = shell.folder / "data" / "objects" / "blobs" / f"{'0' * 64}_{'1' * 16}"
    assert orphan.parent.is_dir()
    orphan.write_bytes(b"left over")
    blobs = objects(shell, "blobs/")
    for path in blobs:
        os.utime(path, (path.stat().st_mtime - 100 * 86_400,) * 2)
    said = of(shell, "mailbox vacuum --all --dry-run")
    assert (said["mailboxes"], said["blobs"]) == (2, {"bodies": len(blobs), "removed": 1, "bytes": 9})
    assert orphan.exists()
    assert of(shell, "mailbox vacuum --all --keep 1d")["blobs"]["removed"] == 1
    assert not orphan.exists() and len(objects(shell, "blobs/")) == len(blobs) - 1
    told = shell.run("mailbox vacuum --all").stdout
    assert "2 mailboxes" in told and "removed accounts" in told and "large bodies" in told


def test_a_mailbox_that_cannot_be_read_is_named_and_nothing_that_it_may_need_goes(shell: Shell) -> None:
    id = of(shell, "account show ann@here.test")["id"]
    objects(shell, f"accounts/{id}/log/")[0].write_bytes(b"junk")
    for path in objects(shell, "blobs/"):
        os.utime(path, (path.stat().st_mtime - 100 * 86_400,) * 2)
    done = shell.run("mailbox vacuum --all --json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["blobs"]["removed"] == 0
    assert {failure["what"] for failure in said["failures"]} >= {"blobs"}
    assert id in str(said["failures"])
    assert "not done: blobs" in shell.run("mailbox vacuum --all").stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mailbox vacuum", "say which mailbox, or --all"),
        ("mailbox vacuum ann@here.test --all", "say which mailbox, or --all"),
        ("mailbox vacuum --all --keep ages", "no span"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(shell: Shell, line: str, words: str) -> None:
    done = shell.run(line)
    assert done.returncode == 1 and words in done.stderr


def test_one_mailbox_is_tried_without_removing_anything(shell: Shell) -> None:
    before = sorted(objects(shell, "accounts/"))
    assert of(shell, "mailbox vacuum ann@here.test --dry-run") == {"packs": 0, "snapshots": 0, "objects": 0, "bytes": 0}
    assert sorted(objects(shell, "accounts/")) == before
