# ruff: noqa: N802  aiosmtpd finds a verb by the name of its method
"""The verbs that make a session safe: STARTTLS and AUTH."""

from __future__ import annotations

from ingest.commands import BadCommand
from ingest.framing import TooLong
from ingest.house import Decider
from ingest.session import Session
from ingest.visit import Farewell, OutOfOrder
from merpati.auth.credentials import ClientFacts, EncryptionRequired, Principal, Refused
from merpati.auth.sasl import (
    MECHANISMS,
    Cancelled,
    Malformed,
    begin,
    converse,
    decode_initial,
    decode_response,
    encode,
)
from merpati.errors import Permanent, Temporary


class Guarded(Session):
    """A session that can go over to TLS and log in."""

    def offers_of_security(self) -> list[str]:
        """What EHLO tells of both."""
        offers = ["STARTTLS"] if not self.tls and self.house.tls_context is not None else []
        decider = self._decider()
        mechanisms = decider.mechanisms(self._facts()) if decider is not None else ()
        return [*offers, f"AUTH {' '.join(mechanisms)}"] if mechanisms else offers

    async def smtp_STARTTLS(self, arg: str) -> None:
        """RFC 3207 section 4."""
        if arg:
            raise BadCommand("STARTTLS takes no argument")
        if self.tls:
            raise OutOfOrder("TLS is active")
        if self.session.account is not None:
            raise OutOfOrder("logged in already")
        if self.house.tls_context is None:
            raise Temporary("TLS not available", code=454, enhanced="4.7.0")
        context = self.house.tls_context()
        if len(self.lines):
            # CVE-2011-0411: what came in clear must never be taken for something said under TLS
            raise Farewell("nothing may follow STARTTLS", code=503, enhanced="5.5.1")
        self.reply("220 2.0.0 go ahead")
        await self.upgrade(context)
        # RFC 3207 section 4.2: all that was said before is forgotten
        self.session = self._create_session()
        self._set_rset_state()

    async def smtp_AUTH(self, arg: str) -> None:
        """RFC 4954 section 4."""
        decider = self._decider()
        if decider is None:
            raise OutOfOrder("no login here", code=502)
        if await self.check_helo_needed("EHLO"):
            return
        if self.session.account is not None:
            raise OutOfOrder("logged in already")
        if self.envelope.mail is not None:
            raise OutOfOrder("not in a mail transaction")
        name, _, initial = arg.partition(" ")
        if not name:
            raise BadCommand("AUTH needs a mechanism")
        self.alone()
        await self._log_in(decider, name.upper(), initial.encode("utf-8", "surrogateescape") or None)

    async def _log_in(self, decider: Decider, name: str, initial: bytes | None) -> None:
        outcome = "error"
        try:
            principal = await self._exchange(decider, name, initial)
            await self._welcome(principal)
            outcome = "ok"
        except Refused:
            outcome = "refused"
            self.failed_logins += 1
            if self.failed_logins >= self.limits.max_logins:
                raise Farewell("too many failed logins", code=421, enhanced="4.7.0") from None
            raise
        except (Cancelled, Malformed):
            outcome = "abandoned"
            raise
        except Temporary as failure:
            outcome = "unavailable"
            # RFC 4954 section 4.7.12: whoever cannot tell now says 454
            raise Temporary(failure.public, code=454, enhanced="4.7.0", reason=str(failure)) from None
        finally:
            self.house.metrics.logins.labels(self.door.name, outcome).inc()

    async def _exchange(self, decider: Decider, name: str, initial: bytes | None) -> Principal:
        facts = self._facts()
        if name not in decider.mechanisms(facts):
            if name in MECHANISMS and not decider.is_safe(facts):
                raise EncryptionRequired
            raise Permanent("mechanism not known", code=504, enhanced="5.5.4")
        exchange = begin(name, decider.sasl_facts)
        assert exchange is not None
        return await converse(
            exchange, decode_initial(initial), self._ask, lambda credentials: decider.authenticate(credentials, facts)
        )

    async def _ask(self, challenge: bytes) -> bytes:
        self.reply(f"334 {encode(challenge).decode()}")
        try:
            line = await self.next_line(self.limits.command_timeout)
        except TooLong as fault:
            # RFC 4954 section 4
            raise Permanent("authentication exchange line too long", code=500, enhanced="5.5.6") from fault
        return decode_response(line)

    async def _welcome(self, principal: Principal) -> None:
        account = await self.house.directory.account(principal.address)
        if account is None or account.id != principal.account_id or not account.enabled:
            raise Refused("gone in this very moment")
        self.session.account = account
        self.session.authenticated = True
        self.reply("235 2.7.0 welcome")

    def _decider(self) -> Decider | None:
        return self.house.authenticator if self.door.users else None

    def _facts(self) -> ClientFacts:
        return ClientFacts(self.ip, bool(self.tls), self.door.name)
