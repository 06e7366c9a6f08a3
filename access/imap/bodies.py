"""FETCH answers that need a message's bytes: sections, partials, decoded parts, previews (RFC 9051 section 6.4.5).

Called by the FETCH slice for one message at a time.  A range of the message as it stands (BODY[], its text, a partial
of either) is never parsed, and a large one goes to the client in pieces, so that memory stays bounded; other sections
are cut out of the message by `merpati.message`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from access.imap import columns
from access.imap.session import Session
from access.imap.table import Refusal
from access.imap.wire import codes
from access.imap.wire.fetch import Att, Binary, BinarySize, Item, Partial, Section
from access.imap.wire.render import NIL, literal, literal_head, nstring
from merpati.errors import MerpatiError
from merpati.mailbox.api import BodyRef, FolderView
from merpati.message import sections
from merpati.message.body import readable_text
from merpati.message.content import TEXT_PLAIN, Part
from merpati.message.headers import split_headers
from merpati.message.mime import scan
from merpati.message.transfer import decode_base64, decode_quoted_printable
from merpati.net.streams import Disconnected

HEAD = 128 * 1024
"""Bytes read to find the end of the header; a longer header costs reading the whole message."""
PIECE = 256 * 1024
"""Bytes of a large body sent at once."""
PREVIEW_READ = 256 * 1024
PREVIEW_LENGTH = 200
"""Characters, as RFC 8970 section 3.2 recommends; it allows 256."""
OFF_LOOP = 1 << 20
"""A message longer than this is parsed beside the event loop."""
IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})
ALIASES = {
    # RFC 3501 section 6.4.5: other names of sections
    Att.RFC822: Section(),
    Att.RFC822_HEADER: Section(what="HEADER"),
    Att.RFC822_TEXT: Section(what="TEXT"),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [start, end) of the message, to be sent as they stand."""

    start: int
    end: int


Read = Callable[[BodyRef], Awaitable[bytes]]
"""Gives the whole message: `Account.body`, or one that reads ahead."""


async def message_line(
    session: Session, seq: int, view: FolderView, row: int, items: Sequence[Item], read: Read
) -> None:
    """Write the FETCH response for one message.  Raises `BodyMissing` before anything of it is written."""
    source = _Source(session, view.body(row), read)
    before = b"* %d FETCH (" % seq
    ready: list[bytes] = []
    for item in items:
        value = await _value(source, view, row, item)
        head = before if item is items[0] else b" "
        if isinstance(value, bytes):
            ready.append(head + value)
            continue
        ready.append(head + item.label + b" " + literal_head(value.end - value.start))
        await _stream(session, source, b"".join(ready), value)
        ready.clear()
    ready.append(b")\r\n")
    await session.write_much(b"".join(ready))


async def _stream(session: Session, source: _Source, before: bytes, part: Slice) -> None:
    """What stands before the literal, then the literal, waiting for the client as it goes."""
    pieces = source.pieces(part)
    first = await anext(pieces, b"")  # what is missing is noticed before its size is promised
    await session.write_much(before)
    sent = 0
    try:
        await session.write_much(first)
        sent = len(first)
        async for piece in pieces:
            await session.write_much(piece)
            sent += len(piece)
    except Disconnected:
        raise
    except MerpatiError as failure:
        session.log.error("body broke off", failure=str(failure))
    if sent != part.end - part.start:
        # so many bytes were promised: nothing but the end of the connection can say that they do not come
        session.connection.abort()
        raise Disconnected("the message could not be read to its end")


class _Source:
    """One message: its bytes and structure are read when an item first needs them, and once."""

    def __init__(self, session: Session, ref: BodyRef, read: Read) -> None:
        self.ref = ref
        self._read = read
        self.stream_from = session.context.limits.stream_from
        self._account = session.mailbox
        self._raw: bytes | None = None
        self._root: Part | None = None
        self._head: tuple[bytes, int] | None = None

    async def raw(self) -> bytes:
        if self._raw is None:
            self._raw = await self._read(self.ref)
        return self._raw

    async def parsed(self) -> tuple[bytes, Part]:
        raw = await self.raw()
        if self._root is None:
            self._root = scan(raw) if len(raw) < OFF_LOOP else await asyncio.to_thread(scan, raw)
        return raw, self._root

    async def head(self) -> tuple[bytes, int]:
        """The header at the front of some bytes, and where it ends."""
        if self._head is None:
            small = self.ref.size <= HEAD or self._raw is not None
            data = await self.raw() if small else await self.range(0, HEAD)
            _, body = split_headers(data, max_fields=0)
            if body == len(data) < self.ref.size:
                data = await self.raw()
                _, body = split_headers(data, max_fields=0)
            self._head = data, body
        return self._head

    async def range(self, start: int, end: int) -> bytes:
        if self._raw is not None:
            return self._raw[start:end]
        if self.ref.size <= HEAD or (start == 0 and end >= self.ref.size):
            return (await self.raw())[start:end]  # of a small message all is read in any case
        return await self._account.body_range(self.ref, start, end)

    async def pieces(self, part: Slice) -> AsyncIterator[bytes]:
        if part.start == 0 and part.end == self.ref.size and self._raw is None:
            async for piece in self._account.body_stream(self.ref, PIECE):
                yield piece
            return
        for start in range(part.start, part.end, PIECE):
            yield await self.range(start, min(start + PIECE, part.end))


