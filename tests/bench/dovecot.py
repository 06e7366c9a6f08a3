"""Dovecot in a folder of its own: LMTP into Maildir, IMAP and POP3 in clear on loopback, one password for everyone.

Needs root, as Dovecot changes to an unprivileged user for the mail.  Stopped by the id of its master.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping

from tests.servers import Server, tool

SETTINGS = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_max_userip_connections = 3000
first_valid_uid = 1
default_client_limit = 4000
default_process_limit = 500
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%d/%n mail=maildir:~/mail
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service anvil {{
  client_limit = 8000
}}
service auth {{
  client_limit = 8000
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""
OWNER = "mail"
"""An unprivileged user that every Debian has."""


@contextlib.contextmanager
def dovecot(folder: pathlib.Path, ports: Mapping[str, int], password: str) -> Iterator[int]:
    """Dovecot, for the length of a block; the id of its master.  `password` must hold no blank."""
    program = tool("dovecot")
    owner = pwd.getpwnam(OWNER)
    for part in ("mail", "state"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    settings = folder / "dovecot.conf"
    settings.write_text(SETTINGS.format(folder=folder, password=password, uid=owner.pw_uid, gid=owner.pw_gid, **ports))
    master = folder / "run" / "master.pid"
    server = Server("dovecot", [program, "-F", "-c", settings], folder / "out", master.exists)
    server.start()
    try:
        yield server.pid
    finally:
        subprocess.run([shutil.which("doveadm") or "doveadm", "-c", settings, "stop"], check=False)
        until = time.monotonic() + 10
        while server.alive and time.monotonic() < until:
            time.sleep(0.05)
        server.stop()
