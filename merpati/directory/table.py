"""A dictionary that is never changed: a changed copy shares almost everything with the one before.

Used by the directory's states, which are folded commit by commit: copying a plain dict of 100,000 accounts for each
commit would make reading a log quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")

SMALL = 64
"""Changes that a table carries on top of its base in any case."""


class Table(Mapping[str, V], Generic[V]):
    """Values by key, in the order in which the keys were first set."""

    __slots__ = ("_base", "_length", "_over")

    def __init__(self, base: dict[str, V] | None = None) -> None:
        self._base: dict[str, V] = {} if base is None else base
        self._over: dict[str, V | None] = {}
        """What differs from the base; None is a key that was removed."""
        self._length = len(self._base)

    def __getitem__(self, key: str) -> V:
        value = self._over[key] if key in self._over else self._base[key]
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        over = self._over
        for key in self._base:
            if key not in over or over[key] is not None:
                yield key
        for key in over:
            if key not in self._base:
                yield key

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: object) -> bool:
        return self._over[key] is not None if key in self._over else key in self._base

    def set(self, key: str, value: V) -> Table[V]:
        """This table with `key` set.  A key that was removed comes back at the end."""
        if key in self._over and self._over[key] is None:
            return Table({**dict(self.items()), key: value})
        return self._with({**self._over, key: value}, self._length + (key not in self))

    def remove(self, key: str) -> Table[V]:
        """This table without `key`."""
        if key not in self:
            return self
        over: dict[str, V | None] = {name: value for name, value in self._over.items() if name != key}
        if key in self._base:
            over[key] = None
        return self._with(over, self._length - 1)

    def _with(self, over: dict[str, V | None], length: int) -> Table[V]:
        table: Table[V] = Table(self._base)
        table._over, table._length = over, length
        # Square root: the sum of copying the changes and of merging them into the base is least there
        if len(over) > SMALL and len(over) ** 2 > 4 * len(self._base):
            return Table(dict(table.items()))
        return table
