"""What the header of a MIME part says about its body (RFC 2045 to 2047, 2183, 3282, 1864, 2557), and the part itself.

Called by the scanner.  Values are as IMAP reports them: words in lower case, the rest as it stands.
"""

from __future__ import annotations

import re

import msgspec

from merpati.message.headers import Field, field_value
from merpati.message.parameters import Parameters, parameter, read_disposition, read_media_type

MAX_LANGUAGES = 100
_TOKEN_VALUE = re.compile(rb"\s*+([^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f-\xff]++)\s*+(?:[(;]|\Z)")
_LANGUAGE = re.compile(rb"[A-Za-z0-9-]++")
_TEXT_FIELDS = (b"content-id", b"content-description", b"content-md5", b"content-location")


class Content(msgspec.Struct, frozen=True, gc=False):
    """The content fields of one header; None or empty where a field is missing."""

    media: bytes
    subtype: bytes
    parameters: Parameters = ()
    encoding: bytes = b"7bit"
    disposition: bytes | None = None
    disposition_parameters: Parameters = ()
    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    language: tuple[bytes, ...] = ()
    location: bytes | None = None

    @property
    def is_multipart(self) -> bool:
        return self.media == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether the body is a message with an envelope and a structure of its own.

        message/global (RFC 6532) is left a leaf: an IMAP4rev1 client expects no envelope behind it (RFC 3501
        section 9); RFC 9051 would have one.
        """
        return self.media == b"message" and self.subtype == b"rfc822"

    @property
    def is_composite(self) -> bool:
        return self.is_multipart or self.is_message

    @property
    def is_digest(self) -> bool:
        return self.subtype == b"digest" and self.is_multipart

    def become(self, other: Content) -> Content:
        """The same content, of the other's type."""
        return msgspec.structs.replace(self, media=other.media, subtype=other.subtype, parameters=other.parameters)


TEXT_PLAIN = Content(b"text", b"plain")
"""What a part without Content-Type is (RFC 2045 section 5.2); its charset is us-ascii."""
MESSAGE_RFC822 = Content(b"message", b"rfc822")
"""What a part of multipart/digest without Content-Type is (RFC 2046 section 5.1.5)."""
OPAQUE = Content(b"application", b"octet-stream")


class Part(msgspec.Struct, frozen=True, gc=False):
    """A message or a part of one.  All numbers are offsets into, or octets of, the raw message.

    `raw[start:body]` is the header with its empty line, `raw[body:end]` the body.  `children` are the parts of a
    multipart, or the one message inside a message/rfc822; for that message `start` is this part's `body`.
    """

    content: Content
    start: int
    body: int
    end: int
    lines: int
    """Line ends in the body of a text or message/rfc822 part, else 0."""
    children: tuple[Part, ...]
    fields: tuple[Field, ...]

    @property
    def octets(self) -> int:
        """Octets of the body as transferred."""
        return self.end - self.body

    @property
    def content_type(self) -> str:
        """`type/subtype` in lower case."""
        return f"{self.content.media.decode('ascii')}/{self.content.subtype.decode('ascii')}"

    @property
    def filename(self) -> str:
        """The name the sender gave the part, decoded; empty if none.  It may hold anything, a path too."""
        name = parameter(self.content.disposition_parameters, b"filename")
        return (name if name is not None else parameter(self.content.parameters, b"name")) or ""

    @property
    def charset(self) -> str:
        """The charset of a text part as written; us-ascii if none is (RFC 2046 section 4.1.2)."""
        return parameter(self.content.parameters, b"charset") or "us-ascii"


def read_content(raw: bytes, fields: list[Field], default: Content) -> Content:
    """The content fields among `fields`; of a field that is there twice the first that is valid counts."""
    found: dict[bytes, Field] = {}
    encoding = b""
    for field in fields:
        name = field[0]
        if name.startswith(b"content-"):
            if name == b"content-transfer-encoding":
                encoding = encoding or _token(field_value(raw, field))
            else:
                found.setdefault(name, field)
    if not found and not encoding:
        return default
    media_type = read_media_type(field_value(raw, found[b"content-type"])) if b"content-type" in found else None
    # RFC 2045 section 5.2: without a valid Content-Type a part is text/plain.
    media, subtype, parameters = media_type or (
        (default.media, default.subtype, ()) if b"content-type" not in found else (b"text", b"plain", ())
    )
    disposition: bytes | None = None
    disposition_parameters: Parameters = ()
    if b"content-disposition" in found:
        disposition, disposition_parameters = read_disposition(field_value(raw, found[b"content-disposition"]))
    texts = [field_value(raw, found[name]) or None if name in found else None for name in _TEXT_FIELDS]
    languages: tuple[bytes, ...] = ()
    if b"content-language" in found:
        languages = tuple(_LANGUAGE.findall(field_value(raw, found[b"content-language"]))[:MAX_LANGUAGES])
    return Content(
        media,
        subtype,
        parameters,
        encoding or b"7bit",
        disposition,
        disposition_parameters,
        texts[0],
        texts[1],
        texts[2],
        languages,
        texts[3],
    )


def _token(value: bytes) -> bytes:
    """A value that is one word, perhaps with a comment; empty if it is not (RFC 2045 section 6.1)."""
    match = _TOKEN_VALUE.match(value)
    return match[1].lower() if match else b""
