"""`merpati mailbox verify --all`: everything in a bucket is read, and what is wrong is named."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest

from merpati.directory.editing import INSTALLATION, log_of
from tests.cli.test_commands import PASSWORD, Shell

PEOPLE = ("ann", "bob", "cid")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("installed"))
    shell.good("domain add here.test")
    (shell.folder / "two.mbox").write_text("".join(f"From a@b.test Sun Sep 13 12:26:40 2020\n\nw{n}\n\n" for n in "12"))
    for name in PEOPLE:
        shell.good(f"account add {name}@here.test", PASSWORD)
        shell.good(f"mailbox import {name}@here.test two.mbox --folder INBOX")
    return shell


@pytest.fixture
def shell(installed: Shell, tmp_path: pathlib.Path) -> Shell:
    return installed.copied(tmp_path)


def log_in(shell: Shell, id: str) -> pathlib.Path:
    return shell.folder / "data" / "objects" / "accounts" / id / "log"


def id_of(shell: Shell, name: str) -> str:
    return str(shell.json(f"account show {name}@here.test")["id"])


def spoil_last(folder: pathlib.Path) -> str:
    file = max(folder.iterdir())
    os.chmod(file, 0o600)
    file.write_bytes(file.read_bytes()[:-1])
    return file.name


def test_a_whole_bucket_is_read_and_right(shell: Shell) -> None:
    assert shell.good("mailbox verify --all") == "6 messages in 3 mailboxes read and right\nnothing is wrong\n"
    found = {"mailboxes": 3, "messages": 6, "of": 6, "wrong": [], "failures": []}
    assert shell.json("mailbox verify --all") == found
    assert "say which mailbox, or --all" in shell.bad("mailbox verify")
    assert "say which mailbox, or --all" in shell.bad("mailbox verify ann@here.test --all")


def test_what_is_damaged_is_named_by_its_owner_and_the_rest_is_read(shell: Shell) -> None:
    key = spoil_last(log_in(shell, id_of(shell, "bob")))
    done = shell.run("mailbox verify --all")
    assert done.returncode == 1
    assert f"bob@here.test: accounts/{id_of(shell, 'bob')}/log/{key}: " in done.stdout
    assert "4 messages in 3 mailboxes read and right" in done.stdout
    assert "something is wrong with 1 of 5 logs" in done.stdout
    found = json.loads(shell.run("mailbox verify --all --json").stdout)
    assert {(one["log"], one["rule"]) for one in found["wrong"]} == {("bob@here.test", "B2")}


@pytest.mark.parametrize("what", ["the list of domains", "here.test"])
def test_a_damaged_directory_is_named_and_the_mailboxes_are_read_all_the_same(shell: Shell, what: str) -> None:
    spoil_last(log_in(shell, INSTALLATION if what != "here.test" else log_of("here.test")))
    found = json.loads(shell.run("mailbox verify --all --json").stdout)
    # the domain's own log tells what it is called no more, if the list of domains is what is damaged
    assert what in {one["log"] for one in found["wrong"]}
    assert (found["mailboxes"], found["messages"]) == (3, 6)


def test_mailboxes_whose_directory_is_gone_are_read_too(shell: Shell) -> None:
    bob = id_of(shell, "bob")
    for id in (INSTALLATION, log_of("here.test")):
        shutil.rmtree(log_in(shell, id).parent)
    spoil_last(log_in(shell, bob))
    found = json.loads(shell.run("mailbox verify --all --json").stdout)
    assert {one["log"] for one in found["wrong"]} == {f"accounts/{bob}"} and found["messages"] == 4


def test_an_account_that_is_being_purged_is_in_order(shell: Shell) -> None:
    shell.good("mailbox compact ann@here.test")
    shell.good("account remove ann@here.test --purge")
    assert shell.json("mailbox verify --all")["messages"] == 4


@pytest.mark.parametrize("which", ["the list of domains", "a domain"])
def test_check_says_that_the_directory_is_damaged(shell: Shell, which: str) -> None:
    spoil_last(log_in(shell, log_of("here.test") if which == "a domain" else INSTALLATION))
    done = shell.run("check --json")
    (directory,) = [one for one in json.loads(done.stdout) if one["name"] == "directory"]
    assert done.returncode == 1 and not directory["good"]
    assert "cannot be read to its end" in directory["detail"] and "B2" in directory["detail"]
