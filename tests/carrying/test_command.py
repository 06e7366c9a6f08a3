"""`merpati mailbox export` and `import` as an operator meets them."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.test_commands import PASSWORD, Shell

F = "From a@b.test Sun Sep 13 12:26:40 2020\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("installed"))
    assert shell.run("domain add here.test").returncode == 0
    for name in ("ann", "bob"):
        assert shell.run(f"account add {name}@here.test", PASSWORD).returncode == 0
    (shell.folder / "Old.mbox").write_text(f"{F}Subject: one\nStatus: RO\n\nwords\n\n{F}Subject: two\n\nwords\n\n")
    assert shell.run("mailbox import ann@here.test Old.mbox").returncode == 0
    return shell


@pytest.fixture
def shell(installed: Shell, tmp_path: pathlib.Path) -> Shell:
    return installed.copied(tmp_path)


def subjects(shell: Shell, address: str, folder: str = "Old") -> list[tuple[int, str, str]]:
    shown = json.loads(shell.run(f"mailbox show {address} --folder {folder} --json").stdout)
    return [(row["uid"], row["subject"], row["flags"]) for row in shown["messages"]]


ANN = [(1, "one", "\\Seen"), (2, "two", "")]


@pytest.mark.parametrize("target", ["out", "out.tar.gz", "out.tar", "boxes --format mbox", "x.mbox --folder Old"])
def test_what_is_told_from_the_name_comes_in_as_it_went_out(shell: Shell, target: str) -> None:
    assert subjects(shell, "ann@here.test") == ANN
    done = json.loads(shell.run(f"mailbox export ann@here.test {target} --json").stdout)
    assert (done["messages"], done["lost"]) == (2, 0)
    place = target.split()[0]
    into = "--folder Old" if place == "x.mbox" else ""
    for new in (2, 0):
        done = json.loads(shell.run(f"mailbox import bob@here.test {place} {into} --json").stdout)
        assert (done["messages"], done["there"]) == (new, 2 - new)
    assert subjects(shell, "bob@here.test") == ANN


def test_an_export_is_as_of_an_earlier_time_if_it_is_asked_for(shell: Shell) -> None:
    number = json.loads(shell.run("mailbox show ann@here.test --json").stdout)["commit"]
    (shell.folder / "New.mbox").write_text(f"{F}Subject: three\n\nwords\n")
    assert "messages 1" in shell.run("mailbox import ann@here.test New.mbox --folder Old").stdout
    assert "messages 2" in shell.run(f"mailbox export ann@here.test then.tar.gz --commit {number}").stdout
    assert "messages 3" in shell.run("mailbox export ann@here.test now.tar.gz --at 0s").stdout
    shell.run("mailbox import bob@here.test then.tar.gz")
    assert subjects(shell, "bob@here.test") == ANN


def test_all_accounts_go_into_a_folder_of_archives(shell: Shell) -> None:
    done = json.loads(shell.run("mailbox export --all backup --json").stdout)
    assert (done["messages"], done["failed"]) == (2, 0)
    assert sorted(path.name for path in (shell.folder / "backup").iterdir()) == [
        "ann@here.test.tar.gz",
        "bob@here.test.tar.gz",
    ]
    again = shell.run("mailbox export --all backup --json")
    assert again.returncode == 1 and json.loads(again.stdout)["failed"] == 2
    assert "there already" in json.loads(again.stdout)["notes"][0]


def merpati(shell: Shell, line: str, **streams: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "merpati", *line.split()], cwd=shell.folder, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["", "--format mbox --folder Old"])
def test_one_mailbox_flows_into_another(shell: Shell, form: str) -> None:
    into = "--folder Old" if form else ""
    out = merpati(shell, f"mailbox export ann@here.test - {form}", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    back = merpati(shell, f"mailbox import bob@here.test - {into} --json", stdin=out.stdout, stdout=subprocess.PIPE)
    assert json.loads(back.communicate(timeout=100)[0])["messages"] == 2
    assert b"messages 2" in out.communicate(timeout=100)[1]
    assert (out.returncode, back.returncode) == (0, 0)
    assert subjects(shell, "bob@here.test") == ANN


def test_what_went_to_standard_output_is_told_as_json_beside_it(shell: Shell) -> None:
    out = merpati(shell, "mailbox export ann@here.test - --json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    archive, said = out.communicate(timeout=100)
    assert archive.startswith(b"\x1f\x8b") and json.loads(said)["messages"] == 2


def test_a_file_whose_name_is_not_utf_8_is_named_in_words_and_in_json(shell: Shell) -> None:
    (shell.folder / "old" / "cur").mkdir(parents=True)
    (shell.folder / "old" / "cur" / os.fsdecode(b"1.\xff:2,")).touch()
    for line in ("import ann@here.test old", "import ann@here.test old --json"):
        done = shell.run(f"mailbox {line}")
        assert done.returncode == 1 and "udcff:2,: it is empty" in done.stdout
    assert json.loads(done.stdout)["refused"] == 1


def killed_after(process: subprocess.Popen[bytes], shell: Shell, commits: int) -> bool:
    """Let a process add so many commits to whatever logs and kill it then; False if it came to its end before."""

    def there() -> int:
        return sum(1 for _ in (shell.folder / "data/objects/accounts").glob("*/log/*"))

    before = there()
    while process.poll() is None and there() < before + commits:
        time.sleep(0.001)
    if process.poll() is None:
        process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("place", ["Many.mbox", "many.tar.gz"])
def test_an_import_that_is_killed_again_and_again_brings_each_message_once(shell: Shell, place: str) -> None:
    letters = (f"{F}Subject: {number}\n\n{'words ' * 500}\n\n" for number in range(1500))
    (shell.folder / "Many.mbox").write_text("".join(letters))
    if place != "Many.mbox":
        shell.run("mailbox import ann@here.test Many.mbox --folder INBOX")
        shell.run(f"mailbox export ann@here.test {place} --folder INBOX")
    line = f"mailbox import bob@here.test {place} --folder INBOX --json"
    killed, dice = 0, random.Random(3)
    while True:
        process = merpati(shell, line, stdout=subprocess.PIPE)
        if not killed_after(process, shell, dice.randrange(1, 4)):
            break
        killed += 1
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and killed
    assert json.loads(said)["messages"] + json.loads(said)["there"] == 1500
    expected = [(number + 1, str(number), "") for number in range(1500)]
    assert subjects(shell, "bob@here.test", "INBOX") == expected
    folders = json.loads(shell.run("mailbox show bob@here.test --json").stdout)["folders"]
    assert not [row for row in folders if row["folder"].startswith("Import")]


def _no_file_above_4_kib() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.parametrize("target", ["new.tar.gz", "new.tar", "new.mbox --folder Old", "new"])
def test_an_export_that_has_no_room_says_so_and_leaves_nothing_half_done(shell: Shell, target: str) -> None:
    noise = base64.encodebytes(random.Random(5).randbytes(100_000)).decode()
    (shell.folder / "More.mbox").write_text(f"{F}Subject: three\n\n{noise}\n")
    assert shell.run("mailbox import ann@here.test More.mbox --folder Old").returncode == 0
    line = f"mailbox export ann@here.test {target}"
    done = merpati(shell, line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_no_file_above_4_kib)
    said = done.communicate(timeout=100)
    assert done.returncode == 1 and said[0] == b""
    assert said[1].startswith(b"merpati: this cannot be written: File too large"), said[1].decode()
    assert b"None" not in said[1] and b"Traceback" not in said[1]
    assert not [path for path in shell.folder.glob("new*") if path.is_file()]


WRONG = [
    ("export ann@here.test", "ADDRESS TARGET"),
    ("export --all backup ann@here.test", "--all goes with no address"),
    ("export ann@here.test Old.mbox --folder Old", "there already"),
    ("export ann@here.test Old.mbox", "there already"),
    ("export ann@here.test out --folder None", "no such folder"),
    ("export ann@here.test out.tar.gz --commit 99", "commit"),
    ("export ann@here.test - --format maildir", "to standard output"),
    ("export ann@here.test - --format mbox", "to standard output"),
    ("import ann@here.test nowhere", "is not there"),
    ("import ann@here.test merpati.toml", "none of Maildir, mbox and archive"),
    ("import ann@here.test merpati.toml --format mbox", "does not begin with"),
    ("import ann@here.test merpati.toml --format archive", "is no archive"),
    ("import ann@here.test Old.mbox --format maildir", "no Maildir"),
    ("import ann@here.test Old.mbox --format archive", "Old.mbox is no archive"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_what_cannot_be_done_is_one_line_and_status_1(shell: Shell, line: str, words: str) -> None:
    done = shell.run(f"mailbox {line}")
    assert done.returncode == 1 and words in done.stderr
    assert subjects(shell, "ann@here.test") == ANN


def test_inbox_may_be_named_in_any_case(shell: Shell) -> None:
    assert shell.run("mailbox import ann@here.test Old.mbox --folder inbox").returncode == 0
    assert shell.run("mailbox export ann@here.test one.tar --folder Inbox").returncode == 0
    assert shell.run("mailbox import bob@here.test one.tar --folder iNBOX").returncode == 0
    assert subjects(shell, "bob@here.test", "INBOX") == ANN


def test_a_message_that_is_refused_is_named_and_the_status_is_1(shell: Shell) -> None:
    (shell.folder / "New.mbox").write_text(f"{F}{F}Subject: three\n\nwords\n")
    done = shell.run("mailbox import ann@here.test New.mbox")
    assert done.returncode == 1
    assert "messages 1" in done.stdout and "refused 1" in done.stdout
    assert "New.mbox message 1: it is empty" in done.stdout
