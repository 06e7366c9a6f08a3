"""Real clients, as people run them, at the doors of both engines: swaks, curl, mbsync, getmail6 and fetchmail.

Each verifies the certificate that the installation made for itself.  (Python's own clients are in test_the_whole_way.)
"""

import os
import pathlib
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.live.doors import address, bodies, eventually, imap, message, mx, uids, wait_for
from tests.servers.merpati_installation import PASSWORD, Installation

Need = Callable[[str], str]


def run(command: list[str], given: str = "", expect: int = 0, **environment: str) -> str:
    """Run a client to its end; all that it said."""
    done = subprocess.run(
        command, input=given, text=True, timeout=60, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
    )  # fmt: skip
    assert done.returncode == expect, f"{command[0]}: status {done.returncode}\n{done.stdout[-4_000:]}"
    return done.stdout


def deliver(house: Installation, user: str, *subjects: str) -> None:
    """Messages for a user, in and stored."""
    with mx(house) as session:
        for subject in subjects:
            session.sendmail("xenia@elsewhere.test", [address(house, user)], message(subject))
    for subject in subjects:
        wait_for(house, user, subject)


def subjects_of(mail: str | bytes) -> list[str]:
    text = mail if isinstance(mail, str) else mail.decode()
    return re.findall(r"^Subject: (.*?)\r?$", text, re.MULTILINE)


SWAKS = [
    pytest.param(["--tls", "--auth", "PLAIN"], "submission", id="STARTTLS and PLAIN"),
    pytest.param(["--tls", "--auth", "LOGIN"], "submission", id="STARTTLS and LOGIN"),
    pytest.param(["--tls-on-connect", "--auth", "PLAIN"], "submissions", id="TLS from the start"),
]


def swaks(house: Installation, need_tool: Need, door: str, *words: str) -> list[str]:
    who = ("--auth-user", "alice@here.test", "--to", "bob@here.test")
    return [need_tool("swaks"), "--server", f"127.0.0.1:{house.ports[door]}", *who, *words]


@pytest.mark.parametrize(("words", "door"), SWAKS)
def test_swaks_submits(house: Installation, unique: str, need_tool: Need, words: list[str], door: str) -> None:
    verified = ("--tls-verify", "--tls-ca-path", str(house.certificate))
    mail = ("--from", "alice@here.test", "--header", f"Subject: {unique}", "--body", "The pigeon has landed.")
    said = run(swaks(house, need_tool, door, *words, *verified, "--auth-password", PASSWORD, *mail))
    assert "235 2.7.0" in said
    assert b"The pigeon has landed." in wait_for(house, "bob", unique)[0]


def test_swaks_is_told_of_a_wrong_password(house: Installation, need_tool: Need) -> None:
    wrong = ("--tls", "--auth", "PLAIN", "--auth-password", "wrong-horse-7")
    said = run(swaks(house, need_tool, "submission", *wrong), expect=28)  # swaks: authentication failed
    assert "535 5.7.8" in said


def curl(house: Installation, need_tool: Need, url: str, *words: str, user: str = "alice") -> str:
    login = ["--user", f"{address(house, user)}:{PASSWORD}"]
    return run([need_tool("curl"), "-sS", "--cacert", str(house.certificate), *login, url, *words])


