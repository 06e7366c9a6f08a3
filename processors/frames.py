"""What a processor in a process of its own and the service say to each other, and how it goes over the socket.

A frame is two lengths, a msgpack header (one of the structs below) and, in one direction, a message.  Used by
`isolated` on the service's side and by `worker` on the other; knows nothing of processes.  What the worker sends is
read within limits: the code there is not ours.
"""

from __future__ import annotations

import asyncio
import struct

import msgspec

from merpati.plugins.mail import Facts

MAX_HEADER = 8 << 20
"""Bytes of a frame's header: the actions of one answer, or the facts of a mail to a thousand recipients."""
_LENGTHS = struct.Struct(">IQ")


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Service to worker, first of all: import this processor and start it."""

    use: str
    name: str
    options: dict[str, object]
    hostname: str
    timeout: float
    memory: int
    """Bytes of address space on top of what the worker has before it loads the processor; 0 is no limit."""


class Judge(msgspec.Struct, frozen=True, tag="judge"):
    """Service to worker: look at this mail; its bytes follow."""

    number: int
    facts: Facts


class Told(msgspec.Struct, frozen=True, tag="told"):
    """Service to worker: the answer to an `Asked`."""

    number: int
    value: bytes
    """JSON."""
    failure: str = ""
    temporary: bool = True


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Worker to service: loaded and started."""

    wants_body: bool


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Worker to service: it cannot be loaded, or its options are wrong; in an operator's words."""

    reason: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """Worker to service: what the processor said, as `write_actions` wrote it."""

    number: int
    actions: bytes


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Worker to service: the processor raised, or took too long."""

    number: int
    reason: str
    spent: bool = False
    """Whether the worker is not to be used again (out of memory)."""


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """Worker to service: a look-up for the processor."""

    number: int
    method: str
    argument: str


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """Worker to service: a line for the log."""

    level: str
    event: str
    facts: dict[str, str]


ToWorker = Load | Judge | Told
ToService = Ready | Refused | Answered | Failed | Asked | Logged

_encoder = msgspec.msgpack.Encoder()
to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
to_service: msgspec.msgpack.Decoder[ToService] = msgspec.msgpack.Decoder(ToService)


class Broken(Exception):
    """The other side is gone, or sent what is no frame."""


def write_frame(writer: asyncio.StreamWriter, header: ToWorker | ToService, body: bytes = b"") -> None:
    """Put a frame into the writer's buffer; the body is not copied together with the header."""
    encoded = _encoder.encode(header)
    writer.write(_LENGTHS.pack(len(encoded), len(body)) + encoded)
    if body:
        writer.write(body)


async def read_frame(reader: asyncio.StreamReader, max_body: int = 0) -> tuple[bytes, bytes]:
    """The header, still encoded, and the body of the next frame.  Raises `Broken`."""
    try:
        header, body = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
        if header > MAX_HEADER or body > max_body:
            raise Broken(f"a frame of {header} and {body} bytes")
        return await reader.readexactly(header), await reader.readexactly(body) if body else b""
    except (asyncio.IncompleteReadError, ConnectionError, OSError) as error:
        raise Broken("ended") from error
