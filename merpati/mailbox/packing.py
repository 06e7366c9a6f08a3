"""Arrays as bytes, little-endian whatever the machine is: what the columns of snapshots are made of.  Pure."""

from __future__ import annotations

import sys
from array import array

from merpati.mailbox.columns import Columns

_FIXED = (("I", "uids"), ("I", "sizes"), ("q", "dates"), ("Q", "commits"), ("I", "offsets"), ("Q", "checks"))
_CHANGING = (("Q", "flags"), ("Q", "modseqs"))
FIXED_ROW, CHANGING_ROW = 36, 16
"""Bytes of one message in each kind of chunk."""


def to_bytes(values: array[int]) -> bytes:
    """The elements, least significant byte first."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def from_bytes(code: str, data: bytes, start: int, count: int) -> array[int]:
    """`count` elements at `start`.  ValueError if there are fewer."""
    values: array[int] = array(code)
    end = start + count * values.itemsize
    if end > len(data):
        raise ValueError("a column is cut short")
    values.frombytes(data[start:end])
    if sys.byteorder == "big":
        values.byteswap()
    return values


def fixed_bytes(columns: Columns, start: int, stop: int) -> bytes:
    """What never changes of the messages at [start, stop): a column after the other."""
    return b"".join(to_bytes(getattr(columns, name)[start:stop]) for _, name in _FIXED)


def changing_bytes(columns: Columns, start: int, stop: int) -> bytes:
    """Their flags and MODSEQs."""
    return b"".join(to_bytes(getattr(columns, name)[start:stop]) for _, name in _CHANGING)


def unpacked_columns(runs: list[tuple[int, bytes, bytes]]) -> dict[str, array[int]]:
    """The columns by name, of runs of (rows, fixed, changing).  ValueError if a chunk has another length."""
    whole: dict[str, array[int]] = {name: array(code) for code, name in (*_FIXED, *_CHANGING)}
    for rows, fixed, changing in runs:
        if len(fixed) != rows * FIXED_ROW or len(changing) != rows * CHANGING_ROW:
            raise ValueError("a run of messages has another length than its folder says")
        for table, data in ((_FIXED, fixed), (_CHANGING, changing)):
            at = 0
            for code, name in table:
                part = from_bytes(code, data, at, rows)
                at += rows * part.itemsize
                whole[name] += part
    return whole
