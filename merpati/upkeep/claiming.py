"""Who does which share of a round: a key that only one of many processes can create.

Called by the rounds.  It only saves work: what is done is safe when two do it, and what nobody does is done next time.
"""

from __future__ import annotations

from merpati.errors import Unknown
from merpati.ids import Dice
from merpati.objects.api import Exists, NotFound, ObjectStore

PREFIX = "upkeep/"
DIGITS = 12


def claim_key(start: int, share: str) -> str:
    """Where a share of the round that begins at `start` (seconds since 1970) is claimed."""
    return f"{PREFIX}{start:0{DIGITS}}/{share}"


class Claims:
    """The claims of one process."""

    def __init__(self, store: ObjectStore, dice: Dice, writer: str) -> None:
        self._store = store
        self._dice = dice
        self._writer = writer

    async def taken(self, start: int, *, forget_before: int) -> set[str]:
        """The shares of a round that somebody has; claims of rounds before `forget_before` are removed."""
        mine = claim_key(start, "")
        shares: set[str] = set()
        old: list[str] = []
        async for info in self._store.list(PREFIX):
            if info.key.startswith(mine):
                shares.add(info.key.removeprefix(mine))
            elif info.key < claim_key(forget_before, ""):
                old.append(info.key)
        if old:
            await self._store.delete(old)
        return shares

    async def take(self, start: int, share: str) -> bool:
        """Whether the share is this process's."""
        key = claim_key(start, share)
        mine = f"{self._dice.bytes(16).hex()} {self._writer}".encode()
        try:
            await self._store.create(key, mine)
        except (Exists, Unknown):
            # "taken" may be the answer to our own request, its first answer lost
            try:
                return await self._store.get(key) == mine
            except NotFound:
                return False
        return True
