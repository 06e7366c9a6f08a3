"""Logging in with tokens of an OAuth issuer, and two devices on two access processes: both engines."""

import base64
import contextlib
import imaplib
import smtplib
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from merpati.auth.issuer import DemoIssuer
from merpati.clock import SystemClock
from merpati.ids import SystemDice
from tests.live.doors import address, eventually, imap, message, mx, submission, tls, wait_for
from tests.servers import Server, free_port
from tests.servers.merpati_installation import DOORS, Installation

Answer = Callable[[str, str], bytes]


def xoauth2(user: str, token: str) -> bytes:
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


def oauthbearer(user: str, token: str) -> bytes:
    # RFC 7628 section 3.1
    return f"n,a={user},\x01host=localhost\x01port=993\x01auth=Bearer {token}\x01\x01".encode()


MECHANISMS = [pytest.param("XOAUTH2", xoauth2), pytest.param("OAUTHBEARER", oauthbearer)]


def log_in_to_imap(house: Installation, mechanism: str, said: bytes) -> str:
    """The status of AUTHENTICATE and what the server said with it."""
    session = imaplib.IMAP4_SSL("127.0.0.1", house.ports["imaps"], ssl_context=tls(house), timeout=30)
    try:
        assert f"AUTH={mechanism}" in session.capabilities
        # the empty answer to the challenge that tells what was wrong ends the exchange
        answers = iter([said, b"", b"\x01"])
        session.authenticate(mechanism, lambda _: next(answers))
        assert session.select()[0] == "OK"
        return "OK"
    except imaplib.IMAP4.error as refused:
        return str(refused)
    finally:
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            session.logout()


def log_in_to_smtp(house: Installation, mechanism: str, said: bytes) -> int:
    with smtplib.SMTP("127.0.0.1", house.ports["submission"], timeout=30) as session:
        session.starttls(context=tls(house))
        session.ehlo()
        assert mechanism in session.esmtp_features["auth"].split()
        code, _ = session.docmd("AUTH", f"{mechanism} {base64.b64encode(said).decode()}")
        if code == 334:
            code, _ = session.docmd("")
        return code


@pytest.mark.parametrize(("mechanism", "answer"), MECHANISMS)
def test_a_token_opens_the_mailbox(house: Installation, issuer: DemoIssuer, mechanism: str, answer: Answer) -> None:
    assert log_in_to_imap(house, mechanism, answer("bob@here.test", issuer.token("bob@here.test"))) == "OK"


@pytest.mark.parametrize(("mechanism", "answer"), MECHANISMS)
def test_a_token_lets_its_owner_send(
    house: Installation, issuer: DemoIssuer, unique: str, mechanism: str, answer: Answer
) -> None:
    said = base64.b64encode(answer("alice@here.test", issuer.token("alice@here.test"))).decode()
    with smtplib.SMTP("127.0.0.1", house.ports["submission"], timeout=30) as session:
        session.starttls(context=tls(house))
        session.ehlo()
        assert session.docmd("AUTH", f"{mechanism} {said}")[0] == 235
        session.sendmail("alice@here.test", ["bob@here.test"], message(unique, From="alice@here.test"))
    wait_for(house, "bob", unique)


def expired(issuer: DemoIssuer) -> str:
    return issuer.token("bob@here.test", exp=int(time.time()) - 3600, iat=int(time.time()) - 7200)


def of_a_stranger(issuer: DemoIssuer) -> str:
    stranger = DemoIssuer(SystemClock(), SystemDice())
    stranger.url = issuer.url
    return stranger.token("bob@here.test")


def of_another_issuer(issuer: DemoIssuer) -> str:
    return issuer.token("bob@here.test", iss="https://elsewhere.test")


def for_somebody_else(issuer: DemoIssuer) -> str:
    return issuer.token("alice@here.test")


def for_another_service(issuer: DemoIssuer) -> str:
    return issuer.token("bob@here.test", aud="calendar")


def without_the_scope(issuer: DemoIssuer) -> str:
    return issuer.token("bob@here.test", scope="calendar")


