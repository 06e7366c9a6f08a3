"""IMAP's BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2), rendered from the MIME tree.

Called once a message at append; FETCH copies bytes.  One pass from the leaves up, no recursion.
"""

from __future__ import annotations

from merpati.message.content import Part
from merpati.message.envelope import nstring, render_envelope, string
from merpati.message.parameters import Parameters, parameter_bytes

MAX_NESTED_HEADERS = 1024 * 1024
"""Octets of the headers of messages inside a message that are read for their envelopes; beyond it they are empty."""

_EMPTY_ENVELOPE = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
_US_ASCII = b'("charset" "us-ascii")'
_NO_EXTENSION = b" NIL NIL NIL NIL"


def render_structure(raw: bytes, root: Part) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE of the message, each with its parentheses."""
    done: list[tuple[bytes, bytes]] = []
    headers_left = MAX_NESTED_HEADERS
    for part in reversed(_top_down(root)):
        count = len(part.children)
        inner = done[len(done) - count :][::-1]
        del done[len(done) - count :]
        if part.content.is_multipart:
            done.append(_multipart(part, inner))
            continue
        nested = b""
        if part.content.is_message:
            message = part.children[0]
            headers_left -= message.body - message.start
            nested = render_envelope(raw, message.fields) if headers_left >= 0 else _EMPTY_ENVELOPE
        done.append(_single(part, nested, inner))
    return done[0]


def _top_down(root: Part) -> list[Part]:
    """Each part before its children; read backwards, the children of a part come before it, the last one first."""
    waiting, order = [root], []
    while waiting:
        part = waiting.pop()
        order.append(part)
        waiting.extend(reversed(part.children))
    return order


def _multipart(part: Part, inner: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    content = part.content
    subtype = string(content.subtype)
    extended = b"(%b %b %b %b)" % (
        b"".join(structure for _, structure in inner),
        subtype,
        _parameters(content.parameters),
        _disposition_language_location(part),
    )
    return b"(%b %b)" % (b"".join(body for body, _ in inner), subtype), extended


def _single(part: Part, envelope: bytes, inner: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    content = part.content
    parameters = _parameters(content.parameters)
    if content.media == b"text" and parameter_bytes(content.parameters, b"charset") is None:
        # RFC 2046 section 4.1.2: the charset is us-ascii if none is named; said for the clients that do not know.
        parameters = _US_ASCII if parameters == b"NIL" else b"%b %b" % (parameters[:-1], _US_ASCII[1:])
    fields = b"%b %b %b %b %b %b %d" % (
        string(content.media),
        string(content.subtype),
        parameters,
        nstring(content.id),
        nstring(content.description),
        string(content.encoding),
        part.octets,
    )
    if content.media == b"text":
        fields = b"%b %d" % (fields, part.lines)
        return b"(%b)" % fields, b"(%b%b)" % (fields, _extension(part))
    if envelope:
        body, structure = inner[0]
        return (
            b"(%b %b %b %d)" % (fields, envelope, body, part.lines),
            b"(%b %b %b %d%b)" % (fields, envelope, structure, part.lines, _extension(part)),
        )
    return b"(%b)" % fields, b"(%b%b)" % (fields, _extension(part))


def _extension(part: Part) -> bytes:
    content = part.content
    if content.disposition is None and content.md5 is None and not content.language and content.location is None:
        return _NO_EXTENSION
    return b" %b %b" % (nstring(content.md5), _disposition_language_location(part))


def _disposition_language_location(part: Part) -> bytes:
    content = part.content
    disposition = language = b"NIL"
    if content.disposition is not None:
        disposition = b"(%b %b)" % (string(content.disposition), _parameters(content.disposition_parameters))
    if content.language:
        language = b"(%b)" % b" ".join(map(string, content.language))
    return b"%b %b %b" % (disposition, language, nstring(content.location))


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(%b)" % b" ".join(string(word) for pair in parameters for word in pair)
