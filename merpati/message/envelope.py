"""IMAP's ENVELOPE (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2), rendered from a header section, and IMAP's strings.

Called once a message at append and for each message inside it by the structure; FETCH then copies bytes.  Takes any
bytes; what comes out is always grammatical.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from merpati.message.address_list import MAX_ADDRESSES, Mailbox, parse_address_list
from merpati.message.headers import Field, field_value

MAX_QUOTED = 4_096
"""Octets of the longest quoted string; a longer one goes as a literal, since clients bound their lines."""

_PLAIN = re.compile(rb'[^\x00\r\n"\\\x80-\xff]*+')
_UNQUOTABLE = re.compile(rb"[\x00\r\n]+")
_SPECIALS = re.compile(rb'(["\\])')

_TEXTS = (b"date", b"subject", b"in-reply-to", b"message-id")
_ADDRESSES = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_READ = frozenset((*_TEXTS, *_ADDRESSES, b"references"))

Values = Mapping[bytes, Sequence[bytes]]
"""Unfolded values by the name of their field in lower case."""


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


def header_values(raw: bytes, fields: Sequence[Field]) -> Values:
    """The values of the fields that ENVELOPE shows, and of References, in the order they stand."""
    found: dict[bytes, list[bytes]] = {}
    for field in fields:
        name = field[0]
        if name in _READ:
            if name in found:
                found[name].append(field_value(raw, field))
            else:
                found[name] = [field_value(raw, field)]
    return found


def render_envelope(raw: bytes, fields: Sequence[Field]) -> bytes:
    """The ENVELOPE of the header whose fields these are, with its parentheses."""
    return envelope_of(header_values(raw, fields))


def envelope_of(values: Values) -> bytes:
    """The same of values that were read already.

    Date, Subject, In-Reply-To and Message-ID are the first of their name; addresses of a field that is there twice
    are all shown, so that nobody hides behind a second From.
    """
    date, subject, reply, message_id = (string(values[name][0]) if name in values else b"NIL" for name in _TEXTS)
    author, sender, reply_to, to, cc, bcc = (
        _address_list(values[name]) if name in values else b"NIL" for name in _ADDRESSES
    )
    # RFC 3501 section 7.4.2: absent or empty Sender and Reply-To are set to From.
    sender = author if sender == b"NIL" else sender
    reply_to = author if reply_to == b"NIL" else reply_to
    return b"(%b)" % b" ".join((date, subject, author, sender, reply_to, to, cc, bcc, reply, message_id))


def _address_list(values: Sequence[bytes]) -> bytes:
    entries: list[Mailbox] = []
    for value in values:
        if len(entries) < MAX_ADDRESSES:
            entries += parse_address_list(value)
    return b"(%b)" % b"".join(map(_address, entries)) if entries else b"NIL"


def _address(entry: Mailbox) -> bytes:
    name, route, local, domain = entry
    if route is None and local is not None and domain is not None:
        together = (name or b"") + local + domain
        # nearly every one: nothing to escape, all short enough
        if len(together) <= MAX_QUOTED and _PLAIN.fullmatch(together):
            shown = b"NIL" if name is None else b'"%b"' % name
            return b'(%b NIL "%b" "%b")' % (shown, local, domain)
    return b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(local), nstring(domain))
