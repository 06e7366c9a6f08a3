"""`merpati mailbox`: an account's history, its past, and its upkeep, from the command line."""

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from merpati.cli.mailbox.message import readable
from merpati.directory.editing import log_of
from merpati.log import layout
from tests.cli.test_commands import PASSWORD, Shell
from tests.servers import free_port


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("installed"))
    assert shell.run("domain add here.test").returncode == 0
    assert shell.run("account add ann@here.test", PASSWORD).returncode == 0
    return shell


@pytest.fixture
def shell(installed: Shell, tmp_path: pathlib.Path) -> Shell:
    return installed.copied(tmp_path)


def test_a_mailbox_is_shown_and_kept(shell: Shell) -> None:
    folders = json.loads(shell.run("mailbox show ann@here.test --json").stdout)
    assert folders["folders"][0]["folder"] == "INBOX"
    log = json.loads(shell.run("mailbox log ann@here.test --json").stdout)
    assert [one["commit"] for one in log] == [2] and log[0]["did"] == {"born": 1}
    assert "born" in shell.run("mailbox log ann@here.test").stdout
    assert json.loads(shell.run("mailbox compact ann@here.test --json").stdout)["commits"] == 1
    assert shell.good("mailbox vacuum ann@here.test --dry-run").startswith("nothing was removed; this is what would go")
    for window in ("1d", "1.5d", "2w"):  # as for --at
        assert json.loads(shell.run(f"mailbox vacuum ann@here.test --keep {window} --json").stdout)["packs"] == 0
    assert shell.run("mailbox verify ann@here.test").stdout.startswith("0 messages")
    assert json.loads(shell.run("mailbox show ann@here.test --commit 2 --folder INBOX --json").stdout) == {
        "commit": 2,
        "messages": [],
    }
    assert "0 messages brought back" in shell.run("mailbox restore ann@here.test --commit 2").stdout


