"""All that a mailbox keeps about a message beside its bytes, found in one pass at append.

Called once for every delivery and APPEND: what is rendered here is copied by every FETCH after it.  Takes any bytes.
"""

from __future__ import annotations

import re

import msgspec

from merpati.message.address_list import parse_address_list
from merpati.message.content import Part
from merpati.message.dates import read_date
from merpati.message.encoded_words import decode_words
from merpati.message.envelope import render_envelope
from merpati.message.headers import Field, field_value, one_line
from merpati.message.mime import scan
from merpati.message.structure import render_structure
from merpati.message.subject import MAX_SUBJECT, base_subject

MAX_REFERENCES = 100
"""Message ids kept of References: the first, which names the thread, and the last ones."""
MAX_NAME = 200
"""Characters of an author's name or address that are kept."""

_MESSAGE_ID = re.compile(rb"<([^<>\s]{1,998}+)>")
_KEPT = frozenset((b"date", b"subject", b"from", b"message-id", b"in-reply-to", b"references"))


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What FETCH, SEARCH, SORT and THREAD need of a message without reading it."""

    size: int
    """Octets (RFC822.SIZE)."""
    envelope: bytes
    body: bytes
    structure: bytes
    """ENVELOPE, BODY and BODYSTRUCTURE as they go to the client, with their parentheses."""
    sent_at: int | None = None
    """The Date field in seconds since 1970 UTC; None if there is no valid one."""
    sent_day: int | None = None
    """The day it names, in days since 1970-01-01, whatever its time zone."""
    subject: str = ""
    """Decoded, one line."""
    base_subject: str = ""
    """RFC 5256 section 2.1."""
    is_answer: bool = False
    """Whether the subject says that it is a reply or was passed on."""
    author_name: str = ""
    author: str = ""
    """Display name, decoded, and `local@domain` of the first From address."""
    message_id: str = ""
    in_reply_to: str = ""
    """Without the angle brackets; the first one of each field."""
    references: tuple[str, ...] = ()


def summarise(raw: bytes, root: Part | None = None) -> Summary:
    """The summary of a message; `root` is `scan(raw)` if the caller has it already."""
    root = root or scan(raw)
    body, structure = render_structure(raw, root)
    values = _first_values(raw, root.fields)
    date = read_date(values[b"date"]) if b"date" in values else None
    subject = one_line(decode_words(values.get(b"subject", b"")))[:MAX_SUBJECT]
    base, is_answer = base_subject(subject)
    name, author = _author(values.get(b"from", b""))
    return Summary(
        len(raw),
        render_envelope(raw, root.fields),
        body,
        structure,
        date and date.seconds,
        date and date.day,
        subject,
        base,
        is_answer,
        name,
        author,
        next(iter(_message_ids(values.get(b"message-id", b""))), ""),
        next(iter(_message_ids(values.get(b"in-reply-to", b""))), ""),
        _message_ids(values.get(b"references", b"")),
    )


def _first_values(raw: bytes, fields: tuple[Field, ...]) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for field in fields:
        name = field[0]
        if name in _KEPT and name not in values:
            values[name] = field_value(raw, field)
    return values


def _author(value: bytes) -> tuple[str, str]:
    for name, _, local, domain in parse_address_list(value, max_tokens=100):
        if local is not None and domain is not None:
            address = (local + b"@" + domain).decode("utf-8", "replace")
            return one_line(decode_words(name or b""))[:MAX_NAME], one_line(address)[:MAX_NAME]
    return "", ""


def _message_ids(value: bytes) -> tuple[str, ...]:
    ids = _MESSAGE_ID.findall(value)
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    return tuple(each.decode("utf-8", "replace") for each in ids)
