"""Postfix as the foreign mail server of the tests, in a folder of its own and on a free port.

Called by tests through `postfix(tmp, …)`. It accepts mail for its domain into a Maildir that the test reads,
refuses users whose names begin with `nobody`, and relays for loopback over the routes it is given. Needs root, as
Postfix does.
"""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.servers.certificate import Pair, self_signed
from tests.servers.installed import Missing, tool
from tests.servers.ports import free_port
from tests.servers.process import Server

# Postfix's own user may not deliver mail; Debian's `nobody` owns nothing else.
MAIL_USER = "nobody"

MAIN = """
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
daemon_directory = {daemons}
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
myhostname = mx.{domain}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = regexp:{home}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
message_size_limit = 62914560
virtual_mailbox_limit = 0
smtpd_tls_chain_files = {home}/key.pem, {home}/certificate.pem
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
bounce_queue_lifetime = 60s
maximal_queue_lifetime = 60s
"""

# service type private unpriv chroot wakeup maxproc command
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running Postfix: where it listens, what it took in, what waits in its queue."""

    server: Server
    home: pathlib.Path
    domain: str
    port: int
    tls: Pair

    @property
    def pid(self) -> int:
        return self.server.pid

    def messages(self, user: str) -> list[bytes]:
        """What was delivered to user@domain, oldest first, as stored: delivery's headers on top, lines end in LF."""
        new = self.home / "mail" / "all" / "new"
        found = sorted(new.iterdir(), key=lambda path: path.stat().st_mtime_ns) if new.exists() else []
        mark = f"Delivered-To: {user}@{self.domain}\n".encode()
        return [message for message in (path.read_bytes() for path in found) if mark in message[:2_000]]

    def wait_for(self, user: str, count: int = 1, seconds: float = 30.0) -> list[bytes]:
        """The messages of user@domain, as soon as there are `count`; AssertionError with the log when time is up."""
        until = time.monotonic() + seconds
        while len(found := self.messages(user)) < count:
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} of {count} messages for {user}:\n{self.server.log_tail()}")
            time.sleep(0.05)
        return found

    def send(self, sender: str, recipients: list[str], message: bytes, *, starttls: bool = False) -> None:
        """Hand Postfix a message by SMTP, to be delivered or relayed on."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as session:
            if starttls:
                session.starttls()
            session.sendmail(sender, recipients, message)

    def queue(self) -> list[dict[str, object]]:
        """What waits, one entry a message, as `postqueue -j` tells it."""
        return [json.loads(line) for line in self._postqueue("-j").splitlines()]

    def flush(self) -> None:
        """Try all that waits now."""
        self._postqueue("-f")

    def _postqueue(self, option: str) -> str:
        command = [tool("postqueue"), "-c", str(self.home / "etc"), option]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def log(self) -> str:
        return self.server.log.read_text(errors="replace")

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server.restart()

    def stop(self) -> None:
        self.server.stop()


def _daemons() -> pathlib.Path:
    command = [tool("postconf"), "-d", "-h", "daemon_directory"]
    return pathlib.Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def _write_settings(
    home: pathlib.Path, domain: str, port: int, routes: Mapping[str, int], settings: Mapping[str, str]
) -> None:
    user = pwd.getpwnam(MAIL_USER)
    for folder in ("etc", "spool", "data", "mail"):
        (home / folder).mkdir()
    os.chown(home / "mail", user.pw_uid, user.pw_gid)
    os.chown(home / "data", pwd.getpwnam("postfix").pw_uid, -1)
    main = MAIN.format(home=home, daemons=_daemons(), domain=domain, uid=user.pw_uid, gid=user.pw_gid)
    if routes:
        hops = ", ".join(f"{{{to} = smtp:[127.0.0.1]:{next_port}}}" for to, next_port in routes.items())
        main += f"transport_maps = inline:{{{hops}}}\n"
    main += "".join(f"{name} = {value}\n" for name, value in settings.items())
    (home / "etc" / "main.cf").write_text(main)
    (home / "etc" / "master.cf").write_text(MASTER.format(port=port))
    # One Maildir for all: Postfix allows no part of the address in the name of a virtual mailbox.
    (home / "etc" / "mailboxes").write_text(f"if !/^nobody/\n/@{re.escape(domain)}$/ all/\nendif\n")


def _greets(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(3) == b"220"


@contextlib.contextmanager
def postfix(
    tmp: pathlib.Path,
    *,
    domain: str = "foreign.test",
    routes: Mapping[str, int] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Postfix]:
    """Postfix for `domain`; mail for the domains in `routes` goes on to that port of loopback. Raises Missing.

    `settings` are lines of main.cf that replace or add to the ones above. The log is `tmp`/postfix.log; the rest lives
    in a folder under /tmp that Postfix's own user can enter, which it cannot do with pytest's folders.
    """
    if os.getuid() != 0:
        raise Missing("Postfix starts as root only: run the tests as root")
    postfix_command, port = tool("postfix"), free_port()
    home = pathlib.Path(tempfile.mkdtemp(prefix="merpati-postfix-", dir="/tmp"))
    try:
        home.chmod(0o755)
        pair = self_signed(home, [f"mx.{domain}", "localhost"])
        _write_settings(home, domain, port, routes or {}, settings or {})
        subprocess.run([postfix_command, "-c", home / "etc", "check"], check=True, capture_output=True, timeout=60)
        command: list[str | pathlib.Path] = [_daemons() / "master", "-c", home / "etc", "-d"]
        server = Server("postfix", command, tmp / "postfix.log", lambda: _greets(port))
        try:
            server.start()
            yield Postfix(server, home, domain, port, pair)
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
