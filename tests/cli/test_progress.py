"""Long work tells how far it has come, on a terminal and nowhere else; and what to know if it is broken off."""

import asyncio
import io
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from merpati.cli.progress import QUIET, progress
from merpati.clock import ManualClock
from tests.cli.test_commands import PASSWORD, Shell


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


async def shown(monkeypatch: pytest.MonkeyPatch, seconds: float, *, terminal: bool = True) -> str:
    screen, clock = Screen(terminal), ManualClock()
    monkeypatch.setattr(sys, "stderr", screen)
    async with progress(lambda: "7 messages", clock):
        await asyncio.sleep(0)
        await clock.advance(seconds)
    return screen.getvalue()


async def test_a_terminal_is_told_after_a_moment_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await shown(monkeypatch, QUIET / 2) == "\r\x1b[K"
    said = await shown(monkeypatch, QUIET + 1.1)
    assert said.count("7 messages …") == 3 and said.startswith("\r\x1b[K1 s, 7") and said.endswith("…\r\x1b[K")


async def test_elsewhere_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await shown(monkeypatch, 60.0, terminal=False) == ""


@pytest.mark.slow
def test_an_import_on_a_terminal_counts_and_ctrl_c_says_what_became_of_it(tmp_path: pathlib.Path) -> None:
    shell = Shell(tmp_path)
    shell.good("domain add here.test")
    shell.good("account add ann@here.test", PASSWORD)
    letter = f"From a@b.test Sun Sep 13 12:26:40 2020\nSubject: one\n\n{'words ' * 500}\n\n"
    (tmp_path / "Many.mbox").write_text(letter * 30_000)
    master, slave = pty.openpty()
    line = [sys.executable, "-m", "merpati", "mailbox", "import", "ann@here.test", "Many.mbox"]
    process = subprocess.Popen(line, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    deadline = time.monotonic() + 60
    while b"messages, " not in said and time.monotonic() < deadline:
        said += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    with pytest.raises(OSError, match="Input/output"):  # the other end is closed
        while True:
            said += os.read(master, 4096)
    os.close(master)
    assert process.wait(60) == 130
    assert re.search(rb"\d s, \d+ messages, \d+\.\d MB", said)
    assert b"merpati: interrupted; what came in so far is kept" in said and b"Traceback" not in said
