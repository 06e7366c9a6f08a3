"""One message through the pipeline: the received event and its bytes in, the events that follow out.

Called by `working` for each record, by whatever runner took it.  It asks the processors and the directory and decides;
it publishes nothing, stores nothing, waits for nobody else.  The same input and the same moment give the same output.
"""

from __future__ import annotations

import asyncio

import msgspec

from merpati.clock import Clock
from merpati.directory.api import Directory, Resolution
from merpati.events import Received, Recipient, What
from merpati.plugins.actions import BadAnswer, read_actions
from merpati.plugins.mail import Content, Facts, MailEnvelope, Result
from processors.bouncing import bounce
from processors.loops import MAX_HOPS, delivered_to, hops
from processors.outputs import Outputs, Source, emit, tell_steps
from processors.pipeline import Judgement, begin, combine, noted
from processors.routing import Returned, Route, addresses_of, route
from processors.row import Row

DEFER_FOR = 5 * 86_400.0
"""Seconds for which processors may put a message off before it goes back (RFC 5321 section 4.5.4.1: 4 to 5 days)."""


class Handler:
    """The way of one message."""

    def __init__(self, row: Row, directory: Directory, clock: Clock, hostname: str) -> None:
        self.row = row
        self._directory = directory
        self._clock = clock
        self._hostname = hostname

    async def handle(
        self, event: Received, data: bytes, moment: float, *, tries: int = 0, patience: float | None = None
    ) -> Outputs:
        """What follows from `event`.  `data` is the message, or the beginning of a large one if `row.wants_body` is
        False; `moment` is when the record was published; `patience` the seconds for all processors together.

        Raises `Unavailable` if the directory cannot answer.
        """
        event = _each_recipient_once(event)
        source = Source(event, data, self._clock.time(), self._hostname, tries)
        outputs = Outputs()
        content = Content(data, event.body.size)
        if hops(content.headers, event.prefix) > MAX_HOPS:
            looped = [Returned(recipient, "5.4.6", "too many hops") for recipient in event.envelope.recipients]
            bounce(source, looped, outputs, moment=moment)
            return outputs
        judgement = _judged_at_the_edge(event)
        for name, found in event.results:
            outputs.tell(source.happened(What.PROCESSED, f"edge {name}", processor=name, stage="edge", said=found))
        # Our own reports pass no filter: one that refused them would answer a report with a report
        if event.envelope.door != "internal" and not self.row.empty:
            walked = await self.row.walk(facts_of(event), content, judgement, patience)
            tell_steps(source, walked.steps, outputs)
            judgement = walked.judgement
            if walked.stopped_by is not None:
                stop = walked.stopped_by
                return _try_again(
                    outputs, event.envelope.recipients, f"{stop.name} {stop.words}", stop.outcome == "slow"
                )
        resolved = await self._resolve(addresses_of(judgement))
        plan = route(event.envelope, judgement, resolved, delivered_to(content.headers))
        if plan.deferred and moment - event.at > DEFER_FOR:
            _give_up_deferred(plan)
        emit(source, plan, outputs)
        bounce(source, plan.returned, outputs, moment=moment)
        if plan.deferred:
            _try_again(outputs, tuple(each.recipient for each in plan.deferred), plan.deferred[0].reason, False)
        return outputs

    async def _resolve(self, addresses: list[str]) -> dict[str, Resolution]:
        if len(addresses) == 1:
            return {addresses[0]: await self._directory.resolve(addresses[0])}
        found = await asyncio.gather(*(self._directory.resolve(address) for address in addresses))
        return dict(zip(addresses, found, strict=True))


def _each_recipient_once(event: Received) -> Received:
    recipients = event.envelope.recipients
    unique = {recipient.address: recipient for recipient in reversed(recipients)}
    if len(unique) == len(recipients):
        return event
    kept = tuple(unique[address] for address in reversed(unique))
    return msgspec.structs.replace(event, envelope=msgspec.structs.replace(event.envelope, recipients=kept))


def facts_of(event: Received) -> Facts:
    """What processors are told of a message beside its bytes."""
    envelope = event.envelope
    return Facts(
        id=event.message,
        envelope=MailEnvelope(
            envelope.sender, tuple(each.address for each in envelope.recipients), envelope.client, envelope.door
        ),
        received_at=event.at,
        size=event.body.size,
        prefix=event.prefix,
    )


def _judged_at_the_edge(event: Received) -> Judgement:
    """The judgement as the processors at the edge left it."""
    judgement = begin((each.address for each in event.envelope.recipients), event.tags)
    for name, found in event.results:
        judgement = noted(judgement, name, Result(value=found))
    for name, written in event.actions:
        try:
            judgement = combine(judgement, name, read_actions(written.encode()))
        except BadAnswer as error:
            judgement = noted(judgement, name, Result(error=str(error)))
    return judgement


def _try_again(outputs: Outputs, recipients: tuple[Recipient, ...], reason: str, slow: bool) -> Outputs:
    outputs.again = recipients
    outputs.reason = reason
    outputs.slow = slow
    return outputs


def _give_up_deferred(plan: Route) -> None:
    for each in plan.deferred:
        plan.returned.append(Returned(each.recipient, "4.4.7", f"put off for too long: {each.reason}"))
    plan.deferred.clear()
