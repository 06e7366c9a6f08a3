"""Sessions with other servers, over the SMTP client: which TLS is asked of whom, and what answers mean for the queue.

The worker's `Connector` and `Session`.  A server whose STARTTLS fails is tried again in clear only under `may`
(RFC 7435 section 3); in doubt whether a message got through, it is sent again (RFC 1047).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from delivery.remote.schedule import Answer, End
from delivery.remote.sessions import Message
from delivery.remote.targets import Target
from delivery.smtp import driver
from delivery.smtp.envelope import Envelope, envelope_of
from delivery.smtp.opening import Login, Options, Tls
from delivery.smtp.outcome import Cause, Outcome, Verdict
from merpati.errors import Permanent, Temporary
from merpati.events import Outbound
from merpati.net.tls import opportunistic, verified
from merpati.telemetry import Metrics


class TlsPolicy(StrEnum):
    """`delivery.tls`."""

    MAY = "may"
    MUST = "must"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Manner:
    """How we behave towards other servers.  `login` is for the smarthost alone."""

    hostname: str
    tls: TlsPolicy = TlsPolicy.MAY
    login: Login | None = None
    authorities: str = ""
    """A PEM file for `verify`; empty is the system's."""


class SmtpConnector:
    """Opens sessions over SMTP."""

    def __init__(self, manner: Manner, metrics: Metrics) -> None:
        self._manner = manner
        self._metrics = metrics
        verify = manner.tls is TlsPolicy.VERIFY
        self._context = verified(manner.authorities) if verify else opportunistic()

    async def connect(self, target: Target) -> SmtpSession:
        """Raises `Temporary`, or `Permanent` if the host says that it never takes mail."""
        options = self._options(target)
        try:
            session = await self._open(target, options)
        except driver.NoSession as failure:
            if not self._may_fall_back(failure, options):
                raise self._failure(failure, target) from None
            try:
                session = await self._open(target, msgspec.structs.replace(options, tls=Tls.NEVER))
            except driver.NoSession as again:
                raise self._failure(again, target) from None
        self._metrics.remote_sessions.inc()
        return SmtpSession(session, self._metrics)

    def _options(self, target: Target) -> Options:
        tls = Tls.MAY if self._manner.tls is TlsPolicy.MAY else Tls.MUST
        login = self._manner.login if target.login else None
        # RFC 8314 section 7.3: port 465 is TLS from the start
        return Options(self._manner.hostname, tls=tls, under_tls=target.port == 465, login=login)

    async def _open(self, target: Target, options: Options) -> driver.Session:
        context: ssl.SSLContext = self._context
        host = target.host
        return await driver.open_session(target.address, target.port, host=host, options=options, context=context)

    def _may_fall_back(self, failure: driver.NoSession, options: Options) -> bool:
        return options.tls is Tls.MAY and failure.trouble.cause is Cause.HANDSHAKE and options.login is None

    def _failure(self, failure: driver.NoSession, target: Target) -> Temporary | Permanent:
        self._metrics.remote_attempts.labels("unreached").inc()
        trouble = failure.trouble
        kind = Permanent if trouble.permanent else Temporary
        return kind(trouble.text, enhanced=trouble.status, host=f"{target.host}[{target.address}]:{target.port}")


class SmtpSession:
    """One connection; `delivery.remote.sessions.Session`."""

    def __init__(self, session: driver.Session, metrics: Metrics) -> None:
        self._session = session
        self._metrics = metrics
        self.host = session.host

    @property
    def usable(self) -> bool:
        return self._session.usable

    async def send(self, event: Outbound, message: Message) -> list[Answer]:
        """One message; what the peer does comes back as answers."""
        outcomes = await self._session.deliver(_envelope(event, message), message)
        facts = self._session.tls
        tls = str(facts) if facts else ""
        return [replace(_answer(outcome, self.host), tls=tls) for outcome in outcomes]

    async def close(self) -> None:
        self._metrics.remote_sessions.dec()
        await self._session.quit()


def _envelope(event: Outbound, message: Message) -> Envelope:
    given = event.envelope
    if isinstance(message, bytes):
        return envelope_of(
            message, given.sender, event.recipients, smtputf8=given.smtputf8, ret=given.ret, envid=given.envid
        )
    cut = sum(end - start for start, end in event.without)
    size = event.body.size + len(event.prefix.encode()) - cut
    # what comes in pieces is not looked through: it is taken for 8-bit unless the client said otherwise
    eightbit = given.body != "7BIT"
    return Envelope(
        given.sender,
        event.recipients,
        size,
        eightbit=eightbit,
        smtputf8=given.smtputf8,
        ret=given.ret,
        envid=given.envid,
    )


ENDS = {
    Verdict.ACCEPTED: End.RELAYED,
    Verdict.PERMANENT: End.REFUSED,
    Verdict.TEMPORARY: End.LATER,
    Verdict.UNKNOWN: End.LATER,
}


def _answer(outcome: Outcome, host: str) -> Answer:
    return Answer(
        outcome.recipient,
        ENDS[outcome.verdict],
        host,
        outcome.text,
        outcome.status,
        dsn_passed_on=outcome.dsn_passed_on,
    )


async def stream_of(event: Outbound, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A large message as it is to be sent: our prefix, then the object without the ranges that were removed."""
    yield event.prefix.encode()
    cuts = list(event.without)
    at = 0
    async for piece in pieces:
        start = 0
        while cuts and cuts[0][0] < at + len(piece):
            low, high = cuts[0]
            if low > at + start:
                yield piece[start : low - at]
            start = max(start, min(len(piece), high - at))
            if high > at + len(piece):
                break
            cuts.pop(0)
        if start < len(piece):
            yield piece[start:]
        at += len(piece)
