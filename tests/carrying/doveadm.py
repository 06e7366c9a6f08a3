"""Dovecot's doveadm, asked what it makes of a mailbox on disk, and to copy it into one of its own.

Called by test_dovecot_reads_it.py.  Nothing listens, nothing stays running; the folder goes with `with`.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import Self

from tests.servers import tool

OWNER = "mail"
"""Dovecot refuses to read mail as root."""
SETTINGS = """
base_dir = {home}/run
state_dir = {home}/state
mail_home = {home}/home
mail_location = {location}
log_path = /dev/stderr
ssl = no
first_valid_uid = 1
mail_uid = {user}
mail_gid = {group}
stats_writer_socket_path =
namespace inbox {{
  inbox = yes
  separator = /
}}
"""

Fetched = dict[str, list[tuple[int, frozenset[str], str]]]


class Doveadm:
    """A folder that Dovecot may read and write, and its own mailbox in it, of the kind `maildir` or `mbox`."""

    def __init__(self, kind: str = "maildir") -> None:
        self._program = tool("doveadm")
        self._owner = pwd.getpwnam(OWNER) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="merpati-doveadm-"))
        self.own = self.home / "own"
        self.location = f"{kind}:{self.own}"
        for name in ("run", "state", "home", "own"):
            (self.home / name).mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        shutil.rmtree(self.home)

    def fetch(self, location: str = "") -> Fetched:
        """UID, flags and date of each message, by folder."""
        found: Fetched = {}
        words = self.run("fetch", "mailbox uid flags date.received", "ALL", location=location)
        for block in words.split("\f"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if fields:
                flags = frozenset(fields.get("flags", "").split()) - {"\\Recent"}
                found.setdefault(fields["mailbox"], []).append((int(fields["uid"]), flags, fields["date.received"]))
        return {name: sorted(messages, key=lambda message: message[0]) for name, messages in found.items()}

    def run(self, *words: str, location: str = "") -> str:
        """What it says; it must have nothing to complain about."""
        settings = self.home / "dovecot.conf"
        settings.write_text(
            SETTINGS.format(
                home=self.home,
                location=location or self.location,
                user=self._owner.pw_uid,
                group=self._owner.pw_gid,
            )
        )
        for path in [self.home, *self.home.rglob("*")] if os.getuid() == 0 else ():
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        environment = {"USER": "test", "HOME": str(self.home / "home"), "PATH": os.environ["PATH"], "TZ": "UTC"}
        done = subprocess.run(
            [self._program, "-c", settings, *words], capture_output=True, text=True, env=environment, timeout=60
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout
