"""Which messages a search key finds: columns first, message bytes only for what the columns leave (RFC 9051 6.4.4).

Filters over the rows of a view; `Text` and `Header` alone read messages, in batches and off the event
loop, so that a search of a large mailbox holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from access.imap.selected import Found, Selected
from access.imap.wire import search as keys
from access.imap.wire.search import Key
from access.imap.wordsearch import matches
from merpati.mailbox.api import BodyMissing

BATCH = 32
"""Messages read at once for a search of their bytes."""
DAY = 86_400
COSTLY = (keys.Text, keys.Header)


class Search:
    """One SEARCH: `now` is the time, for OLDER and YOUNGER."""

    def __init__(self, selected: Selected, now: float) -> None:
        self._selected = selected
        self._now = now

    async def find(self, key: Key, among: Sequence[Found]) -> list[Found]:
        """Those of `among` that `key` finds, in their order."""
        match key:
            case keys.All() | keys.SaveDateSupported():
                return list(among)
            case keys.And(parts):
                return await self._all(parts, among)
            case keys.Or(parts):
                hits: set[int] = set()
                for part in parts:
                    hits |= _numbers(await self.find(part, [one for one in among if one[0] not in hits]))
                return [one for one in among if one[0] in hits]
            case keys.Not(inner):
                hits = _numbers(await self.find(inner, among))
                return [one for one in among if one[0] not in hits]
            case keys.Messages(messages, uid):
                hits = _numbers(self._selected.find(messages, uid=uid))
                return [one for one in among if one[0] in hits]
            case keys.Text() | keys.Header():
                return await self._read(key, among)
            case keys.Date(of="sent"):
                return await self._sent(key, among)
        test = _column_test(key, self._now)
        return [one for one in among if test(one)]

    async def _all(self, parts: Sequence[Key], among: Sequence[Found]) -> list[Found]:
        left = list(among)
        for part in sorted(parts, key=_cost):
            left = await self.find(part, left) if left else []
        return left

    async def _sent(self, key: keys.Date, among: Sequence[Found]) -> list[Found]:
        hits = []
        for one in among:
            _, view, row = one
            (summary,) = await view.summaries((row,))
            # a message without a readable Date field is looked for by the day it came
            at = summary.sent if summary.sent is not None else view.dates[row]
            if _on_day(key, at):
                hits.append(one)
        return hits

    async def _read(self, key: keys.Text | keys.Header, among: Sequence[Found]) -> list[Found]:
        hits: list[Found] = []
        for start in range(0, len(among), BATCH):
            batch = among[start : start + BATCH]
            bodies = await asyncio.gather(*[self._body(one) for one in batch])
            found = await asyncio.to_thread(_matching, key, batch, bodies)
            hits += found
        return hits

    async def _body(self, one: Found) -> bytes:
        try:
            return await self._selected.account.body(one[1].body(one[2]))
        except BodyMissing:
            return b""  # what cannot be read is not found; FETCH says what is wrong


def _matching(key: keys.Text | keys.Header, batch: Sequence[Found], bodies: Sequence[bytes]) -> list[Found]:
    return [one for one, raw in zip(batch, bodies, strict=True) if matches(key, raw)]


def _numbers(found: Sequence[Found]) -> set[int]:
    return {seq for seq, _, _ in found}


def _cost(key: Key) -> int:
    match key:
        case keys.Text(where="BODY" | "TEXT"):
            return 4
        case keys.Text() | keys.Header():
            return 3
        case keys.Date(of="sent"):
            return 2
        case keys.And() | keys.Or():
            return max(map(_cost, key.keys), default=0)
        case keys.Not():
            return _cost(key.key)
    return 0


def _column_test(key: Key, now: float) -> Callable[[Found], bool]:
    match key:
        case keys.Flagged(flag):
            return lambda one: bool(one[1].flags[one[2]] & one[1].flag_bits((flag,)))
        case keys.Date():
            return lambda one: _on_day(key, one[1].dates[one[2]])
        case keys.Age(older, seconds):
            # RFC 5032 section 3.1
            return lambda one: (one[1].dates[one[2]] <= now - seconds) is older
        case keys.Size(larger, size):
            return lambda one: one[1].sizes[one[2]] > size if larger else one[1].sizes[one[2]] < size
        case keys.Modseq(modseq):
            return lambda one: one[1].modseqs[one[2]] >= modseq
        case keys.EmailId(identity):
            return lambda one: one[1].email_id(one[2]) == identity
    return lambda one: False  # Recent: no message is; ThreadId: none is kept


def _on_day(key: keys.Date, at: float) -> bool:
    day = _day_of(at)
    match key.when:
        case "before":
            return day < key.day
        case "since":
            return day >= key.day
    return day == key.day


def _day_of(at: float) -> date:
    try:
        return datetime.fromtimestamp(at, UTC).date()
    except (ValueError, OverflowError, OSError):
        return date.min
