"""What strangers write (subjects, names of folders) on an operator's terminal, and tables that stay tables."""

import io
import pathlib

import pytest
from rich.cells import cell_len
from rich.console import Console

from merpati.cli.common import say
from merpati.cli.tables import print_table
from tests.cli.test_commands import PASSWORD, Shell

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