def test_curl_sends_lists_and_reads(house: Installation, unique: str, need_tool: Need, tmp_path: pathlib.Path) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(message(unique, From="alice@here.test"))
    words = ["--ssl-reqd", "--mail-from", "alice@here.test", "--mail-rcpt", "alice@here.test", "-T", str(mail)]
    curl(house, need_tool, f"smtp://127.0.0.1:{house.ports['submission']}", *words)
    wait_for(house, "alice", unique)

    at = f"imaps://127.0.0.1:{house.ports['imaps']}"
    assert '"/" INBOX' in curl(house, need_tool, at)
    found = curl(house, need_tool, f"{at}/INBOX?SUBJECT%20{unique}")
    number = re.search(r"\* SEARCH (\d+)", found)
    assert number
    assert subjects_of(curl(house, need_tool, f"{at}/INBOX;MAILINDEX={number[1]}")) == [unique]
    assert subjects_of(curl(house, need_tool, f"imap://127.0.0.1:{house.ports['imap']}/INBOX;MAILINDEX={number[1]}", "--ssl-reqd")) == [unique]  # fmt: skip # noqa: E501

    pop = f"pop3s://127.0.0.1:{house.ports['pop3s']}"
    last = curl(house, need_tool, pop).splitlines()[-1].split()[0]
    assert subjects_of(curl(house, need_tool, f"{pop}/{last}")) == [unique]
    assert subjects_of(curl(house, need_tool, f"pop3://127.0.0.1:{house.ports['pop3']}/{last}", "--ssl-reqd")) == [unique]  # fmt: skip # noqa: E501


def test_curl_files_a_message(house: Installation, unique: str, need_tool: Need, tmp_path: pathlib.Path) -> None:
    mail = tmp_path / "mail"
    mail.write_bytes(message(unique))
    curl(house, need_tool, f"imaps://127.0.0.1:{house.ports['imaps']}/INBOX", "-T", str(mail))
    assert wait_for(house, "alice", unique) == [mail.read_bytes()]


MBSYNC = """
IMAPAccount house
Host localhost
Port {port}
User {user}
Pass {password}
SSLType IMAPS
CertificateFile {certificate}

IMAPStore far
Account house

MaildirStore near
Path {home}/mail/
Inbox {home}/inbox
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns {folder}
Create Both
Expunge Both
SyncState *
"""


class Mbsync:
    """One device that keeps a folder of Alice's in step with a Maildir."""

    def __init__(self, house: Installation, program: str, home: pathlib.Path, folder: str) -> None:
        home.mkdir()
        (home / "mail").mkdir()
        self.folder = home / "mail" / folder
        self._program, self._settings = program, home / "mbsyncrc"
        self._settings.write_text(
            MBSYNC.format(
                port=house.ports["imaps"], user="alice@here.test", password=PASSWORD,
                certificate=house.certificate, home=home, folder=folder,
            )
        )  # fmt: skip

    def sync(self) -> None:
        run([self._program, "-c", str(self._settings), "all"])

    def mails(self) -> dict[str, pathlib.Path]:
        """The messages of the Maildir by subject."""
        paths = [path for place in ("cur", "new") for path in (self.folder / place).iterdir()]
        return {subjects_of(path.read_bytes())[0]: path for path in paths}

    def flags(self, subject: str) -> str:
        return self.mails()[subject].name.partition(":2,")[2]

    def flag(self, subject: str, flags: str) -> None:
        path = self.mails()[subject]
        path.rename(self.folder / "cur" / f"{path.name.partition(':2,')[0]}:2,{flags}")


def test_mbsync_keeps_two_devices_in_step(
    house: Installation, unique: str, need_tool: Need, tmp_path: pathlib.Path
) -> None:
    with imap(house, "alice") as session:
        session.create(unique)
        for subject in ("one", "two", "three"):
            session.append(unique, "", "", message(subject))
    laptop = Mbsync(house, need_tool("mbsync"), tmp_path / "laptop", unique)
    phone = Mbsync(house, need_tool("mbsync"), tmp_path / "phone", unique)
    for device in (laptop, phone):
        device.sync()
        assert set(device.mails()) == {"one", "two", "three"}
    laptop.flag("one", "FS")
    laptop.mails()["two"].unlink()
    (laptop.folder / "new" / "written-here").write_bytes(message("four").replace(b"\r\n", b"\n"))
    for device in (laptop, phone):
        device.sync()
    assert set(phone.mails()) == {"one", "three", "four"}
    assert phone.flags("one") == "FS"
    phone.flag("one", "S")
    phone.sync()
    laptop.sync()
    assert laptop.flags("one") == "S"
    with imap(house, "alice") as session:
        assert sorted(subjects_of(b"".join(bodies(session, unique)))) == ["four", "one", "three"]
        # three came, one went, one came: nothing was numbered twice
        assert uids(session, unique) == [1, 3, 4]


