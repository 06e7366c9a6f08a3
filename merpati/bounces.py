"""Telling the sender what became of a message: the one place that decides whether a report is due, and publishes it.

Used by the processors (no such user) and by delivery (refused, expired, late, over quota).  A report is a message of
ours with the null sender that takes the same way as any other; about a report none is made (RFC 5321 section 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from merpati.bus.api import Record
from merpati.events import Body, Client, Envelope, Happened, Received, Recipient, What, encode
from merpati.ids import EventId, MessageId, derived_event_id, derived_message_id, digest_of
from merpati.message.dsn import Action, DeliveryReport, RecipientReport, compose_report


class Report(StrEnum):
    """What is reported, by the names of RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    DELIVERED = "delivered"


WANTED = {Report.FAILED: "FAILURE", Report.DELAYED: "DELAY", Report.RELAYED: "SUCCESS", Report.DELIVERED: "SUCCESS"}
DEFAULT_STATUS = {Report.FAILED: "5.0.0", Report.DELAYED: "4.0.0", Report.RELAYED: "2.0.0", Report.DELIVERED: "2.0.0"}


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of one recipient: enhanced status (RFC 3463), the reply or our words, the host that gave it."""

    recipient: Recipient
    status: str
    reply: str
    host: str = ""


def report(
    kind: Report, cause: EventId, message: MessageId, envelope: Envelope, failures: Sequence[Failure], original: bytes,
    *, service: str, hostname: str, now: float, arrived: float, complete: bool = True,
) -> list[Record]:  # fmt: skip
    """The records to publish: the report as a message of its own, if one is due, and for failures what happened.

    `original` is the message as it came, or (not `complete`) its beginning; it is quoted as RET asks.  The same
    `cause` gives the same message id and event ids.
    """
    told = [one for one in failures if _is_told(kind, envelope, one)]
    records: list[Record] = []
    report_id = derived_message_id(message, kind, cause) if told else MessageId("")
    if told:
        raw = compose_report(_content(kind, report_id, envelope, told, original, hostname, now, arrived, complete))
        records += _submitted(report_id, cause, kind, envelope.sender, raw, service, hostname, now)
    if kind is Report.FAILED:
        records += [
            encode(_bounced(one, cause, message, envelope, report_id, service, hostname, now)) for one in failures
        ]
    return records


def _is_told(kind: Report, envelope: Envelope, one: Failure) -> bool:
    # RFC 3461 section 4.1: without NOTIFY, failure and delay are reported; RFC 5321 section 4.5.5: never to <>
    notify = one.recipient.notify or ("FAILURE", "DELAY")
    return bool(envelope.sender) and WANTED[kind] in notify


def _bounced(
    one: Failure,
    cause: EventId,
    message: MessageId,
    envelope: Envelope,
    report_id: str,
    service: str,
    host: str,
    now: float,
) -> Happened:
    detail = {"status": one.status, "reply": one.reply[:500], "by": one.host}
    if report_id:
        detail["bounce"] = report_id
    return Happened(
        id=derived_event_id(cause, "bounced", one.recipient.address),
        message=message,
        at=now,
        what=What.BOUNCED,
        service=service,
        host=host,
        recipients=(one.recipient.address,),
        sender=envelope.sender,
        detail=detail,
    )


def _submitted(
    report_id: MessageId, cause: EventId, kind: Report, to: str, raw: bytes, service: str, hostname: str, now: float
) -> list[Record]:
    """The report as a message at our own door, and its first hop."""
    envelope = Envelope(
        "", (Recipient(to, ("NEVER",)),), Client(helo=hostname), door="internal", smtputf8=not to.isascii()
    )
    received = Received(
        id=derived_event_id(cause, kind, "report"),
        message=report_id,
        at=now,
        envelope=envelope,
        body=Body(len(raw), digest_of(raw)),
    )
    accepted = Happened(
        id=derived_event_id(cause, kind, "report accepted"),
        message=report_id,
        at=now,
        what=What.ACCEPTED,
        service=service,
        host=hostname,
        recipients=(to,),
        detail={"door": "internal", "report": kind, "size": str(len(raw))},
    )
    return [encode(received, raw), encode(accepted)]


def _content(
    kind: Report, report_id: str, envelope: Envelope, told: Sequence[Failure], original: bytes, hostname: str,
    now: float, arrived: float, complete: bool,
) -> DeliveryReport:  # fmt: skip
    outcomes = tuple(
        RecipientReport(
            recipient=one.recipient.address,
            action=Action(kind.value),
            status=one.status or DEFAULT_STATUS[kind],
            original_recipient=one.recipient.orcpt,
            remote=one.host,
            diagnostic=one.reply,
            last_attempt=now,
        )
        for one in told
    )
    return DeliveryReport(
        id=report_id,
        reporter=hostname,
        to=envelope.sender,
        seconds=now,
        outcomes=outcomes,
        original=original,
        complete=complete,
        full=envelope.ret == "FULL" and kind is Report.FAILED,
        envelope_id=envelope.envid,
        arrived=arrived,
    )