async def _value(source: _Source, view: FolderView, row: int, item: Item) -> bytes | Slice:
    """The item's name and value, or which bytes of the message are its value."""
    match item:
        case Att.ENVELOPE:
            return b"ENVELOPE " + (await view.envelopes((row,)))[0]
        case Att.BODYSTRUCTURE:
            return b"BODYSTRUCTURE " + (await view.bodystructures((row,)))[0]
        case Att.BODY:
            return b"BODY " + (await view.summaries((row,)))[0].body
        case Att.PREVIEW | Att.PREVIEW_LAZY:
            return b"PREVIEW " + nstring((await _preview(source)).encode())
        case Att.RFC822 | Att.RFC822_HEADER | Att.RFC822_TEXT:
            return await _section(source, ALIASES[item], item.label)
        case Att():
            return columns.one(view, row, item)
        case Section():
            return await _section(source, item, item.label)
        case BinarySize(part):
            data = await _decoded(source, part)
            return b"%b %b" % (item.label, NIL if data is None else b"%d" % len(data))
        case Binary(part, partial):
            data = await _decoded(source, part)
            return item.label + b" " + _binary(data if data is None else _cut(data, partial))


async def _section(source: _Source, item: Section, label: bytes) -> bytes | Slice:
    if not item.part and item.what in ("", "TEXT"):
        start = (await source.head())[1] if item.what else 0
        part = _within(start, source.ref.size, item.partial)
        if part.end - part.start > source.stream_from:
            return part
        return b"%b %b" % (label, literal(await source.range(part.start, part.end)))
    data = await _cut_out(source, item)
    return b"%b %b" % (label, NIL if data is None else literal(bytes(_cut(data, item.partial))))


async def _cut_out(source: _Source, item: Section) -> bytes | memoryview | None:
    wanted = sections.Section(item.part, sections.Kind(item.what), tuple(field.encode() for field in item.fields))
    if item.part:
        raw, root = await source.parsed()
        return sections.resolve(raw, root, wanted)
    data, end = await source.head()
    if item.what == "HEADER":
        return memoryview(data)[:end]
    header = data[:end]
    fields, body = split_headers(header)
    # of a header alone no structure needs to be known
    return sections.resolve(header, Part(TEXT_PLAIN, 0, body, len(header), 0, (), tuple(fields)), wanted)


def _within(start: int, end: int, partial: Partial | None) -> Slice:
    if partial is None:
        return Slice(start, end)
    first = min(start + partial[0], end)
    return Slice(first, min(first + partial[1], end))


def _cut(data: bytes | memoryview, partial: Partial | None) -> bytes | memoryview:
    # RFC 9051 section 6.4.5: a partial that begins beyond the end is an empty string
    return data if partial is None else data[partial[0] : partial[0] + partial[1]]


def _binary(data: bytes | memoryview | None) -> bytes:
    if data is None:
        return NIL
    value = bytes(data)
    return literal_head(len(value), binary=b"\0" in value) + value  # RFC 3516 section 4.2


async def _decoded(source: _Source, numbers: tuple[int, ...]) -> bytes | memoryview | None:
    """A part with its transfer encoding undone; of no number, the message where nothing is to be undone."""
    raw, root = await source.parsed()
    part = sections.find_part(root, numbers)
    if part is None:
        return None
    encoding = part.content.encoding
    if not numbers:
        if part.children or encoding not in IDENTITY:
            raise Refusal("Only its parts can be decoded", codes.UNKNOWN_CTE)
        return raw
    body = raw[part.body : part.end]
    if encoding in IDENTITY or part.content.is_composite:
        return body
    if encoding not in (b"base64", b"quoted-printable"):
        raise Refusal("That transfer encoding is not known", codes.UNKNOWN_CTE)  # RFC 3516 section 4.3
    return decode_base64(body, len(body)) if encoding == b"base64" else decode_quoted_printable(body, len(body))


async def _preview(source: _Source) -> str:
    raw = await source.range(0, PREVIEW_READ)
    text = readable_text(raw, scan(raw), PREVIEW_READ // 4)
    return " ".join(text[: PREVIEW_LENGTH * 20].split()).replace("\0", "")[:PREVIEW_LENGTH]
