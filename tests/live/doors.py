"""The doors of a running installation, opened with Python's own clients, TLS verified as a user's would be.

Called by the live tests.  Asserts nothing itself but that what is waited for comes in time.
"""

import contextlib
import email.message
import imaplib
import poplib
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tests.servers.merpati_installation import PASSWORD, Installation

PATIENCE = 30.0
T = TypeVar("T")

CLEAN = ("Traceback", "Task exception was never retrieved", "was never awaited", "Task was destroyed")
"""What no log of a healthy process says."""


def tls(house: Installation) -> ssl.SSLContext:
    """Trusts this installation's certificate and nothing else."""
    return ssl.create_default_context(cafile=house.certificate)


def address(house: Installation, user: str) -> str:
    return f"{user}@{house.domain}"


def message(subject: str, body: str = "The pigeon has landed.", **fields: str) -> bytes:
    """A small message with CRLF; `fields` go on top, with `_` for `-`."""
    top = {"From": "xenia@elsewhere.test", "To": "bob@here.test", "Subject": subject}
    top |= {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in top.items())
    return f"{head}\r\n{body}\r\n".encode()


@contextlib.contextmanager
def mx(house: Installation) -> Iterator[smtplib.SMTP]:
    """The door for other mail servers, in clear until the test says otherwise."""
    with smtplib.SMTP("127.0.0.1", house.ports["mx"], timeout=PATIENCE) as session:
        yield session


@contextlib.contextmanager
def submission(house: Installation, user: str, password: str = PASSWORD) -> Iterator[smtplib.SMTP]:
    """The door for users, under STARTTLS and logged in."""
    with smtplib.SMTP("127.0.0.1", house.ports["submission"], timeout=PATIENCE) as session:
        session.starttls(context=tls(house))
        session.login(address(house, user), password)
        yield session


@contextlib.contextmanager
def imap(house: Installation, user: str, password: str = PASSWORD, port: int = 0) -> Iterator[imaplib.IMAP4_SSL]:
    """IMAP under TLS, logged in, nothing selected."""
    session = imaplib.IMAP4_SSL("127.0.0.1", port or house.ports["imaps"], ssl_context=tls(house), timeout=PATIENCE)
    try:
        session.login(address(house, user), password)
        yield session
    finally:
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            session.logout()


@contextlib.contextmanager
def pop3(house: Installation, user: str, password: str = PASSWORD) -> Iterator[poplib.POP3_SSL]:
    """POP3 under TLS, logged in."""
    session = poplib.POP3_SSL("127.0.0.1", house.ports["pop3s"], context=tls(house), timeout=PATIENCE)
    try:
        session.user(address(house, user))
        session.pass_(password)
        yield session
    finally:
        with contextlib.suppress(poplib.error_proto, OSError):
            session.quit()


def bodies(session: imaplib.IMAP4, folder: str = "INBOX") -> list[bytes]:
    """Every message of a folder, whole, in the order of their UIDs; sets no flag."""
    session.select(f'"{folder}"', readonly=True)
    status, found = session.uid("FETCH", "1:*", "(BODY.PEEK[])")
    assert status == "OK", found
    return [part[1] for part in found if isinstance(part, tuple)]


def uids(session: imaplib.IMAP4, folder: str = "INBOX") -> list[int]:
    """The UIDs of a folder, as SEARCH tells them."""
    session.select(f'"{folder}"', readonly=True)
    status, found = session.uid("SEARCH", "ALL")
    assert status == "OK", found
    return [int(word) for word in found[0].split()]


def eventually(ask: Callable[[], T], good: Callable[[T], bool], seconds: float = PATIENCE) -> T:
    """Ask until the answer is good.  AssertionError with the last answer when time is up."""
    until = time.monotonic() + seconds
    while not good(answer := ask()):
        assert time.monotonic() < until, f"after {seconds:.0f} s still {str(answer)[:2_000]}"
        time.sleep(0.1)
    return answer


def wait_for(
    house: Installation, user: str, subject: str, count: int = 1, folder: str = "INBOX", seconds: float = PATIENCE
) -> list[bytes]:
    """The messages with a subject in a user's folder, as soon as there are `count`; there are never more."""
    mark = f"Subject: {subject}\r\n".encode()
    with imap(house, user) as session:

        def ask() -> list[bytes]:
            if session.select(f'"{folder}"', readonly=True)[0] != "OK":
                return []
            return [body for body in bodies(session, folder) if mark in body]

        found = eventually(ask, lambda messages: len(messages) >= count, seconds)
    assert len(found) == count
    return found


def as_sent(stored: bytes, sent: bytes) -> bool:
    """Whether what was sent ends what is stored: all that is ours stands on top, as header fields."""
    top = stored[: len(stored) - len(sent)]
    return stored.endswith(sent) and top.endswith(b"\r\n") and b"\r\n\r\n" not in top


def parsed(stored: bytes) -> email.message.Message:
    return email.message_from_bytes(stored)


def dirty_lines(house: Installation, allowed: Sequence[str] = ()) -> list[str]:
    """Lines of the logs that tell of a bug."""
    lines = house.logs().splitlines()
    return [line for line in lines if any(word in line for word in CLEAN) and not any(ok in line for ok in allowed)]
