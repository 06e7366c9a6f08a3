"""One message's envelope as MAIL and RCPT tell it (RFC 5321 section 4.1.1), fitted to what the server can do.

Called by the transaction.  Whatever an address or a parameter holds, no line is written that is not one command.
"""

from __future__ import annotations

import re

from msgspec import Struct

from delivery.smtp.extensions import Extensions
from delivery.smtp.outcome import Outcome, Phase, Verdict
from merpati.events import Recipient
from merpati.message.xtext import encode_utf8_xtext, encode_xtext

MAX_ADDRESS = 1000
"""Octets of an address.  RFC 5321 section 4.5.3.1.3 has 256; who knows better may refuse."""

# RFC 5321 section 4.1.2, RFC 6531 section 3.3; two dots in a row or a last one are in use, so they are let through
_ADDRESS = re.compile(
    r"(?:[^\s\x00-\x1f\x7f-\x9f\"<>()\[\],;:\\@]+|\"(?:[^\"\\\x00-\x1f\x7f-\x9f]|\\[ -~])*\")@(\S+)\Z"
)
_DOMAIN = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\"<>()\[\],;:\\@]+\Z|\[[0-9A-Za-z.:\-]+\]\Z")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


class Envelope(Struct, frozen=True, gc=False):
    """Who sends to whom, and what the message needs.  `sender` is empty for the null reverse-path."""

    sender: str
    recipients: tuple[Recipient, ...]
    size: int
    """Bytes of the message."""
    eightbit: bool = False
    """Whether it holds 8-bit bytes."""
    smtputf8: bool = False
    """Whether its header holds UTF-8; addresses speak for themselves."""
    ret: str = ""
    envid: str = ""


def envelope_of(
    message: bytes,
    sender: str,
    recipients: tuple[Recipient, ...],
    *,
    smtputf8: bool = False,
    ret: str = "",
    envid: str = "",
) -> Envelope:
    """The envelope of a message at hand.  `smtputf8` says that it came as internationalized mail (RFC 6531)."""
    eightbit = not message.isascii()
    header_end = message.find(b"\r\n\r\n")
    header = message if header_end < 0 else message[:header_end]
    utf8 = smtputf8 and eightbit and not header.isascii()
    return Envelope(sender, recipients, len(message), eightbit, utf8, ret, envid)


def is_address(address: str) -> bool:
    """Whether `address` can stand between angle brackets."""
    found = _ADDRESS.match(address)
    return found is not None and _DOMAIN.match(found[1]) is not None and len(address.encode()) <= MAX_ADDRESS


def objection(envelope: Envelope, offered: Extensions) -> tuple[str, str] | None:
    """Why no recipient can get the message from this server: (status, text), or None."""
    if envelope.sender and not is_address(envelope.sender):
        return "5.1.7", "the sender's address cannot be written in SMTP"
    if 0 < offered.size < envelope.size:
        # RFC 1870 section 6.1, without asking first
        return "5.3.4", f"message of {envelope.size} bytes, the server takes {offered.size}"
    if not offered.smtputf8 and (envelope.smtputf8 or not envelope.sender.isascii()):
        # RFC 6531 section 3.5
        return "5.6.7", "internationalized mail, which the server does not take (SMTPUTF8)"
    return None


def objection_to(recipient: Recipient, offered: Extensions) -> Outcome | None:
    """Why this recipient cannot be named to this server, or None."""
    if not is_address(recipient.address):
        return Outcome(recipient, Verdict.PERMANENT, "5.1.3", "the address cannot be written in SMTP", Phase.RCPT)
    if not offered.smtputf8 and not recipient.address.isascii():
        text = "internationalized address, which the server does not take (SMTPUTF8)"
        return Outcome(recipient, Verdict.PERMANENT, "5.6.7", text, Phase.RCPT)
    return None


def mail_command(envelope: Envelope, offered: Extensions, *, smtputf8: bool) -> bytes:
    """MAIL with the parameters that the server knows; `smtputf8` if the message or a recipient needs it."""
    parts = [f"MAIL FROM:<{envelope.sender}>"]
    if offered.wants_size:
        parts.append(f"SIZE={envelope.size}")
    if envelope.eightbit and offered.eightbit:
        # RFC 6152 section 3 would have it rewritten for a server that lacks 8BITMIME.  That breaks signatures; such
        # servers pass 8 bits on, so it is sent as it is
        parts.append("BODY=8BITMIME")
    if smtputf8:
        parts.append("SMTPUTF8")
    if offered.dsn:
        if envelope.ret in ("FULL", "HDRS"):
            parts.append(f"RET={envelope.ret}")
        if envelope.envid:
            parts.append(f"ENVID={encode_xtext(envelope.envid)}")
    return " ".join(parts).encode() + b"\r\n"


def rcpt_command(recipient: Recipient, offered: Extensions) -> bytes:
    """RCPT with the parameters of RFC 3461 if the server knows them."""
    parts = [f"RCPT TO:<{recipient.address}>"]
    if offered.dsn:
        notify = [word for word in recipient.notify if word in _NOTIFY]
        if notify:
            parts.append(f"NOTIFY={','.join(notify)}")
        kind, _, original = recipient.orcpt.partition(";")
        if original and kind.isascii() and kind.replace("-", "").isalnum():
            parts.append(f"ORCPT={kind};{_original(kind, original)}")
    return " ".join(parts).encode() + b"\r\n"


def _original(kind: str, address: str) -> str:
    # RFC 6533 section 3: a utf-8 address has an encoding of its own, which holds in a server without SMTPUTF8 too
    return encode_utf8_xtext(address) if kind.lower() == "utf-8" else encode_xtext(address)
