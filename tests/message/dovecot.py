"""A real Dovecot, asked what it makes of a message: its imap process, logged in from the start, over two pipes.

Called by test_against_dovecot.py.  Nothing listens; the process ends with `with`.
"""

import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import Self

from tests.servers.installed import Missing

IMAP = pathlib.Path("/usr/lib/dovecot/imap")
# The item's own name comes back, in capitals.
_ANSWER = re.compile(rb"\* \d+ FETCH \((?:[A-Z]+|BODY\[[^\]]*\]) ")
CONFIGURATION = """
base_dir = {home}/run
state_dir = {home}/state
mail_location = maildir:{home}/mail
log_path = {home}/log
ssl = no
first_valid_uid = 0
stats_writer_socket_path =
mail_uid = {user}
mail_gid = {group}
"""


class Dovecot:
    """One IMAP session with an empty INBOX."""

    def __init__(self) -> None:
        if not IMAP.exists():
            raise Missing(f"dovecot-imapd is not installed ({IMAP} is not there): run make servers")
        # Dovecot refuses to read mail as root.
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="merpati-dovecot-"))
        for name in ("run", "state", "mail"):
            (self._home / name).mkdir()
        settings = self._home / "dovecot.conf"
        settings.write_text(CONFIGURATION.format(home=self._home, user=owner.pw_uid, group=owner.pw_gid))
        if os.getuid() == 0:
            for path in (self._home, *self._home.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._process = subprocess.Popen(
            [IMAP, "-c", settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"USER": "test", "HOME": str(self._home)},
        )
        assert self._read_line().startswith(b"* PREAUTH")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._home)

    def fetch(self, raw: bytes, *items: bytes) -> list[bytes]:
        """What a message has for each item: all that stands behind the item's name in the answer."""
        self._command(b"APPEND INBOX {%d+}\r\n%b" % (len(raw), raw))
        self._command(b"SELECT INBOX")
        answers = []
        for item in items:
            lines = self._command(b"FETCH * " + item)
            matches = (_ANSWER.match(line) for line in lines)
            answer = next(match for match in matches if match)
            answers.append(answer.string[answer.end() :].removesuffix(b")\r\n"))
        self._command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        self._command(b"EXPUNGE")
        return answers

    def _command(self, command: bytes) -> list[bytes]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"t " + command + b"\r\n")
        self._process.stdin.flush()
        lines = []
        while not (line := self._read_line()).startswith(b"t "):
            lines.append(line)
        assert line.startswith(b"t OK"), line
        return lines

    def _read_line(self) -> bytes:
        """A response line with the literals in it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the imap process has ended"
        while literal := re.search(rb"\{(\d+)\}\r\n\Z", line):
            line += self._process.stdout.read(int(literal[1])) + self._process.stdout.readline()
        return line
