"""The verbs that hand a message in: MAIL, RCPT, DATA and BDAT.  What is taken, and for whom, the handler decides."""

# ruff: noqa: N802  aiosmtpd finds a verb by the name of its method

from __future__ import annotations

from ingest.carrier import MISSING
from ingest.commands import BadCommand, parse_bdat, parse_mail, parse_rcpt
from ingest.framing import ChunkBody, DotBody, Fault
from ingest.session import Session
from ingest.spool import Spool
from ingest.visit import Farewell, OutOfOrder
from merpati.errors import MerpatiError, Permanent, Temporary


class TooBig(Permanent):
    """RFC 1870 section 6."""

    code = 552
    enhanced = "5.3.4"


class TooMuch(Farewell):
    """More than can be waited for to end."""

    code = 552
    enhanced = "5.3.4"

    def __init__(self) -> None:
        super().__init__("message too big")


class Exchange(Session):
    """A session that takes messages."""

    async def smtp_MAIL(self, arg: str) -> None:
        """RFC 5321 section 4.1.1.2."""
        if await self._unready("MAIL"):
            return
        if self.envelope.mail is not None:
            raise OutOfOrder("sender has been given already")
        mail = parse_mail(arg)
        self._check_extended(mail.has_parameters)
        if mail.size > self.limits.max_size:
            raise TooBig("message too big")
        if self.crowd.held > self.limits.max_held:
            raise Temporary("insufficient system storage", code=452, enhanced="4.3.1")
        await self._call_handler_hook("MAIL", mail)
        self.envelope.mail = mail
        self.reply("250 2.1.0 OK")

    async def smtp_RCPT(self, arg: str) -> None:
        """RFC 5321 section 4.1.1.3."""
        if await self._unready("RCPT"):
            return
        transaction = self.envelope
        if transaction.mail is None:
            raise OutOfOrder("MAIL first")
        if transaction.chunks is not None:
            raise OutOfOrder("the message has begun")
        try:
            if len(transaction.recipients) >= self.limits.max_recipients:
                raise Temporary("too many recipients", code=452, enhanced="4.5.3")
            rcpt = parse_rcpt(arg, smtputf8=transaction.mail.smtputf8)
            self._check_extended(rcpt.has_parameters)
            recipient = await self._call_handler_hook("RCPT", rcpt)
        except MerpatiError:
            transaction.turned_away += 1
            raise
        transaction.recipients.append(rcpt.recipient if recipient is MISSING else recipient)
        self.reply("250 2.1.5 OK")

    async def smtp_DATA(self, arg: str) -> None:
        """RFC 5321 section 4.1.1.4."""
        if await self._unready("DATA"):
            return
        if arg:
            raise BadCommand("DATA takes no argument")
        if self.envelope.chunks is not None:
            raise OutOfOrder("BDAT has begun the message")  # RFC 3030 section 3
        self._check_recipients()
        self.alone()
        self.reply("354 end with <CR><LF>.<CR><LF>")
        body = DotBody(self.limits.max_size, self.limits.max_line)
        self.envelope.spool = Spool(self.house.spool_folder)
        await self._read(body)
        self.envelope.fault = body.fault
        await self._hand_in()

    async def _read(self, body: DotBody) -> None:
        self.body = body
        self._begin_receiving()
        while not body.done:
            await self.more()
            if body.wire > 2 * self.limits.max_size:
                raise TooMuch
            await self._spill()
        self._end_receiving()

    def _begin_receiving(self) -> None:
        self.receiving = True
        self.deadline = self.clock.monotonic() + self.limits.data_timeout

    def _end_receiving(self) -> None:
        self.receiving = False
        self.our_turn()

    def store(self, lines: bytes) -> bool:
        transaction = self.envelope
        spool = transaction.spool
        if not lines or spool is None or transaction.failure is not None:
            return False
        spool.add(lines)
        self.count_held(len(lines))
        return spool.full

    async def _spill(self) -> None:
        transaction = self.envelope
        spool = transaction.spool
        if spool is None or not spool.full:
            return
        try:
            await spool.spill()
        except MerpatiError as failure:
            transaction.failure = failure
        self.count_held(-self.held)

    async def smtp_BDAT(self, arg: str) -> None:
        """RFC 3030 section 2."""
        try:
            size, last = parse_bdat(arg)
        except BadCommand as bad:
            # How many octets follow nobody knows, and they must not be taken for commands
            raise Farewell(bad.public, code=bad.reply_code, enhanced=bad.enhanced_code) from None
        refusal = await self._refusal_of_chunk()
        transaction = self.envelope
        if refusal is None and transaction.chunks is None:
            transaction.chunks = ChunkBody(self.limits.max_size, self.limits.max_line)
            transaction.spool = Spool(self.house.spool_folder)
        await self._read_chunk(size, transaction.chunks if refusal is None else None)
        if refusal is not None:
            raise refusal
        assert transaction.chunks is not None
        if last:
            self.store(transaction.chunks.last())
            transaction.fault = transaction.chunks.fault
            await self._hand_in()
        elif transaction.chunks.fault is not None:
            self.reply(transaction.chunks.fault.value)
        else:
            self.reply(f"250 2.0.0 {size} octets")

    async def _refusal_of_chunk(self) -> MerpatiError | None:
        """Why a chunk cannot be taken; its octets come all the same, and are to be read away."""
        if not self.session.host_name or self.envelope.mail is None:
            return OutOfOrder("MAIL first")
        try:
            self._check_recipients()
        except MerpatiError as refusal:
            return refusal
        return None

    async def _read_chunk(self, size: int, chunks: ChunkBody | None) -> None:
        if size > 2 * self.limits.max_size:
            raise TooMuch
        self._begin_receiving()
        while size:
            octets = self.lines.take(size)
            if not octets:
                await self.more()
                continue
            size -= len(octets)
            self.deadline += len(octets) / self.limits.data_rate
            if chunks is not None:
                self.store(chunks.feed(octets))
                await self._spill()
        self._end_receiving()

    async def _hand_in(self) -> None:
        """The message is whole: ask the handler, answer, and begin anew."""
        transaction = self.envelope
        replies = len(transaction.recipients) if self.door.lmtp else 1
        try:
            answer = await self.in_time(self._call_handler_hook("DATA"))
            self.errors = self.junk = 0
        except MerpatiError as failure:
            answer = self.reply_for(failure)
        except Exception as bug:
            answer = await self.handle_exception(bug)
        finally:
            self._set_post_data_state()
        # RFC 2033 section 4.2: one reply for each recipient, in the order of their RCPT commands
        for _ in range(replies):
            self.reply(answer)
        if transaction.fault is Fault.BARE:
            raise Farewell("closing connection", code=421, enhanced="4.7.0")

    async def _unready(self, verb: str) -> bool:
        return await self.check_helo_needed("LHLO" if self.door.lmtp else "EHLO") or await self.check_auth_needed(verb)

    def _check_extended(self, has_parameters: bool) -> None:
        if has_parameters and not self.session.extended_smtp:
            raise BadCommand("parameters need EHLO", code=555)  # RFC 5321 section 4.1.1.11

    def _check_recipients(self) -> None:
        if self.envelope.mail is None:
            raise OutOfOrder("MAIL first")
        if not self.envelope.recipients:
            if self.envelope.turned_away:
                raise OutOfOrder("no valid recipients", code=554)  # RFC 5321 section 3.3
            raise OutOfOrder("RCPT first")
