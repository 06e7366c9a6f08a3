"""Reports to senders: when one is due, what it says, and that the same cause says the same thing twice."""

from __future__ import annotations

import email

import pytest

from merpati.bounces import Failure, Report, report
from merpati.bus.api import Record
from merpati.events import Envelope, Happened, Received, Recipient, What, decode
from merpati.ids import EventId, MessageId, derived_message_id

CAUSE, MESSAGE = EventId("c" * 32), MessageId("01890000-0000-7000-8000-000000000000")
ORIGINAL = b"From: a@here.test\r\nSubject: secret plans\r\n\r\nbody of the message\r\n"


def made(
    kind: Report = Report.FAILED, sender: str = "a@here.test", notify: tuple[str, ...] = (), ret: str = ""
) -> list:
    people = (Recipient("b@far.test", notify),)
    failures = [Failure(people[0], "5.1.1", "550 no such user\r\nX-Evil: yes", "mx.far.test")]
    records = report(
        kind, CAUSE, MESSAGE, Envelope(sender, people, ret=ret), failures, ORIGINAL, service="test",
        hostname="mx.here.test", now=1_700_000_000.0, arrived=1_699_999_000.0,
    )  # fmt: skip
    return [(decode(record), record) for record in records]


def reports(found: list) -> list[tuple[Received, Record]]:
    return [(event, record) for event, record in found if isinstance(event, Received)]


def test_a_failure_is_reported_from_the_null_sender() -> None:
    ((event, record),) = reports(made())
    assert event.envelope.sender == "" and event.envelope.recipients[0].address == "a@here.test"
    assert event.message == derived_message_id(MESSAGE, "failed", CAUSE)
    parsed = email.message_from_bytes(record.value)
    assert parsed.get_content_type() == "multipart/report"
    status = parsed.get_payload()[1].as_string()
    assert "Final-Recipient: rfc822; b@far.test" in status and "Status: 5.1.1" in status and "Action: failed" in status
    assert "X-Evil" not in [name for part in parsed.walk() for name in part]
    assert b"body of the message" not in record.value and b"secret plans" in record.value


def test_the_whole_message_goes_back_if_asked_for() -> None:
    ((_, record),) = reports(made(ret="FULL"))
    assert b"body of the message" in record.value


WANTED = [
    (Report.FAILED, (), True),
    (Report.FAILED, ("NEVER",), False),
    (Report.FAILED, ("SUCCESS",), False),
    (Report.DELAYED, (), True),
    (Report.DELAYED, ("FAILURE",), False),
    (Report.RELAYED, (), False),
    (Report.RELAYED, ("SUCCESS",), True),
]


@pytest.mark.parametrize(("kind", "notify", "due"), WANTED)
def test_notify_decides_whether_a_report_is_due(kind: Report, notify: tuple[str, ...], due: bool) -> None:
    assert bool(reports(made(kind, notify=notify))) is due


def test_the_null_sender_is_never_answered_and_the_end_is_still_told() -> None:
    found = made(sender="")
    assert reports(found) == []
    ((event, _),) = found
    assert isinstance(event, Happened) and event.what is What.BOUNCED and "bounce" not in event.detail


def test_the_same_cause_says_the_same_thing() -> None:
    assert [record for _, record in made()] == [record for _, record in made()]
