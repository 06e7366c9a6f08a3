"""Delivery status notifications: the multipart/report that tells a sender what became of a message (RFC 3464).

Called by delivery when it gives up on a recipient or keeps one waiting.  The caller sends it from the null path (RFC
3461 section 6.1), never in answer to one.  All that is told comes from strangers: the addresses, the other server's
words, the message.  None of it can add a line or a part.
"""

from __future__ import annotations

import binascii
import enum
import re

import msgspec

from merpati.message.compose import date_field, header_field, message_id, safe_line
from merpati.message.dates import format_date
from merpati.message.headers import Headers, split_headers
from merpati.message.wire import has_long_line, normalise_line_ends
from merpati.message.xtext import encode_utf8_xtext

MAX_RETURNED = 64 * 1024
"""Octets of the original message that go back; of a larger one its header only."""
MAX_RETURNED_HEADER = 32 * 1024
"""Octets of the original header that go back."""
MAX_RECIPIENTS = 1_000
"""Recipients in one report."""
MAX_DIAGNOSTIC = 1_000
"""Characters of the other server's words."""

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_TYPE = re.compile(r"[A-Za-z0-9-]{1,20}")


class Action(enum.StrEnum):
    """What became of it (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class RecipientReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the message for one recipient."""

    recipient: str
    """`local@domain`."""
    action: Action
    status: str
    """RFC 3463, for example `5.1.1`."""
    original_recipient: str = ""
    """The ORCPT parameter, decoded: `rfc822;a@b.example` (RFC 3461 section 4.2); empty if there was none."""
    remote: str = ""
    """The name of the server that said so; empty if it was ourselves."""
    diagnostic: str = ""
    """That server's reply, or our own words."""
    last_attempt: float | None = None
    retry_until: float | None = None
    """Seconds since 1970 UTC."""


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one notification says.  All of it is about one message."""

    id: str
    """The notification's own id, unique: Message-ID and boundary are made of it."""
    reporter: str
    """Our name."""
    to: str
    """`local@domain`: the sender of the original."""
    seconds: float
    outcomes: tuple[RecipientReport, ...]
    original: bytes
    """The original message, or as much of it as the caller has."""
    complete: bool = True
    """Whether `original` is the whole message; if not, only its header goes back."""
    full: bool = False
    """Whether the sender asked for the message back (RET=FULL) and not for its header (RFC 3461 section 4.3)."""
    envelope_id: str = ""
    """ENVID, decoded (RFC 3461 section 4.4)."""
    arrived: float | None = None


def compose_report(report: DeliveryReport) -> bytes:
    """The notification as a message with CRLF line ends, 7-bit but for what it returns and the address it goes to."""
    human = _human_part(report)
    status = _status_part(report)
    returned = _returned_part(report)
    boundary = _boundary(report.id, human + status + returned)
    mark = f"--{boundary}\r\n".encode()
    return b"".join(
        (
            _header(report, boundary),
            b"This is a delivery status notification (RFC 3464).\r\n\r\n",
            mark,
            human,
            mark,
            status,
            mark,
            returned,
            f"--{boundary}--\r\n".encode(),
        )
    )


def _header(report: DeliveryReport, boundary: str) -> bytes:
    delayed = all(outcome.action == Action.DELAYED for outcome in report.outcomes)
    failed = any(outcome.action == Action.FAILED for outcome in report.outcomes)
    subject = "Undelivered mail" if failed else "Delayed mail (still being retried)" if delayed else "Delivery report"
    original_id = Headers(report.original, split_headers(report.original)[0]).get("Message-ID") or ""
    fields = [
        header_field("From", f"Mail Delivery System <MAILER-DAEMON@{report.reporter}>"),
        header_field("To", f"<{report.to}>", utf8=True),
        header_field("Subject", subject),
        date_field(report.seconds),
        header_field("Message-ID", message_id(report.id, report.reporter)),
        # RFC 3834 section 5: nobody's vacation program answers this.
        header_field("Auto-Submitted", "auto-replied"),
        header_field("MIME-Version", "1.0"),
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"\r\n'.encode(),
    ]
    if re.fullmatch(r"<[!-;=?-~]{1,200}>", original_id):
        fields.insert(5, header_field("References", original_id))
    return b"".join(fields) + b"\r\n"


def _boundary(id_: str, content: bytes) -> str:
    """A boundary that occurs nowhere in the content, and is the same each time the same report is composed."""
    stem = "=_report_" + (re.sub(r"[^A-Za-z0-9]", "", id_)[:40] or "x")
    number = 0
    while f"--{stem}_{number}".encode() in content:
        number += 1
    return f"{stem}_{number}"


_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: "Your message has not been delivered yet; it is still being tried. You need not send it again. To:",
    Action.DELIVERED: "Your message was delivered to:",
    Action.RELAYED: "Your message was passed on to a server that sends no further reports, for:",
    Action.EXPANDED: "Your message was delivered to this list, which sends no further reports:",
}


