"""zstd: the one door of cramjam.  Used for chunks and packs; never for a commit, whose bodies are read by range."""

from __future__ import annotations

import cramjam

LEVEL = 3


def compressed(data: bytes) -> bytes:
    """One zstd frame."""
    return bytes(cramjam.zstd.compress(data, level=LEVEL))


def decompressed(data: bytes, size: int) -> bytes:
    """The `size` bytes in a frame.  ValueError if it is torn, or holds more or less."""
    target = bytearray(size)
    try:
        written = cramjam.zstd.decompress_into(data, target)
    except Exception as error:  # cramjam raises DecompressionError, and OSError for a target that is too small
        raise ValueError(f"not a frame of {size} bytes: {error}") from error
    if written != size:
        raise ValueError(f"a frame of {written} bytes where {size} were to be")
    return bytes(target)
