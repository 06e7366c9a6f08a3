"""IMAP's ENVELOPE (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2), rendered from a header section, and IMAP's strings.

Called once a message at append and for each message inside it by the structure; FETCH then copies bytes.  Takes any
bytes; what comes out is always grammatical.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from merpati.message.address_list import MAX_ADDRESSES, Mailbox, parse_address_list
from merpati.message.headers import Field, field_value

MAX_QUOTED = 4_096
"""Octets of the longest quoted string; a longer one goes as a literal, since clients bound their lines."""

_PLAIN = re.compile(rb'[^\x00\r\n"\\\x80-\xff]*+')
_UNQUOTABLE = re.compile(rb"[\x00\r\n]+")
_SPECIALS = re.compile(rb'(["\\])')

_TEXTS = (b"date", b"subject", b"in-reply-to", b"message-id")
_ADDRESSES = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_WANTED = frozenset(_TEXTS + _ADDRESSES)


def string(value: bytes) -> bytes:
    """A value as an IMAP string: quoted, or a literal if it holds 8-bit octets (RFC 3501 section 4.3) or is long.

    NUL, CR and LF are left out: NUL may stand in neither form (RFC 3501 section 9), and header values are one line.
    """
    if _PLAIN.fullmatch(value) is None:
        value = _UNQUOTABLE.sub(b"", value)
        if value.isascii() and len(value) <= MAX_QUOTED:
            return b'"%b"' % _SPECIALS.sub(rb"\\\1", value)
    elif len(value) <= MAX_QUOTED:
        return b'"%b"' % value
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A value as an IMAP string, or NIL for None."""
    return b"NIL" if value is None else string(value)


def render_envelope(raw: bytes, fields: Sequence[Field]) -> bytes:
    """The ENVELOPE of the header whose fields these are, with its parentheses.

    Date, Subject, In-Reply-To and Message-ID are the first of their name; addresses of a field that is there twice
    are all shown, so that nobody hides behind a second From.
    """
    found: dict[bytes, list[Field]] = {}
    for field in fields:
        if field[0] in _WANTED:
            found.setdefault(field[0], []).append(field)
    date, subject, reply, message_id = (
        string(field_value(raw, found[name][0])) if name in found else b"NIL" for name in _TEXTS
    )
    lists = [_address_list(raw, found[name]) if name in found else b"NIL" for name in _ADDRESSES]
    author = lists[0]
    # RFC 3501 section 7.4.2: absent or empty Sender and Reply-To are set to From.
    sender = author if lists[1] == b"NIL" else lists[1]
    reply_to = author if lists[2] == b"NIL" else lists[2]
    parts = (date, subject, author, sender, reply_to, *lists[3:], reply, message_id)
    return b"(%b)" % b" ".join(parts)


def _address_list(raw: bytes, fields: list[Field]) -> bytes:
    entries: list[Mailbox] = []
    for field in fields:
        if len(entries) < MAX_ADDRESSES:
            entries += parse_address_list(field_value(raw, field))
    if not entries:
        return b"NIL"
    return b"(%b)" % b"".join(
        b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(local), nstring(domain))
        for name, route, local, domain in entries
    )