def _human_part(report: DeliveryReport) -> bytes:
    """RFC 3464 section 2, first part: words for people, in English."""
    lines = [f"This is the mail server {safe_line(report.reporter)}."]
    for action in Action:
        outcomes = [each for each in report.outcomes[:MAX_RECIPIENTS] if each.action == action]
        if outcomes:
            lines += ["", _OPENINGS[action], ""]
        for outcome in outcomes:
            source = f"{safe_line(outcome.remote)} said: " if outcome.remote else ""
            lines.append(f"  <{safe_line(outcome.recipient)}>")
            lines.append(f"      {source}{safe_line(outcome.diagnostic)[:MAX_DIAGNOSTIC] or safe_line(outcome.status)}")
            if outcome.retry_until is not None and action == Action.DELAYED:
                lines.append(f"      It will be tried until {format_date(outcome.retry_until)}.")
    text = "\n".join(lines) + "\n"
    encoded = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True).replace(b"\n", b"\r\n")
    return (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Description: Notification\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded + b"\r\n"
    )


def _status_part(report: DeliveryReport) -> bytes:
    """RFC 3464 section 2.1: fields about the message, then a group of fields for each recipient."""
    fields = [header_field("Reporting-MTA", f"dns; {report.reporter}")]
    if report.envelope_id:
        fields.append(header_field("Original-Envelope-Id", _ascii(report.envelope_id)))
    if report.arrived is not None:
        fields.append(header_field("Arrival-Date", format_date(report.arrived)))
    groups = [b"".join(fields)]
    groups += (_recipient_fields(outcome) for outcome in report.outcomes[:MAX_RECIPIENTS])
    return (
        b"Content-Type: message/delivery-status\r\n"
        b"Content-Description: Delivery report\r\n\r\n" + b"\r\n".join(groups) + b"\r\n"
    )


def _recipient_fields(outcome: RecipientReport) -> bytes:
    """RFC 3464 section 2.3."""
    fields = []
    if outcome.original_recipient:
        kind, _, address = outcome.original_recipient.partition(";")
        if address and _TYPE.fullmatch(kind):
            fields.append(header_field("Original-Recipient", _typed(kind, address)))
    fields.append(header_field("Final-Recipient", _typed("rfc822", outcome.recipient)))
    fields.append(header_field("Action", outcome.action))
    # RFC 3463 section 2; a status that is none becomes "other or undefined".
    fallback = {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(outcome.action, "2.0.0")
    fields.append(header_field("Status", outcome.status if _STATUS.fullmatch(outcome.status) else fallback))
    if outcome.remote:
        fields.append(header_field("Remote-MTA", f"dns; {_ascii(outcome.remote)}"))
    if outcome.diagnostic:
        fields.append(header_field("Diagnostic-Code", f"smtp; {_ascii(outcome.diagnostic)[:MAX_DIAGNOSTIC]}"))
    if outcome.last_attempt is not None:
        fields.append(header_field("Last-Attempt-Date", format_date(outcome.last_attempt)))
    if outcome.retry_until is not None and outcome.action == Action.DELAYED:
        fields.append(header_field("Will-Retry-Until", format_date(outcome.retry_until)))
    return b"".join(fields)


def _typed(kind: str, address: str) -> str:
    """An address with its type.  RFC 6533 section 3: other than ASCII is of type utf-8, and here in its ASCII form,
    since the part is message/delivery-status and not message/global-delivery-status."""
    if address.isascii():
        return f"{kind}; {address}"
    return f"utf-8; {encode_utf8_xtext(address)}"


def _ascii(text: str) -> str:
    """RFC 3464 section 2.1: the fields of a delivery status are ASCII."""
    return safe_line(text).encode("ascii", "replace").decode("ascii")


def _returned_part(report: DeliveryReport) -> bytes:
    """RFC 3464 section 2, third part: the message, or its header."""
    if report.full and report.complete and len(report.original) <= MAX_RETURNED:
        whole = normalise_line_ends(report.original.replace(b"\0", b""))
        # A message/rfc822 must not be encoded (RFC 2046 section 5.2.1): one that SMTP could not carry stays here.
        if not has_long_line(whole):
            return _returned(b"message/rfc822", whole)
    header = report.original[: min(split_headers(report.original)[1], MAX_RETURNED_HEADER)]
    header = normalise_line_ends(header.replace(b"\0", b""))
    # A header that was cut in the middle of a line ends where its last whole line does.
    header = header[: header.rfind(b"\n") + 1]
    if has_long_line(header):
        header = b"\r\n".join(line[:900] for line in header.split(b"\r\n"))
    return _returned(b"text/rfc822-headers", header)


def _returned(kind: bytes, content: bytes) -> bytes:
    encoding = b"7bit" if content.isascii() else b"8bit"
    return b"Content-Type: %b\r\nContent-Description: Your message\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n" % (
        kind,
        encoding,
        content,
    )
