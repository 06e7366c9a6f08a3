"""What a key may look like: checked by every store, so that a mistake shows on the first one it is tried on.

Keys are generated (hex, base32, digits), never built from names; a key that fails here is a bug, hence ValueError.
"""

from __future__ import annotations

import re

from merpati.ids import Digest

MAX_KEY = 900
"""Bytes of a whole key; S3 has 1024."""

_KEY = re.compile(r"[A-Za-z0-9_]{1,250}(?:/[A-Za-z0-9_]{1,250})*\Z")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_]{1,250}/)*(?:[A-Za-z0-9_]{1,250})?\Z")


def checked(key: str) -> str:
    """The key itself; ValueError if it has anything but letters, digits, `_` and single slashes between them.

    A store may take `/a` and `a` for one key, and a component above 255 bytes fails on some.  Nothing that sorts before
    the slash: SeaweedFS lists folder by folder, which is the order of the bytes only without `-` and `.`.
    """
    if len(key) > MAX_KEY or not _KEY.match(key):
        raise ValueError(f"not a key: {key!r}")
    return key


def checked_prefix(prefix: str) -> str:
    """A key, or the beginning of keys: it may end with a slash, or be empty."""
    if len(prefix) > MAX_KEY or not _PREFIX.match(prefix):
        raise ValueError(f"not a prefix: {prefix!r}")
    return prefix


def blob_key(digest: Digest, nonce: bytes) -> str:
    """Where a large body is kept.  `nonce`: 8 bytes that no other call brings, so that no key is ever used twice.

    The vacuum may be about to remove an object of the same bytes; it must not take the new one with it.
    """
    return f"blobs/{digest}_{nonce.hex()}"
