"""Whether an object is whole, as far as it tells by itself: what caches ask before they keep one.

A reply that was garbled on its way, and an object that was damaged in the bucket and is mended there since, must not be
met again and again because a node remembers it.
"""

from __future__ import annotations

import re

from merpati.ids import digest_of
from merpati.log.api import Damaged, NewerFormat
from merpati.log.frame import Kind, head_of

KINDS = {"log": Kind.COMMIT, "snap": Kind.SNAPSHOT, "pack": Kind.PACK, "past": Kind.PAST}
_KEY = re.compile(r"accounts/[^/]+/(log|snap|chunk|pack|past)/(.+)|(blobs)/(.+)")


def sound(key: str, data: bytes) -> bool:
    """False if these are not the bytes that were written under this key (rules B1 and B2)."""
    found = _KEY.fullmatch(key)
    if found is None:
        return True
    room, name = found[1] or found[3], found[2] or found[4]
    if room in ("chunk", "blobs"):
        return digest_of(data) == name.partition("_")[0]
    try:
        head_of(KINDS[room], data, key)
    except Damaged:
        return False
    except NewerFormat:
        pass
    return True
