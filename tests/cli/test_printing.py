"""What strangers write (subjects, names of folders) on an operator's terminal, and tables that stay tables."""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from merpati.cli.common import print_json, say
from merpati.cli.mailbox.message import print_message
from merpati.cli.tables import print_table
from tests.cli.test_commands import PASSWORD, Shell
from tests.mailbox.worlds import ACCOUNT, mail, mailboxes, messages

HOSTILE = [
    pytest.param("[/bold] what closes nothing", "[/bold] what closes nothing", id="markup that does not fit"),
    pytest.param("[list] [red]offer[/red]", "[list] [red]offer[/red]", id="markup that does"),
    pytest.param(":smile: \\[x]", ":smile: \\[x]", id="names of emoji, and a backslash"),
    pytest.param("a\x1b[2Jb\x9b31mc\r\nd", "a\ufffd[2Jb\ufffd31mc\ufffd\ufffdd", id="escape sequences"),
    pytest.param("invoice \u202egnp.exe", "invoice \ufffdgnp.exe", id="text turned around"),
    pytest.param("one\u2028two\ud800", "one\ufffdtwo\ufffd", id="a separator of lines, half a character"),
    pytest.param("日本語 é 😀", "日本語 é 😀", id="other people's writing"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_strangers_write_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    for terminal in (False, True):
        to = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=80, soft_wrap=True)
        say(text, to=to)
        print_table(["uid", "subject"], [[7, text]], to=to)
        assert to.file.getvalue().splitlines() == [shown, "uid  subject", f"  7  {shown}"]


def test_a_table_is_cut_at_the_edge_of_a_terminal_and_whole_elsewhere() -> None:
    rows = [[7, "日本語" * 20, "x" * 100], [12_345, "é", "y"]]
    narrow = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=60)
    print_table(["uid", "from", "subject"], rows, to=narrow)
    lines = narrow.file.getvalue().splitlines()
    assert lines[0] == "  uid  from                  subject"
    assert cell_len(lines[1]) == 60 and lines[1].endswith("…")
    assert lines[2] == "12345  é                     y"
    whole = Console(file=io.StringIO(), width=60, soft_wrap=True)
    print_table(["uid", "from", "subject"], rows, to=whole)
    assert whole.file.getvalue().splitlines()[1] == f"    7  {'日本語' * 20}  {'x' * 100}"


def test_a_mailbox_of_hostile_names_and_subjects_is_shown(tmp_path: pathlib.Path) -> None:
    shell = Shell(tmp_path)
    shell.good("domain add here.test")
    shell.good("account add ann@here.test", PASSWORD)
    folder = tmp_path / "old" / ".[|bold]"
    for sub in ("cur", "new"):
        (folder / sub).mkdir(parents=True)
    (tmp_path / "old" / "cur").mkdir()
    (folder / "cur" / "1.a:2,S").write_bytes(b"From: x@y.z\nSubject: [/red] offer\n\nwords\n")
    shell.good("mailbox import ann@here.test old")
    assert "[|bold]         1" in shell.good("mailbox show ann@here.test")
    assert shell.good("mailbox show ann@here.test --folder [|bold]").endswith("  [/red] offer\n")
    assert "no account [/x]@here.test" in shell.bad("mailbox show [/x]@here.test")


class Narrow(io.RawIOBase):
    """A file that takes a little at a time, as a pipe may, without Python's buffer before it."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)[:7]  # type: ignore[call-overload]
        self.taken += part
        return len(part)


def test_json_is_written_whole_to_an_output_without_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(narrow, write_through=True))  # type: ignore[type-var]
    print_json({"folders": list(range(100))})
    assert json.loads(narrow.taken) == {"folders": list(range(100))}


async def test_a_message_is_written_whole_to_an_output_without_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    account = await mailboxes().open(ACCOUNT)
    await account.append(messages(1))
    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(narrow, write_through=True))  # type: ignore[type-var]
    tip = account.log.tip
    assert tip is not None
    await print_message(account, tip.state, "INBOX", 1)
    assert narrow.taken == mail(1) and not narrow.closed


@pytest.mark.slow
def test_what_the_encoding_of_a_terminal_lacks_is_shown_as_an_escape(tmp_path: pathlib.Path) -> None:
    shell = Shell(tmp_path)
    shell.good("domain add here.test")
    shell.good("alias add ann@here.test 日本@elsewhere.test")
    for line in ("alias list", "alias show ann@here.test"):
        done = shell.run_alone(line, PYTHONIOENCODING="latin-1")
        assert (done.returncode, done.stderr) == (0, "") and "\\u65e5\\u672c@elsewhere.test" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("line", ["account list", "account list --json"])
def test_an_output_that_takes_no_more_is_told_in_a_line(tmp_path: pathlib.Path, line: str, unbuffered: str) -> None:
    def run(stdout: object) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "merpati", *line.split()]
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        return subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=stdout, stderr=subprocess.PIPE)  # type: ignore[call-overload, no-any-return]

    with open("/dev/full", "wb") as full:
        process = run(full)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (1, b"merpati: the output cannot be written: No space left on device\n")
    process = run(subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 1)
