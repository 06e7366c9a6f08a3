"""What was rendered of a message at append, packed into one run of bytes: three lengths, three renderings, the rest.

ENVELOPE, BODY and BODYSTRUCTURE are cut out by slicing, so a FETCH of thousands decodes nothing; the rest is
MessagePack.
"""

from __future__ import annotations

import struct

import msgspec

from merpati.message.summary import Summary

_LENGTHS = struct.Struct(">III")
_HEAD = _LENGTHS.size


class _Rest(msgspec.Struct, array_like=True, frozen=True):
    size: int
    sent_at: int | None = None
    sent_day: int | None = None
    subject: str = ""
    base_subject: str = ""
    is_answer: bool = False
    author_name: str = ""
    author: str = ""
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Rest)


def packed(summary: Summary) -> bytes:
    """The summary as a commit carries it."""
    rest = _Rest(
        summary.size,
        summary.sent_at,
        summary.sent_day,
        summary.subject,
        summary.base_subject,
        summary.is_answer,
        summary.author_name,
        summary.author,
        summary.message_id,
        summary.in_reply_to,
        summary.references,
    )
    lengths = _LENGTHS.pack(len(summary.envelope), len(summary.body), len(summary.structure))
    return b"".join((lengths, summary.envelope, summary.body, summary.structure, _encoder.encode(rest)))


def unpacked(data: bytes) -> Summary:
    """The summary again.  ValueError if it is none."""
    try:
        envelope, body, structure = _LENGTHS.unpack_from(data)
        second, third = _HEAD + envelope, _HEAD + envelope + body
        end = third + structure
        rest = _decoder.decode(memoryview(data)[end:])
    except (struct.error, msgspec.DecodeError) as error:
        raise ValueError(f"no summary: {error}") from error
    return Summary(
        rest.size,
        data[_HEAD:second],
        data[second:third],
        data[third:end],
        rest.sent_at,
        rest.sent_day,
        rest.subject,
        rest.base_subject,
        rest.is_answer,
        rest.author_name,
        rest.author,
        rest.message_id,
        rest.in_reply_to,
        rest.references,
    )


def envelope_in(data: bytes) -> bytes:
    """ENVELOPE as IMAP writes it."""
    return data[_HEAD : _HEAD + int.from_bytes(data[:4], "big")]


def structure_in(data: bytes) -> bytes:
    """BODYSTRUCTURE as IMAP writes it."""
    envelope, body, structure = _LENGTHS.unpack_from(data)
    start = _HEAD + envelope + body
    return data[start : start + structure]
