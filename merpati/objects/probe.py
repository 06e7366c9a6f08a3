"""Proves at start what the mailbox log rests on: of many writers racing for one key, exactly one makes it.

Called by `check` and when a service starts.  A store that fails would lose mail silently, so we refuse to start on it.
"""

from __future__ import annotations

import asyncio

from merpati.errors import MerpatiError, Misconfigured, Unknown
from merpati.ids import Dice
from merpati.objects.api import Exists, NotFound, ObjectStore

WRITERS = 8
ROUNDS = 2


async def probe(store: ObjectStore, dice: Dice) -> None:
    """Race for a few fresh keys.  Raises `Misconfigured` if the store breaks its word, `Unavailable` if it is away."""
    keys = [f"probe/{dice.bytes(16).hex()}" for _ in range(ROUNDS)]
    try:
        for key in keys:
            await _race(store, key, dice)
    finally:
        await _tidy(store, keys)


async def _race(store: ObjectStore, key: str, dice: Dice) -> None:
    entries = [dice.bytes(16) for _ in range(WRITERS)]
    won = await asyncio.gather(*(_try(store, key, entry) for entry in entries))
    try:
        kept = await store.get(key)
    except NotFound:
        raise Misconfigured("store.url: the store forgot an object that it had just accepted") from None
    winners = [entry for entry, outcome in zip(entries, won, strict=True) if outcome]
    if len(winners) > 1 or (winners and winners[0] != kept) or kept not in entries:
        raise Misconfigured(
            "store.url: the store does not keep create-if-absent (If-None-Match: *): "
            f"{len(winners)} of {WRITERS} writers were told that they made the same key; mail would be lost on it"
        )
    if await _try(store, key, dice.bytes(16)) or await store.get(key) != kept:
        raise Misconfigured("store.url: the store overwrites an object that was to be created only if absent")
    if [info.key async for info in store.list("probe/", after=key[:-1], limit=1)] != [key]:
        raise Misconfigured("store.url: the store does not list an object that it has just accepted")


async def _try(store: ObjectStore, key: str, entry: bytes) -> bool:
    try:
        await store.create(key, entry)
        return True
    except Exists:
        return False
    except Unknown:  # its first answer may have been lost: whose is it?
        return await _holds(store, key, entry)


async def _holds(store: ObjectStore, key: str, entry: bytes) -> bool:
    try:
        return await store.get(key) == entry
    except NotFound:
        return False


async def _tidy(store: ObjectStore, keys: list[str]) -> None:
    try:
        await store.delete(keys)
    except MerpatiError:  # a few stray bytes are not worth another error on top
        pass
