"""What time it is at the store: ages of objects are told by its clock, and ours may be wrong by more than they are."""

from __future__ import annotations

from merpati.ids import Dice
from merpati.log.layout import Layout
from merpati.objects.api import Full, ObjectStore


async def store_time(store: ObjectStore, layout: Layout, dice: Dice) -> float:
    """Seconds since 1970 by the store's clock (K7): an object is written, looked at and removed.

    A full store takes none, and must be cleaned all the same: then it is as late as it was when it last took one.
    """
    key = layout.now(dice.bytes(16).hex())
    try:
        await store.put(key, b"now")
    except Full:
        return max([info.modified async for info in store.list(f"{layout.prefix}/")], default=0.0)
    modified = (await store.head(key)).modified
    await store.delete([key])
    return modified
