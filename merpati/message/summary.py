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
from merpati.message.envelope import Values, envelope_of, header_values
from merpati.message.headers import one_line
from merpati.message.mime import scan
from merpati.message.structure import render_structure
from merpati.message.subject import MAX_SUBJECT, base_subject

MAX_REFERENCES = 100
"""Message ids kept of References: the first, which names the thread, and the last ones."""
MAX_NAME = 200
"""Characters of an author's name or address that are kept."""

_MESSAGE_ID = re.compile(rb"<([^<>\s]{1,998}+)>")


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
    values = header_values(raw, root.fields)
    date = read_date(values[b"date"][0]) if b"date" in values else None
    subject = one_line(decode_words(_first(values, b"subject")))[:MAX_SUBJECT]
    base, is_answer = base_subject(subject)
    name, author = _author(_first(values, b"from"))
    return Summary(
        len(raw),
        envelope_of(values),
        body,
        structure,
        date and date.seconds,
        date and date.day,
        subject,
        base,
        is_answer,
        name,
        author,
        _message_id(_first(values, b"message-id")),
        _message_id(_first(values, b"in-reply-to")),
        _message_ids(_first(values, b"references")),
    )


def _first(values: Values, name: bytes) -> bytes:
    return values[name][0] if name in values else b""


def _author(value: bytes) -> tuple[str, str]:
    for name, _, local, domain in parse_address_list(value, max_tokens=100):
        if local is not None and domain is not None:
            address = (local + b"@" + domain).decode("utf-8", "replace")
            return one_line(decode_words(name or b""))[:MAX_NAME], one_line(address)[:MAX_NAME]
    return "", ""


def _message_id(value: bytes) -> str:
    found = _MESSAGE_ID.search(value)
    return found[1].decode("utf-8", "replace") if found else ""


def _message_ids(value: bytes) -> tuple[str, ...]:
    ids = _MESSAGE_ID.findall(value)
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    return tuple(each.decode("utf-8", "replace") for each in ids)
