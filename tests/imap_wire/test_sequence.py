"""Sequence sets: parsed, resolved, looked up, written."""

from __future__ import annotations

from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.imap.wire.refused import Refused
from access.imap.wire.sequence import SAVED, STAR, SequenceSet, sequence_set, set_of

MOST = 16_384


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"4294967295", ((4294967295, 4294967295),)),
        (b"*", ((STAR, STAR),)),
        (b"*:*", ((STAR, STAR),)),
        (b"3:1", ((1, 3),)),
        (b"*:4", ((4, STAR),)),
        (b"4:*", ((4, STAR),)),
        (b"1,2,3", ((1, 3),)),
        (b"5,1:4,2", ((1, 5),)),
        (b"7,1", ((1, 1), (7, 7))),
        (b"1,1,1,1", ((1, 1),)),
        (b"4294967295,*", ((4294967295, 4294967295), (STAR, STAR))),
        (b"1:4294967295", ((1, 4294967295),)),
        (b"5:*,*,1:9", ((1, STAR),)),
        (b"*,*,2", ((2, 2), (STAR, STAR))),
    ],
)
def test_a_set_is_few_ascending_ranges(text: bytes, ranges: tuple[tuple[int, int], ...]) -> None:
    assert sequence_set(text, MOST) == SequenceSet(ranges)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"0", b"01", b"1:0", b"1,", b",1", b"1,,2", b":1", b"1:", b"1:2:3", b"4294967296", b"-1", b"a", b"1 2"),
        *(b"**", b"*:", b"*:1:2", b"99999999999", b"1:99999999999", b"\xb2", b"$1"),
    ],
)
def test_what_is_no_set_is_refused(text: bytes) -> None:
    with pytest.raises(Refused):
        sequence_set(text, MOST)


@pytest.mark.parametrize(
    ("text", "largest", "resolved"),
    [
        (b"1:*", 5, [(1, 5)]),
        (b"7:*", 5, [(5, 5)]),
        (b"*", 5, [(5, 5)]),
        (b"1,*", 5, [(1, 1), (5, 5)]),
        (b"6:7,9:*", 5, [(5, 7)]),
        (b"1:3", 0, [(1, 3)]),
        (b"1:*", 0, []),
        (b"2,*", 0, [(2, 2)]),
    ],
)
def test_a_star_is_the_largest_number_in_use(text: bytes, largest: int, resolved: list[tuple[int, int]]) -> None:
    assert sequence_set(text, MOST).resolve(largest) == resolved


def test_the_saved_result_is_no_set_by_itself() -> None:
    assert sequence_set(b"$", MOST) is SAVED
    assert SAVED.resolve(5) == []
    assert SAVED.render() == b"$"


@pytest.mark.parametrize(
    ("text", "largest", "beyond"),
    [
        *((b"1:5", 5, False), (b"6", 5, True), (b"1:6", 5, True), (b"*", 5, False), (b"5:*", 5, False)),
        *((b"6:*", 5, True), (b"1:*", 0, True), (b"$", 0, False)),
    ],
)
def test_a_number_that_no_message_has_is_seen(text: bytes, largest: int, beyond: bool) -> None:
    assert sequence_set(text, MOST).beyond(largest) is beyond


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60) | st.just(STAR)), min_size=1, max_size=8),
    st.sets(st.integers(1, 50), max_size=30),
)
def test_looking_numbers_up_is_what_the_definition_says(pairs: list[tuple[int, int]], present: set[int]) -> None:
    uids = array("I", sorted(present))
    largest = uids[-1] if uids else 0
    text = b",".join(b"%d:*" % low if high == STAR else b"%d:%d" % (low, high) for low, high in pairs)
    parsed = sequence_set(text, MOST)
    ends = [(low, largest if high == STAR else high) for low, high in pairs]
    wanted = [uid for uid in uids if any(min(end) <= uid <= max(end) for end in ends)]
    assert parsed.members(uids) == wanted
    assert [uid for uid in uids if parsed.contains(uid, largest)] == wanted
    slices = parsed.slices(uids)
    assert all(begin < end for begin, end in slices)
    assert all(one[1] <= two[0] for one, two in pairwise(slices))
    assert sequence_set(parsed.render(), MOST) == parsed


@given(st.sets(st.integers(1, 100), min_size=1))
def test_a_set_of_numbers_holds_those_and_is_written_short(numbers: set[int]) -> None:
    made = set_of(numbers)
    assert made.members(range(1, 101)) == sorted(numbers)
    assert sequence_set(made.render(), MOST) == made


def test_a_set_with_too_many_ranges_is_refused() -> None:
    text = b",".join(b"%d" % number for number in range(1, 22, 2))
    assert len(sequence_set(text, 11).ranges) == 11
    with pytest.raises(Refused):
        sequence_set(text, 10)
