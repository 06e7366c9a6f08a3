"""The floor: below it no number may be claimed any more, so that what lies there may be deleted (rules F1, F2).

Raised by truncation only.  Never lowered: floors are objects of their own, and the highest counts.
"""

from __future__ import annotations

import msgspec

from merpati.log.frame import Kind, sealed
from merpati.log.layout import Layout
from merpati.objects.api import Exists, ObjectStore

_encoder = msgspec.msgpack.Encoder()


async def raise_floor(store: ObjectStore, layout: Layout, number: int) -> None:
    """F1: from now on, nothing below `number` may be claimed; a snapshot at or above it must be there already."""
    try:
        await store.create(layout.floor(number), sealed(Kind.FLOOR, _encoder.encode([number])))
    except Exists:  # somebody else raised it to the same height
        pass
