"""What `FETCH BODY[…]` answers: a section of the raw message, found by the rules of RFC 3501 section 6.4.5.

Called by the IMAP commands, which parse the section's text and cut partials themselves.  Received bytes are given out
as they are; only chosen header fields are put together anew.
"""

from __future__ import annotations

import enum

import msgspec

from merpati.message.content import Part


class Kind(enum.Enum):
    """What of a part is asked for."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


class Section(msgspec.Struct, frozen=True):
    """`BODY[]` is `Section()`.

    `BODY[1.2.HEADER.FIELDS (DATE)]` is `Section((1, 2), Kind.HEADER_FIELDS, (b"DATE",))`.
    """

    part: tuple[int, ...] = ()
    kind: Kind = Kind.ALL
    fields: tuple[bytes, ...] = ()


def resolve(raw: bytes, root: Part, section: Section) -> bytes | memoryview | None:
    """The octets of a section; None (NIL for the client) if the message has no such part.

    HEADER, HEADER.FIELDS and TEXT behind a part number are there for a message/rfc822 only, MIME behind a part number
    only.
    """
    part = find_part(root, section.part)
    if part is None:
        return None
    if section.kind is Kind.ALL:
        return memoryview(raw)[part.body : part.end] if section.part else raw
    if section.kind is Kind.MIME:
        return memoryview(raw)[part.start : part.body] if section.part else None
    message = part
    if section.part:
        if not part.content.is_message:
            return None
        message = part.children[0]
    if section.kind is Kind.HEADER:
        return memoryview(raw)[message.start : message.body]
    if section.kind is Kind.TEXT:
        return memoryview(raw)[message.body : message.end]
    return _header_fields(raw, message, section)


def find_part(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part with this number (RFC 3501 section 6.4.5); the message itself for no number; None if there is none.

    A message that is no multipart has one part, 1: itself.  Behind the number of a message/rfc822 the numbers go on
    with the parts of the message in it.
    """
    part = root
    inside_message = True
    for number in numbers:
        if part.content.is_message and not inside_message:
            part = part.children[0]
            inside_message = True
        if part.content.is_multipart:
            if not 1 <= number <= len(part.children):
                return None
            part = part.children[number - 1]
        elif number != 1 or not inside_message:
            return None
        inside_message = False
    return part


def _header_fields(raw: bytes, message: Part, section: Section) -> bytes:
    """The chosen fields as they stand, and the empty line that ends every header.

    RFC 3501 section 6.4.5 leaves that line away for a message that has none itself; clients read on to it all the same,
    so it is always there (Dovecot does so too).
    """
    wanted = {name.lower() for name in section.fields}
    if section.kind is Kind.HEADER_FIELDS:
        kept = [raw[start:end] for name, start, end in message.fields if name and name in wanted]
    else:
        kept = [raw[start:end] for name, start, end in message.fields if not name or name not in wanted]
    if kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\r\n")
    return b"".join(kept) + b"\r\n"
