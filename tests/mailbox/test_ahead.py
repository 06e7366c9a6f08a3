"""Reading ahead: what is asked for next is on its way, within bounds, and nothing is read that nobody will want."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from merpati.clock import ManualClock
from merpati.ids import SeededDice
from merpati.mailbox.api import BodyMissing
from merpati.mailbox.reading import AHEAD, AHEAD_BYTES, Ahead
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.wrapped import WrappedStore
from tests.mailbox.worlds import ACCOUNT, mailboxes, messages


@dataclass(frozen=True)
class Ref:
    number: int
    size: int = 1000

    @property
    def email_id(self) -> str:
        return f"M{self.number}"


class Far:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.let_go: list[int] = []
        self.answers = asyncio.Event()
        self.missing: set[int] = set()

    async def read(self, ref: Ref) -> bytes:
        self.asked.append(ref.number)
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.let_go.append(ref.number)
            raise
        if ref.number in self.missing:
            raise BodyMissing("gone")
        return b"%d" % ref.number


def refs(first: int, last: int, size: int = 1000) -> list[Ref]:
    return [Ref(number, size) for number in range(first, last + 1)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_next_is_asked_for_at_once_and_once() -> None:
    far = Far()
    ahead = Ahead(far.read)  # type: ignore[arg-type]
    first = asyncio.ensure_future(ahead.body(Ref(1), refs(2, 100)))
    await settle()
    assert sorted(far.asked) == list(range(1, AHEAD + 2))
    far.answers.set()
    assert await first == b"1"
    for number in range(2, 101):
        assert await ahead.body(Ref(number), refs(number + 1, 100)) == b"%d" % number
    assert sorted(far.asked) == list(range(1, 101))
    ahead.close()


@pytest.mark.parametrize(("size", "expected"), [(AHEAD_BYTES // 3, 3), (AHEAD_BYTES, 1), (AHEAD_BYTES + 1, 0)])
async def test_no_more_bytes_are_read_than_the_bound(size: int, expected: int) -> None:
    far = Far()
    far.answers.set()
    ahead = Ahead(far.read)  # type: ignore[arg-type]
    await ahead.body(Ref(1, size), refs(2, 9, size))
    await settle()
    assert len(far.asked) == 1 + expected
    ahead.close()


async def test_who_goes_elsewhere_or_ends_lets_go_of_what_was_being_read() -> None:
    far = Far()
    ahead = Ahead(far.read)  # type: ignore[arg-type]
    asking = [asyncio.ensure_future(ahead.body(Ref(1), refs(2, 4)))]
    await settle()
    asking.append(asyncio.ensure_future(ahead.body(Ref(50), refs(4, 5))))
    await settle()
    assert far.let_go == [2, 3]
    ahead.close()
    await settle()
    assert sorted(far.let_go) == [2, 3, 4, 5]
    asking[1].cancel()
    far.answers.set()
    assert await asking[0] == b"1"


async def test_a_message_that_is_missing_is_the_matter_of_who_asks_for_it() -> None:
    far = Far()
    far.answers.set()
    far.missing = {3, 6}
    ahead = Ahead(far.read)  # type: ignore[arg-type]
    assert await ahead.body(Ref(1), refs(2, 6)) == b"1"
    await settle()
    assert await ahead.body(Ref(2), refs(3, 6)) == b"2"
    with pytest.raises(BodyMissing):
        await ahead.body(Ref(3), refs(4, 6))
    assert await ahead.body(Ref(4), refs(5, 6)) == b"4"
    ahead.close()


class Slow(WrappedStore):
    """Answers after others had their turn to ask."""

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        await asyncio.sleep(0.01)
        return await super().get_range(key, start, end)


async def test_who_reads_ahead_in_a_pack_asks_once_for_each_piece_of_it() -> None:
    clock, seen = ManualClock(), list[str]()
    inner = MemoryStore(clock)
    writer = mailboxes(inner, clock).account(ACCOUNT)
    for number in range(40):
        await writer.append(messages(number))
    await writer.compact()
    await clock.advance(4000)
    assert (await writer.compact()).deleted == 40
    store = MeteredStore(Slow(inner), clock, lambda operation, outcome, seconds: seen.append(f"{operation} {outcome}"))
    reader = await mailboxes(store, clock, SeededDice(7)).open(ACCOUNT)
    view = await reader.folder("INBOX")
    seen.clear()
    found = await asyncio.gather(*(reader.body(view.body(row)) for row in range(view.exists)))
    assert len(set(found)) == 40
    # the two ends of the pack, and its one frame
    assert seen.count("get_range ok") == 2 + 1
