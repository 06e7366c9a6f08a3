"""Delivery reports: RFC 3464's shape, and nothing a stranger said adds a line or a part."""

import email
import email.policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from merpati.message.body import body_parts
from merpati.message.dsn import (
    MAX_RETURNED,
    MAX_RETURNED_HEADER,
    Action,
    DeliveryReport,
    RecipientReport,
    compose_report,
)
from merpati.message.headers import Headers
from merpati.message.mime import scan
from merpati.message.wire import has_bare_line_end, has_long_line
from tests.message.cases import message, sample

FAILED = RecipientReport(
    recipient="nobody@there.example",
    action=Action.FAILED,
    status="5.1.1",
    remote="mx.there.example",
    diagnostic="550 5.1.1 No such user",
    last_attempt=1_700_000_000,
)
REPORT = DeliveryReport(
    id="018f0000-1",
    reporter="mx.here.example",
    to="alice@here.example",
    seconds=1_700_000_100,
    outcomes=(FAILED,),
    original=message("Message-ID: <m@here.example>\nSubject: hi", "the body\n"),
    arrived=1_699_999_000,
    envelope_id="QQ314159",
)


def groups(raw: bytes) -> list[Headers]:
    """The fields of the second part: about the message, then about each recipient."""
    status = body_parts(raw, scan(raw))[2]
    assert status.content_type == "message/delivery-status"
    return [Headers.parse(group + b"\r\n\r\n") for group in status.decoded().strip().split(b"\r\n\r\n")]


