"""Which messages a search key finds: columns first, message bytes only for what the columns leave (RFC 9051 6.4.4).

Filters over the rows of a view; `Text` and `Header` alone read messages, in batches and off the event
loop, so that a search of a large mailbox holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from access.imap.selected import Found, Selected, by_view
from access.imap.wire import search as keys
from access.imap.wire.search import Key
from access.imap.wordsearch import matches, reads_header_only
from merpati.clock import Clock
from merpati.mailbox.api import BodyMissing

BATCH = 64
"""Messages read at once for a search of their bytes."""
BATCH_BYTES = 8 << 20
"""Bytes of messages held at once."""
MAX_BYTES = 16 << 20
"""Bytes of one message that are looked through."""
HEAD = 112 * 1024
"""Bytes in which the header fields that are told apart stand."""
BREATH = 20_000
"""Messages tested before other sessions get a turn."""
EPOCH = date(1970, 1, 1)


class Search:
    """One SEARCH; the clock says what is OLDER and YOUNGER."""

    def __init__(self, selected: Selected, clock: Clock) -> None:
        self._selected = selected
        self._clock = clock
        self._now = clock.time()
        self._tested = 0

    async def find(self, key: Key, among: Sequence[Found]) -> list[Found]:
        """Those of `among` that `key` finds, in their order."""
        await self._breathe(len(among))
        match key:
            case keys.All():
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

    async def _breathe(self, tests: int) -> None:
        self._tested += tests
        if self._tested > BREATH:
            self._tested = 0
            await self._clock.sleep(0)

    async def _sent(self, key: keys.Date, among: Sequence[Found]) -> list[Found]:
        hits: list[Found] = []
        for view, run in by_view(among, BREATH):
            summaries = await view.summaries([row for _, _, row in run])
            for one, summary in zip(run, summaries, strict=True):
                # a message without a readable Date field is looked for by the day it came
                day = summary.sent_day
                if _on_day(key, _day_of(view.dates[one[2]]) if day is None else EPOCH + timedelta(day)):
                    hits.append(one)
            await self._breathe(len(run))
        return hits

    async def _read(self, key: keys.Text | keys.Header, among: Sequence[Found]) -> list[Found]:
        most = HEAD if reads_header_only(key) else MAX_BYTES
        hits: list[Found] = []
        for batch in _batches(among, most):
            bodies = await asyncio.gather(*[self._body(one, most) for one in batch])
            hits += await asyncio.to_thread(_matching, key, batch, bodies)
        return hits

    async def _body(self, one: Found, most: int) -> bytes:
        ref = one[1].body(one[2])
        account = self._selected.account
        try:
            return await (account.body(ref) if ref.size <= most else account.body_range(ref, 0, most))
        except BodyMissing:
            return b""  # what cannot be read is not found; FETCH says what is wrong


def _batches(among: Sequence[Found], most: int) -> Iterator[Sequence[Found]]:
    start = held = 0
    for at, (_, view, row) in enumerate(among):
        size = min(view.sizes[row], most)
        if at > start and (at - start == BATCH or held + size > BATCH_BYTES):
            yield among[start:at]
            start, held = at, 0
        held += size
    if start < len(among):
        yield among[start:]


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
            return _flag_test(flag)
        case keys.Date():
            return lambda one: _on_day(key, _day_of(one[1].dates[one[2]]))
        case keys.Age(older, seconds):
            # RFC 5032 section 3.1
            return lambda one: (one[1].dates[one[2]] <= now - seconds) is older
        case keys.Size(larger, size):
            return lambda one: one[1].sizes[one[2]] > size if larger else one[1].sizes[one[2]] < size
        case keys.Modseq(modseq):
            return lambda one: one[1].modseqs[one[2]] >= modseq
        case keys.EmailId(identity):
            return lambda one: one[1].email_id(one[2]) == identity
    return lambda one: False  # Recent: no message is; threads and dates of saving are not kept


def _flag_test(flag: str) -> Callable[[Found], bool]:
    bits: dict[int, int] = {}

    def test(one: Found) -> bool:
        view = one[1]
        wanted = bits.get(id(view))
        if wanted is None:
            wanted = bits[id(view)] = view.flag_bits((flag,))
        return bool(view.flags[one[2]] & wanted)

    return test


def _on_day(key: keys.Date, day: date) -> bool:
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
