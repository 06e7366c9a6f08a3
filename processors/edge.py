"""The processors of `stage = "edge"`: asked before the 250, so that a refusal is an SMTP reply and never a bounce.

Handed to ingest as a component.  SMTP has one reply for all recipients: the message is refused if every recipient is,
and put off if nobody is left who takes it now; what holds for some of them only, and every other word, travels with
the event and is applied on the stream.
"""

from __future__ import annotations

from merpati.clock import Clock
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.events import Envelope, Received, Recipient
from merpati.objects.api import ObjectStore
from merpati.plugins.actions import Defer, Refuse, write_actions
from merpati.plugins.edge import ACCEPT, Verdict
from merpati.plugins.mail import HEADER_ONLY, Content
from processors.handler import facts_of
from processors.pipeline import Judgement, begin
from processors.row import Row


class EdgeProcessors:
    """`merpati.plugins.edge.EdgePipeline` over a row of processors.  A service too: started before ingest."""

    name = "processors/edge"

    def __init__(self, row: Row, store: ObjectStore, clock: Clock) -> None:
        self._row = row
        self._store = store
        self._clock = clock

    async def start(self) -> None:
        """Load the processors.  Raises `Misconfigured`."""
        await self._row.start()

    async def stop(self, grace: float) -> None:
        """Let go of them."""
        await self._row.stop()

    def ready(self) -> str:
        """Always: processors that fail are a matter of each message."""
        return ""

    async def judge_recipient(self, envelope: Envelope, recipient: Recipient) -> MerpatiError | None:
        """Nobody is asked at RCPT: processors look at messages."""
        return None

    async def judge(self, received: Received, raw: bytes) -> Verdict:
        """What becomes of a message.  Raises `Temporary` if a processor whose word counts gave none."""
        if self._row.empty:
            return ACCEPT
        data = raw or await self._bytes(received)
        judgement = begin((each.address for each in received.envelope.recipients), received.tags)
        walked = await self._row.walk(facts_of(received), Content(data, received.body.size), judgement, None)
        if walked.stopped_by is not None:
            raise Temporary("try again later", processor=walked.stopped_by.name, reason=walked.stopped_by.words)
        return _verdict(walked.judgement)

    async def _bytes(self, received: Received) -> bytes:
        if self._row.wants_body:
            return await self._store.get(received.body.key)
        return await self._store.get_range(received.body.key, 0, HEADER_ONLY)


def _verdict(judgement: Judgement) -> Verdict:
    words = [fate.last_word for fate in judgement.fates.values()]
    if words and all(isinstance(word, Refuse | Defer) for word in words):
        for word in words:  # one that may come through later decides: no 5yz for it
            if isinstance(word, Defer):
                return Verdict(
                    Temporary(_ascii(word.reason or "try again later"), code=word.code, enhanced=word.enhanced)
                )
        first = words[0]
        assert isinstance(first, Refuse)
        return Verdict(Permanent(_ascii(first.reason or "refused"), code=first.code, enhanced=first.enhanced))
    results = judgement.results
    return Verdict(
        tags=judgement.tags,
        results=tuple((name, result.value or result.error) for name, result in results.items()),
        actions=tuple(
            (name, write_actions(result.actions).decode())
            for name, result in results.items()
            if result.applied and result.actions
        ),
    )


def _ascii(text: str) -> str:
    # RFC 5321 section 4.2: reply text is ASCII
    return text.encode("ascii", "replace").decode()
