"""A foreign mail server that keeps what it was not answered for, and sends it again: what kills are measured against.

Called by the tests that kill and freeze.  It notes which messages it sent twice because no answer came.
"""

import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.live.doors import message
from tests.servers.merpati_installation import Installation

SESSIONS = 4
PAUSE = 0.2
GIVE_UP = 100.0


class Sender:
    """Sends `count` messages to one user over some connections, again and again until each has its 250."""

    def __init__(self, house: Installation, mark: str, count: int, to: str = "bob", sessions: int = SESSIONS) -> None:
        self.subjects = [f"{mark}-{number:04d}" for number in range(count)]
        self.acknowledged: set[str] = set()
        self.unanswered: Counter[str] = Counter()
        """How often the final dot was sent and no answer came: each may have been accepted."""
        self.replies: Counter[int] = Counter()
        self._house, self._to, self._sessions = house, f"{to}@{house.domain}", sessions
        self._waiting = list(reversed(self.subjects))
        self._progress = threading.Condition()
        self._until = time.monotonic() + GIVE_UP

    def run(self, *meanwhile: tuple[int, Callable[[], None]]) -> None:
        """Send all; call each of `meanwhile` when that many are acknowledged, in this thread."""
        with ThreadPoolExecutor(self._sessions) as pool:
            threads = [pool.submit(self._send_some) for _ in range(self._sessions)]
            for count, act in meanwhile:
                with self._progress:
                    assert self._progress.wait_for(lambda count=count: len(self.acknowledged) >= count, GIVE_UP)
                act()
            for thread in threads:
                thread.result()
        assert self.acknowledged == set(self.subjects)

    def _next(self) -> str | None:
        with self._progress:
            assert time.monotonic() < self._until, f"{len(self.acknowledged)} acknowledged, replies {self.replies}"
            return self._waiting.pop() if self._waiting else None

    def _send_some(self) -> None:
        session: smtplib.SMTP | None = None
        while (subject := self._next()) is not None:
            try:
                if session is None:
                    session = smtplib.SMTP("127.0.0.1", self._house.ports["mx"], timeout=60)
                    session.ehlo()
                good = self._send(session, subject)
            except (OSError, smtplib.SMTPException):
                if session is not None:
                    session.close()
                session, good = None, False
            with self._progress:
                if good:
                    self.acknowledged.add(subject)
                    self._progress.notify_all()
                else:
                    self._waiting.append(subject)
            if not good:
                time.sleep(PAUSE)
        if session is not None:
            session.close()

    def _send(self, session: smtplib.SMTP, subject: str) -> bool:
        for code, _ in (session.mail("xenia@elsewhere.test"), session.rcpt(self._to), session.docmd("DATA")):
            if code not in (250, 354):
                return self._refused(session, code)
        try:
            session.send(message(subject, Message_ID=f"<{subject}@elsewhere.test>") + b".\r\n")
            code, _ = session.getreply()
        except (OSError, smtplib.SMTPException):
            self.unanswered[subject] += 1
            raise
        return True if code == 250 else self._refused(session, code)

    def _refused(self, session: smtplib.SMTP, code: int) -> bool:
        self.replies[code] += 1
        # RFC 5321 section 4.2.1: 4yz is "not now"; a 5yz would have lost the message
        assert 400 <= code < 500, code
        session.rset()
        return False
