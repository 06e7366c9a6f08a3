# ruff: noqa: N802  aiosmtpd finds a verb by the name of its method
"""The verbs that make a session safe: STARTTLS and AUTH."""

from __future__ import annotations

from ingest.commands import BadCommand
from ingest.session import Session
from ingest.visit import Farewell, OutOfOrder
from merpati.errors import Temporary


class Guarded(Session):
    """A session that can go over to TLS and log in."""

    def offers_of_security(self) -> list[str]:
        """What EHLO tells of both."""
        return ["STARTTLS"] if not self.tls and self.house.tls_context is not None else []

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
