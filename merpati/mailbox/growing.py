"""A list that grows at its end and whose older values stay as they were: the trick of `columns` for one list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Growing(Generic[T]):
    """An immutable sequence; `grown` costs no copy when it is the newest of its line."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[T] | None = None, length: int | None = None) -> None:
        self._items = items if items is not None else []
        self._length = len(self._items) if length is None else length

    def grown(self, items: Iterable[T]) -> Growing[T]:
        """These items added at the end."""
        mine = self._items if len(self._items) == self._length else self._items[: self._length]
        mine.extend(items)
        return Growing(mine, len(mine))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> T:
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._items[index if index >= 0 else self._length + index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._items[: self._length])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Growing) and list(self) == list(other)

    def tail(self, start: int) -> Sequence[T]:
        """The items from `start` on."""
        return self._items[start : self._length]

    __hash__ = None  # type: ignore[assignment]