def test_a_mailbox_goes_out_and_comes_in_as_a_maildir(shell: Shell) -> None:
    inbox = shell.folder / "old" / "cur"
    inbox.mkdir(parents=True)
    (inbox / "1.a:2,S").write_bytes(b"Subject: one\n\nwords\n")
    assert json.loads(shell.run("mailbox import ann@here.test old --json").stdout)["messages"] == 1
    assert json.loads(shell.run("mailbox import ann@here.test old --json").stdout)["messages"] == 0
    (row,) = json.loads(shell.run("mailbox show ann@here.test --folder INBOX --json").stdout)["messages"]
    assert (row["subject"], row["flags"]) == ("one", "\\Seen")
    assert shell.run("mailbox export ann@here.test new").returncode == 0
    (file,) = (shell.folder / "new" / "cur").iterdir()
    assert file.read_bytes() == b"Subject: one\r\n\r\nwords\r\n"
    assert "not empty" in shell.run("mailbox export ann@here.test new").stderr
    assert "is not there" in shell.run("mailbox import ann@here.test elsewhere").stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mailbox show bob@here.test", "no account bob@here.test"),
        ("mailbox show ann@here.test --commit 99", "commit"),
        ("mailbox show team@here.test", "is an alias of ann@here.test"),
        ("mailbox show gone@here.test", "`merpati account restore` brings it back"),
        ("mailbox show ann@here.test --at 2999-01-01", "is in the future"),
        ("mailbox restore ann@here.test --commit 2 --folder INBOX --beside=", "need a name"),
        ("mailbox show ann@here.test --commit 2 --at 1h", "do not go together"),
        ("mailbox show ann@here.test --folder None", "no such folder"),
        ("mailbox restore ann@here.test", "say which time"),
        ("mailbox restore ann@here.test --commit 2 --uid 1", "--uid needs --folder"),
        ("mailbox show ann@here.test --uid 1", "--uid needs --folder"),
        ("mailbox show ann@here.test --folder INBOX --uid 1", "INBOX has no UID 1 in this state"),
        ("mailbox show ann@here.test --folder INBOX --uid 1 --json", "which is no JSON"),
        ("mailbox vacuum ann@here.test --keep soon", "no span"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(shell: Shell, line: str, words: str) -> None:
    shell.good("alias add team@here.test ann@here.test")
    shell.good("account add gone@here.test", PASSWORD)
    shell.good("account remove gone@here.test")
    done = shell.run(line)
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("number", ["0", "-1"])
@pytest.mark.parametrize("verb", ["show", "log", "restore", "export"])
def test_no_commit_has_a_number_below_one(shell: Shell, verb: str, number: str) -> None:
    done = shell.run(f"mailbox {verb} ann@here.test{' x' if verb == 'export' else ''} --commit {number}")
    assert done.returncode == 2 and "--commit" in done.stderr


def test_what_is_shown_or_brought_back_says_of_which_commit_and_time(shell: Shell) -> None:
    shell.good("mailbox show ann@here.test")
    (shell.folder / "In.mbox").write_text("From a@b.test Sun Sep 13 12:26:40 2020\nSubject: one\n\nwords\n")
    shell.good("mailbox import ann@here.test In.mbox --folder INBOX")
    (shown,) = (one for one in shell.json("mailbox log ann@here.test") if one["did"] == {"added": 1})
    first, heading, *_ = shell.good("mailbox show ann@here.test --at 0s").splitlines()
    for one in shell.json("mailbox log ann@here.test"):  # a time that is copied leads to its commit
        assert shell.json(f"mailbox show ann@here.test --at {one['at']}")["commit"] == one["commit"]
    assert first == f"as of commit {shown['commit']}, {shown['at']}" and heading.split()[0] == "folder"
    assert shell.good("mailbox show ann@here.test --at 2020-09-13") == "before the first commit\n"
    back = shell.good(f"mailbox restore ann@here.test --commit {shown['commit']} --beside Then").splitlines()
    assert back == [f"1 message brought back into 1 folder, {first}"]
    again = shell.good(f"mailbox restore ann@here.test --commit {shown['commit']}").splitlines()
    assert again == [f"0 messages brought back into 0 folders, {first}", "nothing that it had then is missing now"]
    line = f"mailbox restore ann@here.test --commit {shown['commit']} --folder inbox"
    unknown = shell.run(f"{line} --uid 1 --uid 99")
    assert (unknown.returncode, unknown.stdout.splitlines()[1:]) == (1, ["inbox had no UID 99 then"])
    done = json.loads(shell.run(f"{line} --uid 99 --json").stdout)
    assert (done["commit"], done["messages"], done["unknown"]) == (shown["commit"], 0, [99])


def test_a_message_is_printed_byte_for_byte_as_a_state_of_then_has_it(shell: Shell) -> None:
    raw = b"Subject: one\r\n\r\nw\xc3\xb6rds \xff\x1b[31m\r\nno end"
    (shell.folder / "old" / "cur").mkdir(parents=True)
    (shell.folder / "old" / "cur" / "1.a:2,").write_bytes(raw)
    before = shell.json("mailbox show ann@here.test")["commit"]
    shell.good("mailbox import ann@here.test old")
    line = [sys.executable, "-m", "merpati", "mailbox", "show", "ann@here.test", "--folder", "inbox", "--uid", "1"]
    assert subprocess.run(line, cwd=shell.folder, capture_output=True, timeout=100).stdout == raw
    then = shell.run(f"mailbox show ann@here.test --folder INBOX --uid 1 --commit {before}")
    assert then.returncode == 1 and "INBOX has no UID 1 in this state" in then.stderr


async def test_on_a_terminal_a_message_is_text_that_commands_nothing() -> None:
    raw = "Subject: x\r\n\r\ncolumn\tcolumn\r\nw\u00f6rds \x1b[31mred\u202e\r\nno end \u00f6".encode() + b"\xff"

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    for size in (1, 2, 7, 1000):
        lines = [line async for line in readable(pieces(size))]
        assert lines == [
            "Subject: x\n",
            "\n",
            "column  column\n",
            "w\u00f6rds \ufffd[31mred\ufffd\n",
            "no end \u00f6\ufffd\n",
        ]


def test_what_was_marked_for_removal_does_not_come_back_marked(shell: Shell) -> None:
    inbox = shell.folder / "old" / "cur"
    inbox.mkdir(parents=True)
    (inbox / "1.a:2,ST").write_bytes(b"Subject: one\n\nwords\n")
    shell.good("mailbox import ann@here.test old")
    commit = shell.json("mailbox show ann@here.test")["commit"]
    assert "1 message brought back" in shell.good(f"mailbox restore ann@here.test --commit {commit} --beside Then")
    flags = [
        [row["flags"] for row in shell.json(f"mailbox show ann@here.test --folder {name}")["messages"]]
        for name in ("INBOX", "Then/INBOX")
    ]
    assert flags == [["\\Seen \\Deleted"], ["\\Seen"]]


def test_a_damaged_mailbox_is_verified_and_rebuilt(shell: Shell) -> None:
    def came(number: int) -> None:
        inbox = shell.folder / f"old{number}" / "cur"
        inbox.mkdir(parents=True)
        (inbox / f"{number}.a:2,S").write_bytes(f"Subject: {number}\n\nwords\n".encode())
        assert shell.run(f"mailbox import ann@here.test old{number}").returncode == 0

    came(0)
    assert json.loads(shell.run("mailbox verify ann@here.test --json").stdout) == {"messages": 1, "of": 1, "wrong": []}
    done = json.loads(shell.run("mailbox rebuild ann@here.test --json").stdout)
    assert (done["exact"], done["messages"], done["lost"]) == (True, 1, [])
    came(1)
    came(2)
    (snapshot,) = shell.folder.glob("data/**/snap/*")
    lost, last = sorted(snapshot.parent.parent.glob("log/*"))[-2:]
    lost.write_bytes(lost.read_bytes()[:-1])
    told = shell.run("mailbox verify ann@here.test")
    assert told.returncode == 1 and f"log/{lost.name}: " in told.stdout and "(B2); lost: " in told.stdout
    assert "2 messages read and right" not in told.stdout and "`merpati mailbox rebuild`" in told.stdout
    wrong = json.loads(shell.run("mailbox verify ann@here.test --json").stdout)["wrong"]
    refused = shell.bad("mailbox import ann@here.test old1")
    assert f"log/{lost.name}\n" in refused and "rule: B2" in refused and "`merpati mailbox verify`" in refused
    for line in ("log ann@here.test", "show ann@here.test", "export ann@here.test out.tar.gz", "export --all all"):
        behind = shell.run(f"mailbox {line}")
        assert behind.returncode == 1 and f"log/{lost.name}" in behind.stdout + behind.stderr, line
        assert "what came after commit" in behind.stdout + behind.stderr or "the rest cannot" in behind.stderr
    assert {(each["rule"], each["key"].rpartition("/")[2]) for each in wrong} >= {("B2", lost.name)}
    rebuilt = shell.run("mailbox rebuild ann@here.test")
    assert rebuilt.returncode == 1 and f"lost: what was done by commit {int(lost.name)}" in rebuilt.stdout
    assert json.loads(shell.run("mailbox show ann@here.test --json").stdout)["folders"][0]["messages"] == 2
    assert shell.run("mailbox rebuild ann@here.test").returncode == 0
    assert lost.exists() and last.exists()
    shell.good("domain add empty.test")
    for which in ("", " here.test", " empty.test"):
        assert "nothing is wrong" in shell.run(f"domain verify{which}").stdout
        assert json.loads(shell.run(f"domain rebuild{which} --json").stdout)["exact"]
    for verb in ("verify", "rebuild"):
        assert "no domain hree.test" in shell.bad(f"domain {verb} hree.test")


@pytest.mark.parametrize("bus", ["kafka://127.0.0.1:{closed}", "sqlite:"])
def test_a_mailbox_is_looked_after_while_the_bus_cannot_be_used(shell: Shell, bus: str) -> None:
    (shell.folder / "In.mbox").write_text("From a@b.test Sun Sep 13 12:26:40 2020\nSubject: one\n\nwords\n")
    shell.good("mailbox import ann@here.test In.mbox --folder INBOX")
    shutil.rmtree(shell.folder / "data" / "bus")
    (shell.folder / "data" / "bus").write_text("no folder: SQLite finds no place here")
    shell.settings(f'[bus]\nurl = "{bus.format(closed=free_port())}"\n')
    assert shell.run("trace --since 1h").returncode == 1
    assert "1 message read" in shell.good("mailbox verify ann@here.test")
    assert "messages 1" in shell.good("mailbox export --all backup")
    assert shell.json("mailbox vacuum --all --keep 1d")["failures"] == []
    assert [entry["address"] for entry in shell.json("account list")] == ["ann@here.test"]
    for line in ("mailbox restore ann@here.test --commit 3 --beside Then", "mailbox rebuild ann@here.test"):
        assert shell.run(line).returncode == 0
    assert shell.run("account add bob@here.test", PASSWORD).stdout == "added bob@here.test\n"


def test_a_list_and_a_backup_that_a_damaged_directory_cuts_short_are_not_taken_for_whole(shell: Shell) -> None:
    shell.good("account add bob@here.test", PASSWORD)
    domain = layout.log_of(log_of("here.test")).prefix
    last = max((shell.folder / "data" / "objects" / domain / "log").iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    for line in ("account list", "account list --json", "mailbox export --all backup"):
        done = shell.run(line)
        assert done.returncode == 1 and "ann@here.test" in done.stdout + str(list(shell.folder.glob("backup/*"))), line
        assert f"log/{last.name}" in done.stdout + done.stderr
    assert "directory unavailable" in shell.bad("mailbox show bob@here.test")
    assert "here.test" in shell.good("domain list")
    assert shell.run("domain rebuild here.test").returncode == 1
    assert "ann@here.test" in shell.good("account list")
