"""A large message is sent as its pieces come: prefix first, removed ranges left out, wherever the pieces are cut."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.remote.connector import stream_of
from merpati.events import Body, Envelope, Outbound
from merpati.ids import Digest, EventId, MessageId


async def pieces_of(raw: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    at = 0
    for cut in [*sorted(cuts), len(raw)]:
        if at < cut <= len(raw):
            yield raw[at:cut]
            at = cut


def event(size: int, without: tuple[tuple[int, int], ...]) -> Outbound:
    return Outbound(
        EventId("e"),
        MessageId("m"),
        0.0,
        "d",
        (),
        Envelope("", ()),
        Body(size, Digest("d"), "key"),
        "P: 1\r\n",
        without,
    )


@given(
    raw=st.binary(min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    edges=st.lists(st.integers(0, 60), max_size=6, unique=True),
)
@pytest.mark.parametrize("once", [True])
def test_removed_ranges_are_left_out_wherever_the_pieces_are_cut(
    raw: bytes, cuts: list[int], edges: list[int], once: bool
) -> None:
    import asyncio

    edges = sorted(edge for edge in edges if edge <= len(raw))
    without = tuple(zip(edges[::2], edges[1::2], strict=False))
    kept = bytes(byte for at, byte in enumerate(raw) if not any(low <= at < high for low, high in without))

    async def joined() -> bytes:
        return b"".join([piece async for piece in stream_of(event(len(raw), without), pieces_of(raw, cuts))])

    assert asyncio.run(joined()) == b"P: 1\r\n" + kept