def for_nobody_here(issuer: DemoIssuer) -> str:
    return issuer.token("stranger@here.test")


def changed(issuer: DemoIssuer) -> str:
    token = issuer.token("bob@here.test")
    return token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")


BAD = [
    expired, of_a_stranger, of_another_issuer, for_somebody_else, for_another_service, without_the_scope,
    for_nobody_here, changed,
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_no_door_opens_to_a_token(house: Installation, issuer: DemoIssuer, bad: Callable[[DemoIssuer], str]) -> None:
    token, good = bad(issuer), xoauth2("bob@here.test", issuer.token("bob@here.test"))
    # besides, whoever has just been let in is not slowed down for his first failures
    assert log_in_to_imap(house, "XOAUTH2", good) == "OK"
    assert log_in_to_smtp(house, "XOAUTH2", good) == 235
    assert "AUTHENTICATIONFAILED" in log_in_to_imap(house, "XOAUTH2", xoauth2("bob@here.test", token))
    assert log_in_to_smtp(house, "XOAUTH2", xoauth2("bob@here.test", token)) == 535
    assert token not in house.logs()


@contextlib.contextmanager
def another_access_process(house: Installation) -> Iterator[int]:
    """A second process with the access role, on ports of its own; the one of IMAP under TLS."""
    ports = {door: free_port() for door in (*DOORS[4:], "http")}
    names = {door: f"MERPATI_ACCESS__{door.upper()}" for door in DOORS[4:]} | {"http": "MERPATI_HTTP__LISTEN"}

    def ready() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)

    server = Server(
        "a second access process",
        [sys.executable, "-m", "merpati", "serve", "--roles", "access", "--config", house.config],
        house.folder / "access-again.log",
        ready,
        environment={**house.environment, **{names[door]: f"127.0.0.1:{port}" for door, port in ports.items()}},
    )
    try:
        server.start()
        yield ports["imaps"]
    finally:
        server.stop()


class Idle:
    """A device that waits in IDLE, in which Python's client has no part."""

    def __init__(self, session: imaplib.IMAP4_SSL) -> None:
        self._session = session
        session.send(b"idling IDLE\r\n")
        assert session.readline().startswith(b"+")

    def wait_for(self, word: bytes) -> bytes:
        """The next untagged line with a word in it; the socket's time-out is the patience."""
        while word not in (line := self._session.readline()):
            assert line
        return line

    def end(self) -> None:
        self._session.send(b"DONE\r\n")
        assert b"idling OK" in self.wait_for(b"idling ")


def test_two_devices_on_two_processes_see_what_happens_at_once(house: Installation, unique: str) -> None:
    with (
        another_access_process(house) as port,
        imap(house, "alice") as phone,
        imap(house, "alice", port=port) as laptop,
    ):
        phone.select()
        before = int(laptop.select()[1][0])
        idle = Idle(laptop)
        with mx(house) as session:
            session.sendmail("xenia@elsewhere.test", [address(house, "alice")], message(unique))
        assert idle.wait_for(b"EXISTS") == f"* {before + 1} EXISTS\r\n".encode()
        with submission(house, "bob") as session:
            session.sendmail("bob@here.test", ["alice@here.test"], message(unique, From="bob@here.test"))
        assert idle.wait_for(b"EXISTS") == f"* {before + 2} EXISTS\r\n".encode()

        eventually(
            lambda: (phone.noop(), phone.uid("SEARCH", "SUBJECT", unique)[1][0].split())[1], lambda n: len(n) == 2
        )
        first = phone.uid("SEARCH", "SUBJECT", unique)[1][0].split()[0].decode()
        phone.uid("STORE", first, "+FLAGS", r"(\Flagged)")
        assert rb"\Flagged" in idle.wait_for(b"FETCH")
        phone.uid("STORE", first, "+FLAGS", r"(\Deleted)")
        phone.expunge()
        assert idle.wait_for(b"EXPUNGE") == f"* {before + 1} EXPUNGE\r\n".encode()
        idle.end()
