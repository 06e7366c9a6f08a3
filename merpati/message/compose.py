"""Header fields written by us: from values that strangers chose, and still one field each.

Called by ingest (Received, Return-Path), the processors (added fields), delivery and the reports.  No CR, LF or NUL of
a value gets through; nothing received is written anew here.  The moment and the id are passed in.
"""

from __future__ import annotations

import base64
import re

import msgspec

from merpati.message.addresses import Address
from merpati.message.dates import format_date

MAX_FOLDED = 78
"""Octets of a line (RFC 5322 section 2.1.1: "SHOULD")."""
MAX_UNFOLDED = 900
"""Octets of a word that is not cut; longer lines than 998 octets are forbidden."""
_WORD_OCTETS = 45  # base64 of 45 octets and `=?utf-8?b?…?=` are 72 of the 75 characters of RFC 2047 section 2

_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_NOT_IN_DOMAIN = re.compile(r"[^A-Za-z0-9.:_-]")
_NOT_IN_COMMENT = re.compile(r"[^ !-'*-\[\]-~]")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]")
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*")


def safe_line(value: str) -> str:
    """A value without control characters: each run of them, and of spaces, is one space."""
    value = _CONTROLS.sub(" ", value).strip()
    return value.encode("utf-8", "replace").decode("utf-8")


def header_field(name: str, value: str, *, utf8: bool = False) -> bytes:
    """An unstructured field, folded, with its CRLF.

    Other than ASCII becomes encoded words (RFC 2047), or stays UTF-8 with `utf8` (RFC 6532).  Raises ValueError if the
    name is no field name: names are never a stranger's.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no header field name")
    value = safe_line(value)
    if not value.isascii() and not utf8:
        value = " ".join(_encoded_words(value))
    return _fold(f"{name}:".encode(), value.encode("utf-8"))


def _encoded_words(value: str) -> list[str]:
    words: list[str] = []
    piece = b""
    for character in value:
        octets = character.encode("utf-8")
        # RFC 2047 section 5: a character stands whole in one encoded word.
        if len(piece) + len(octets) > _WORD_OCTETS:
            words.append(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=")
            piece = b""
        piece += octets
    words.append(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=")
    return words


def _fold(name: bytes, value: bytes) -> bytes:
    """RFC 5322 section 2.2.3: lines are broken before a space; a word too long for a line is cut."""
    lines = [name]
    for word in value.split():
        while len(word) > MAX_UNFOLDED:
            lines.append(b" " + word[:MAX_UNFOLDED])
            word = word[MAX_UNFOLDED:]
        if len(lines[-1]) + 1 + len(word) <= MAX_FOLDED:
            lines[-1] += b" " + word
        else:
            lines.append(b" " + word)
    # A first line with the name alone is allowed and disliked: RFC 5322 section 4.2 is about what came of it.
    if len(lines) > 1 and lines[0] == name and len(name) + len(lines[1]) <= 998:
        lines[:2] = [name + lines[1]]
    return b"\r\n".join(lines) + b"\r\n"


def display_name(name: str) -> str:
    """A display name for an address field: as it is, quoted, or as encoded words (RFC 5322 section 3.4)."""
    name = safe_line(name)
    if not name.isascii():
        return " ".join(_encoded_words(name))
    if _ATOMS.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def address_field(name: str, address: Address, display: str = "") -> bytes:
    """A field with one address, such as From; a local part that is not ASCII stays UTF-8 (RFC 6532)."""
    shown = f"{display_name(display)} <{address}>" if display else f"<{address}>"
    return header_field(name, shown, utf8=True)


def date_field(seconds: float) -> bytes:
    """`Date:` of the moment, in UTC."""
    return header_field("Date", format_date(seconds))


def message_id(token: str, domain: str) -> str:
    """`<token@domain>` with whatever may not stand in it left out."""
    return f"<{_NOT_IN_ID.sub('', token) or 'x'}@{_NOT_IN_DOMAIN.sub('', domain) or 'localhost'}>"


def return_path(sender: Address | None) -> bytes:
    """The field that final delivery puts first (RFC 5321 section 4.4); None is the null path."""
    return header_field("Return-Path", f"<{sender or ''}>", utf8=True)


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """What a Received field tells of one transaction; every value may be a stranger's."""

    client_name: str
    """The argument of EHLO, HELO or LHLO."""
    client_address: str
    """IP address the connection came from."""
    reverse_name: str = ""
    """The name that address resolves to and back; empty if unknown."""
    by: str
    """Our own name."""
    protocol: str
    """As `protocol_name` gives it."""
    tls: str = ""
    """Version and cipher, for example `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty without TLS."""
    id: str
    recipient: Address | None = None
    """Named only if the message has one recipient: the others would be disclosed (RFC 5321 section 7.6)."""
    seconds: float


def received(hop: Hop) -> bytes:
    """The trace field that a server puts before a message (RFC 5321 section 4.4)."""
    seen = _comment(f"{hop.reverse_name or 'unknown'} [{hop.client_address}]")
    first = f"Received: from {_domain(hop.client_name)} ({seen})"
    lines = [first]
    if hop.tls:
        lines.append(f"\t(using {_comment(hop.tls)})")
    lines.append(f"\tby {_domain(hop.by)} with {_domain(hop.protocol)} id {_NOT_IN_ID.sub('', hop.id) or 'x'}")
    recipient = str(hop.recipient or "")
    if recipient and recipient.isascii() and recipient.isprintable():
        lines.append(f"\tfor <{recipient}>")
    lines[-1] += ";"
    lines.append(f"\t{format_date(hop.seconds)}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def protocol_name(
    *, esmtp: bool = True, tls: bool = False, auth: bool = False, lmtp: bool = False, utf8: bool = False
) -> str:
    """The word behind `with` (RFC 3848; with SMTPUTF8 RFC 6531 section 4.3)."""
    if not esmtp and not lmtp:
        return "SMTP"
    stem = "LMTP" if lmtp else "SMTP"
    return ("UTF8" + stem if utf8 else stem if lmtp else "ESMTP") + ("S" if tls else "") + ("A" if auth else "")


def _domain(name: str) -> str:
    """A domain or an address literal out of whatever the client said: other characters become question marks."""
    name = name[:255]
    if name.startswith("[") and name.endswith("]"):
        return f"[{_NOT_IN_DOMAIN.sub('?', name[1:-1])}]"
    return _NOT_IN_DOMAIN.sub("?", name) or "unknown"


def _comment(text: str) -> str:
    return _NOT_IN_COMMENT.sub("?", text[:300])
