# ruff: noqa: N802  aiosmtpd finds a hook by the name of its method
"""aiosmtpd's handler: what is offered, who may send, whom mail is taken for, and what is done with a whole message.

One for each door.  It decides by asking the directory and the edge processors, hands messages to the intake, and raises
what it refuses; the session words the replies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.commands import MailFrom, RcptTo, check_helo
from ingest.doors import Door
from ingest.edge import AcceptAll
from ingest.intake import Arrival, Intake, Receipt
from ingest.visit import Farewell, Transaction, Visitor
from merpati.directory.api import AccountEntry, Directory
from merpati.errors import Permanent
from merpati.events import Client, Envelope, Recipient
from merpati.plugins.edge import EdgePipeline
from merpati.telemetry import logger

if TYPE_CHECKING:
    from ingest.session import Session

_log = logger("ingest")


class Refused(Permanent):
    """Policy says no."""

    enhanced = "5.7.1"


class Reception:
    """The policy of one door."""

    def __init__(self, door: Door, directory: Directory, intake: Intake, edge: EdgePipeline) -> None:
        self._door = door
        self._directory = directory
        self._intake = intake
        self._edge = edge
        self._asks_at_rcpt = not isinstance(edge, AcceptAll)

    async def handle_HELO(self, server: Session, session: Visitor, envelope: Transaction, hostname: str) -> str:
        server.alone()
        session.host_name = check_helo(hostname)
        return f"250 {server.hostname}"

    async def handle_EHLO(
        self, server: Session, session: Visitor, envelope: Transaction, hostname: str, responses: list[str]
    ) -> list[str]:
        server.alone()
        session.host_name = check_helo(hostname)
        words = [server.hostname, "PIPELINING", f"SIZE {server.limits.max_size}", *server.offers_of_security()]
        words += ["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"]
        words.append(f"LIMITS RCPTMAX={server.limits.max_recipients}")  # RFC 9422
        return [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]

    async def handle_MAIL(self, server: Session, session: Visitor, envelope: Transaction, mail: MailFrom) -> None:
        account = session.account
        if account is not None:
            await self._check_still_welcome(account)
        # The null sender is nobody's: a client's receipts and notifications come with it (RFC 8098 section 3)
        if account is not None and mail.sender and not await self._directory.may_send_as(account, mail.sender):
            raise Refused("sender is not an address of yours", code=553)

    async def _check_still_welcome(self, account: AccountEntry) -> None:
        """A session does not outlive the right to it: a new password or a closed account ends it."""
        now = await self._directory.account(account.address)
        if now is None or not now.enabled or (now.id, now.version) != (account.id, account.version):
            raise Farewell("log in again", code=421, enhanced="4.7.0")

    async def handle_RCPT(self, server: Session, session: Visitor, envelope: Transaction, rcpt: RcptTo) -> Recipient:
        recipient = rcpt.recipient
        if not rcpt.address.domain:
            recipient = Recipient(await self._postmaster(), recipient.notify, recipient.orcpt)
        resolution = await self._directory.resolve(recipient.address)
        if not resolution.local_domain:
            if session.account is None:
                raise Refused("relaying denied")
        elif not resolution.known:
            raise Refused("no such user", enhanced="5.1.1")
        if self._asks_at_rcpt:
            refusal = await self._edge.judge_recipient(self._envelope(server, session, envelope), recipient)
            if refusal is not None:
                raise refusal
        return recipient

    async def _postmaster(self) -> str:
        # RFC 5321 section 4.5.1: <postmaster> without a domain is always there
        domains = await self._directory.domains()
        if not domains:
            raise Refused("no such user", enhanced="5.1.1")
        return f"postmaster@{domains[0].name}"

    async def handle_DATA(self, server: Session, session: Visitor, envelope: Transaction) -> str:
        assert envelope.spool is not None
        arrival = Arrival(
            envelope=self._envelope(server, session, envelope),
            spool=envelope.spool,
            since=server.clock.monotonic(),
            account=session.account,
            extended=session.extended_smtp,
        )
        if envelope.failure is not None:
            raise envelope.failure
        if envelope.fault is not None:
            code, enhanced, words = envelope.fault.value.split(" ", 2)
            refusal = Permanent(words, code=int(code), enhanced=enhanced)
            self._intake.refuse(arrival, refusal)
            raise refusal
        receipt = await self._intake.accept(arrival)
        server.receipt = receipt
        if server.eof:
            self.unanswered(receipt)
        return f"250 2.0.0 accepted as {receipt.message}"

    def unanswered(self, receipt: Receipt) -> None:
        """The client may have gone without the 250 for a message that is ours."""
        self._intake.unanswered(receipt)

    def _envelope(self, server: Session, session: Visitor, transaction: Transaction) -> Envelope:
        mail = transaction.mail
        assert mail is not None
        client = Client(
            ip=server.ip,
            helo=session.host_name or "",
            name=server.reverse_name,
            tls=server.tls,
            user=session.account.address if session.account is not None else "",
        )
        named: dict[str, Recipient] = {}
        for recipient in transaction.recipients:
            # An address that was named twice gets one copy
            named.setdefault(recipient.address, recipient)
        return Envelope(
            sender=mail.sender,
            recipients=tuple(named.values()),
            client=client,
            door=self._door.name,
            smtputf8=mail.smtputf8,
            body=mail.body,
            ret=mail.ret,
            envid=mail.envid,
        )

    async def handle_exception(self, error: Exception) -> str:
        # A bug, or a component that raised what it should not have: not the client's business, and not its fault
        _log.error("command failed", door=self._door.name, exc_info=error)
        return "451 4.3.0 try again later"