GETMAIL = """
[retriever]
type = {kind}
server = localhost
port = {port}
username = {user}
password = {password}
ca_certs = {certificate}
{more}
[destination]
type = MDA_external
path = /usr/bin/tee
arguments = ("-a", "{box}")
allow_root_commands = true
[options]
read_all = {read_all}
delete = {delete}
"""
RETRIEVERS = [
    pytest.param("SimpleIMAPSSLRetriever", "imaps", 'mailboxes = ("INBOX",)', id="IMAP"),
    pytest.param("SimplePOP3SSLRetriever", "pop3s", "", id="POP3"),
]


@pytest.mark.parametrize(("kind", "door", "more"), RETRIEVERS)
def test_getmail_fetches_once_and_deletes_when_told_to(
    house: Installation, unique: str, need_tool: Need, tmp_path: pathlib.Path, kind: str, door: str, more: str
) -> None:
    program, box, settings = need_tool("getmail"), tmp_path / "box", tmp_path / "getmailrc"

    def get(*, delete: bool) -> list[str]:
        """What has come after one more run."""
        settings.write_text(
            GETMAIL.format(
                kind=kind, port=house.ports[door], user="carol@here.test", password=PASSWORD,
                certificate=house.certificate, box=box, more=more, delete=delete, read_all=delete,
            )
        )  # fmt: skip
        run([program, "--getmaildir", str(tmp_path), "--rcfile", str(settings)])
        return [subject for subject in subjects_of(box.read_bytes()) if unique in subject]

    names = [f"{unique} {number}" for number in range(3)]
    deliver(house, "carol", *names[:2])
    assert get(delete=False) == names[:2]
    deliver(house, "carol", names[2])
    # it remembers UIDs (IMAP) or UIDLs (POP3): what it has is not fetched again
    assert get(delete=False) == names
    get(delete=True)
    with imap(house, "carol") as session:
        assert bodies(session) == []


FETCHMAIL = """
poll localhost service {port} protocol {protocol}
  user "dave@here.test" password "{password}" is nobody here
  ssl sslcertck sslcertfile "{certificate}" {more}
  mda "cat >> {box}"
"""


@pytest.mark.parametrize(("protocol", "door"), [("IMAP", "imaps"), ("POP3", "pop3s")])
def test_fetchmail_keeps_or_deletes(
    house: Installation, unique: str, need_tool: Need, tmp_path: pathlib.Path, protocol: str, door: str
) -> None:
    program, box, settings = need_tool("fetchmail"), tmp_path / "box", tmp_path / "fetchmailrc"

    def fetch(more: str, expect: int = 0) -> list[str]:
        words = FETCHMAIL.format(
            port=house.ports[door], protocol=protocol, password=PASSWORD, certificate=house.certificate,
            more=more, box=box,
        )  # fmt: skip
        settings.write_text(words)
        settings.chmod(0o600)
        box.write_bytes(b"")
        run([program, "-f", str(settings), "--nodetach", "--nosyslog"], expect=expect, FETCHMAILHOME=str(tmp_path))
        return sorted(subject for subject in subjects_of(box.read_bytes()) if unique in subject)

    names = [f"{unique} {number}" for number in range(2)]
    deliver(house, "dave", *names)
    assert fetch("keep fetchall") == names
    assert fetch("nokeep fetchall") == names
    assert fetch("nokeep fetchall", expect=1) == []  # fetchmail: there was no mail
    with imap(house, "dave") as session:
        eventually(lambda: bodies(session), lambda found: found == [])
