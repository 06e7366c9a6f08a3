"""What is published after an attempt: the retry on its tier, reports to the sender, and the events of the trace.

Pure but for counting: a step in, records out.  Ids derive from the attempt's event, so the same step said twice is one.
"""

from __future__ import annotations

from collections.abc import Set

import msgspec

from delivery.remote.schedule import Answer, Step, wants
from merpati.bounces import Failure, Report, report
from merpati.bus.api import Record
from merpati.events import Happened, Outbound, What, encode, retry_topic
from merpati.ids import EventId, derived_event_id
from merpati.telemetry import Metrics


class Outcomes:
    """Turns steps into records."""

    def __init__(self, service: str, hostname: str, metrics: Metrics) -> None:
        self._service = service
        self._hostname = hostname
        self._metrics = metrics

    def not_yet_relayed(self, event: Outbound, known: Set[EventId]) -> Outbound | None:
        """The event without recipients whose `relayed` is among `known`; None if nobody is left."""
        left = tuple(r for r in event.recipients if _relayed_id(event, r.address) not in known)
        if len(left) == len(event.recipients):
            return event
        return msgspec.structs.replace(event, recipients=left) if left else None

    def records(self, event: Outbound, value: bytes, original: bytes, step: Step, now: float) -> list[Record]:
        """All that is to be published before the record is acknowledged; `original` is what a report quotes."""
        records = [encode(self._relayed(event, answer, now)) for answer in step.relayed]
        if step.retry is not None:
            records.append(encode(step.retry, value, retry_topic(step.tier)))
            records.append(encode(self._deferred(event, step, now)))
            self._metrics.remote_attempts.labels("deferred").inc()
            self._metrics.happened.labels(self._service, What.DEFERRED).inc()
        records += self._report(event, Report.FAILED, step.failed, original, now)
        late = [answer for answer in step.late if wants(answer.recipient, "DELAY")]
        records += self._report(event, Report.DELAYED, late, original, now)
        # RFC 3461 section 5.2.2: the peer does not take the duty over, so we say how far it went
        told = [a for a in step.relayed if "SUCCESS" in a.recipient.notify and not a.dsn_passed_on]
        return records + self._report(event, Report.RELAYED, told, original, now)

    def _report(
        self, event: Outbound, kind: Report, answers: list[Answer] | tuple[Answer, ...], original: bytes, now: float
    ) -> list[Record]:
        if not answers:
            return []
        if kind is Report.FAILED:
            self._metrics.remote_attempts.labels("bounced").inc(len(answers))
            self._metrics.happened.labels(self._service, What.BOUNCED).inc(len(answers))
        failures = [Failure(a.recipient, a.status, a.reply, a.host) for a in answers]
        return report(
            kind, event.id, event.message, event.envelope, failures, original, service=self._service,
            hostname=self._hostname, now=now, arrived=event.accepted_at, complete=not event.body.key,
        )  # fmt: skip

    def _relayed(self, event: Outbound, answer: Answer, now: float) -> Happened:
        self._metrics.remote_attempts.labels("relayed").inc()
        self._metrics.happened.labels(self._service, What.RELAYED).inc()
        self._metrics.delivered_seconds.labels("relayed").observe(max(0.0, now - event.accepted_at))
        return Happened(
            id=_relayed_id(event, answer.recipient.address),
            message=event.message,
            at=now,
            what=What.RELAYED,
            service=self._service,
            host=self._hostname,
            recipients=(answer.recipient.address,),
            sender=event.envelope.sender,
            detail={"to": answer.host, "tls": answer.tls, "reply": answer.reply},
        )

    def _deferred(self, event: Outbound, step: Step, now: float) -> Happened:
        retry = step.retry
        assert retry is not None
        last = retry.attempts[-1]
        return Happened(
            id=derived_event_id(retry.id, "deferred"),
            message=event.message,
            at=now,
            what=What.DEFERRED,
            service=self._service,
            host=self._hostname,
            recipients=tuple(recipient.address for recipient in retry.recipients),
            sender=event.envelope.sender,
            detail={"to": last.host, "reply": last.reply, "tier": step.tier, "tries": str(retry.tries)},
        )


def _relayed_id(event: Outbound, address: str) -> EventId:
    return derived_event_id(event.id, "relayed", address)