def test_a_failure_is_reported() -> None:
    raw = compose_report(REPORT)
    headers = Headers.parse(raw)
    assert headers.get("From") == "Mail Delivery System <MAILER-DAEMON@mx.here.example>"
    assert headers.get("To") == "<alice@here.example>"
    assert headers.get("Subject") == "Undelivered mail"
    assert headers.get("Date") == "Tue, 14 Nov 2023 22:15:00 +0000"
    assert headers.get("Message-ID") == "<018f0000-1@mx.here.example>"
    assert headers.get("References") == "<m@here.example>"
    assert headers.get("Auto-Submitted") == "auto-replied"
    parts = body_parts(raw, scan(raw))
    assert [part.content_type for part in parts] == [
        "multipart/report",
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert "report-type=delivery-status" in (headers.get("Content-Type") or "")
    assert "<nobody@there.example>" in parts[1].text()
    assert "mx.there.example said: 550 5.1.1 No such user" in parts[1].text()
    about_message, about_recipient = groups(raw)
    assert list(about_message.items()) == [
        ("reporting-mta", "dns; mx.here.example"),
        ("original-envelope-id", "QQ314159"),
        ("arrival-date", "Tue, 14 Nov 2023 21:56:40 +0000"),
    ]
    assert list(about_recipient.items()) == [
        ("final-recipient", "rfc822; nobody@there.example"),
        ("action", "failed"),
        ("status", "5.1.1"),
        ("remote-mta", "dns; mx.there.example"),
        ("diagnostic-code", "smtp; 550 5.1.1 No such user"),
        ("last-attempt-date", "Tue, 14 Nov 2023 22:13:20 +0000"),
    ]
    assert parts[3].decoded() == b"Message-ID: <m@here.example>\r\nSubject: hi\r\n\r\n"


def test_a_report_is_read_by_others() -> None:
    parsed = email.message_from_bytes(compose_report(replace(REPORT, full=True)), policy=email.policy.default)
    assert not parsed.defects
    assert [part.get_content_type() for part in parsed.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]


def test_a_delay_says_how_long_it_will_be_tried() -> None:
    outcome = replace(FAILED, action=Action.DELAYED, status="4.4.1", retry_until=1_700_400_000)
    raw = compose_report(replace(REPORT, outcomes=(outcome,)))
    assert Headers.parse(raw).get("Subject") == "Delayed mail (still being retried)"
    assert groups(raw)[1].get("Will-Retry-Until") == "Sun, 19 Nov 2023 13:20:00 +0000"
    assert "It will be tried until Sun, 19 Nov 2023 13:20:00 +0000." in body_parts(raw, scan(raw))[1].text()


@pytest.mark.parametrize(
    ("action", "status", "written"),
    [("delivered", "2.0.0", "2.0.0"), ("relayed", "", "2.0.0"), ("expanded", "x", "2.0.0"), ("failed", "", "5.0.0"),
     ("delayed", "5.1\r\n", "4.0.0")],
)  # fmt: skip
def test_every_action_is_reported_with_a_valid_status(action: str, status: str, written: str) -> None:
    outcome = replace(FAILED, action=Action(action), status=status)
    fields = groups(compose_report(replace(REPORT, outcomes=(outcome,))))[1]
    assert (fields.get("Action"), fields.get("Status")) == (action, written)


def test_each_recipient_has_a_group_of_fields() -> None:
    other = replace(FAILED, recipient="two@there.example", original_recipient="rfc822;one@there.example")
    found = groups(compose_report(replace(REPORT, outcomes=(FAILED, other))))
    assert [group.get("Final-Recipient") for group in found[1:]] == [
        "rfc822; nobody@there.example",
        "rfc822; two@there.example",
    ]
    assert found[2].get("Original-Recipient") == "rfc822; one@there.example"


def test_an_international_address_is_told_in_ascii() -> None:
    # RFC 6533 section 3
    outcome = replace(FAILED, recipient="ü@there.example", original_recipient="utf-8;ü@there.example")
    raw = compose_report(replace(REPORT, outcomes=(outcome,), to="jürgen@here.example"))
    fields = groups(raw)[1]
    assert fields.get("Final-Recipient") == "utf-8; \\x{FC}@there.example"
    assert fields.get("Original-Recipient") == "utf-8; \\x{FC}@there.example"
    assert Headers.parse(raw).get("To") == "<jürgen@here.example>"
    assert "<ü@there.example>" in body_parts(raw, scan(raw))[1].text()


RETURNED = [
    # asked for in full, complete, the original, what goes back
    (True, True, sample("plain"), "message/rfc822"),
    (False, True, sample("plain"), "text/rfc822-headers"),
    (True, False, sample("plain"), "text/rfc822-headers"),
    (True, True, message("A: b", "x\n" * MAX_RETURNED), "text/rfc822-headers"),
    (True, True, message("A: b", "x" * 1_000), "text/rfc822-headers"),  # a line SMTP could not carry
    (True, True, b"", "message/rfc822"),
    (False, True, b"", "text/rfc822-headers"),
    (True, True, sample("bare_lf"), "message/rfc822"),
    (True, True, b"\0\r\n\xff", "message/rfc822"),
]


@pytest.mark.parametrize(("full", "complete", "original", "content_type"), RETURNED)
def test_the_message_goes_back_as_asked_if_it_can(
    full: bool, complete: bool, original: bytes, content_type: str
) -> None:
    raw = compose_report(replace(REPORT, full=full, complete=complete, original=original))
    assert body_parts(raw, scan(raw))[3].content_type == content_type
    assert not has_bare_line_end(raw)
    assert not has_long_line(raw)
    assert b"\0" not in raw


@pytest.mark.parametrize("original", [b"A: b\r\n" * 50_000 + b"\r\nx", b"A" * 200_000, b"A: " + b"b" * 200_000])
def test_a_long_header_goes_back_in_part(original: bytes) -> None:
    raw = compose_report(replace(REPORT, original=original))
    assert len(raw) < MAX_RETURNED_HEADER + 4_000
    assert not has_long_line(raw)


def test_a_boundary_does_not_stand_in_the_message() -> None:
    first = compose_report(REPORT)
    boundary = first.split(b'boundary="')[1].split(b'"')[0]
    raw = compose_report(
        replace(REPORT, full=True, original=b"\r\n--" + boundary + b"\r\n\r\nforged\r\n--" + boundary + b"--\r\n")
    )
    assert len(scan(raw).children) == 3
    assert compose_report(REPORT) == first


EVIL = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["x\r\nBcc: victim@example.org", "\r\n\r\n--=_report_018f00001_0\r\n", "a\0b", "\u2028", "\ud800", "(" * 40]
    ),
)  # fmt: skip


@given(EVIL, EVIL, EVIL, st.binary(max_size=300))
@example("", "\r0", "", b"")
def test_no_word_of_a_stranger_adds_a_line_or_a_part(one: str, two: str, three: str, octets: bytes) -> None:
    # C5
    outcome = RecipientReport(
        recipient=one,
        action=Action.FAILED,
        status=two,
        original_recipient=f"rfc822;{three}",
        remote=two,
        diagnostic=three,
    )
    report = DeliveryReport(
        id=one,
        reporter=two,
        to=three,
        seconds=0,
        outcomes=(outcome, FAILED),
        original=octets,
        full=True,
        envelope_id=one,
    )
    raw = compose_report(report)
    parts = scan(raw).children
    assert len(parts) == 3
    assert set(Headers.parse(raw)) <= {
        "from", "to", "subject", "date", "message-id", "references", "auto-submitted", "mime-version", "content-type",
    }  # fmt: skip
    about = groups(raw)
    assert len(about) == 3
    assert set(about[0]) <= {"reporting-mta", "original-envelope-id"}
    assert set(about[1]) <= {
        "original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code",
    }  # fmt: skip
    assert not has_bare_line_end(raw)
    assert not has_long_line(raw)
    assert b"\0" not in raw
