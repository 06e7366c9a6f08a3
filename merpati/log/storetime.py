"""What time it is at the store: ages of objects are told by its clock, and ours may be wrong by more than they are."""

from __future__ import annotations

from merpati.ids import Dice
from merpati.log.layout import Layout
from merpati.objects.api import ObjectStore


async def store_time(store: ObjectStore, layout: Layout, dice: Dice) -> float:
    """Seconds since 1970 by the store's clock (K7): an object is written, looked at and removed."""
    key = layout.now(dice.bytes(16).hex())
    await store.put(key, b"now")
    modified = (await store.head(key)).modified
    await store.delete([key])
    return modified
