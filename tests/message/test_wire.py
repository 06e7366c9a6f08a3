"""Dots, line ends and long lines, whole and in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.message.wire import (
    MAX_LINE,
    as_data,
    dot_stuff,
    dot_unstuff,
    first_bare_line_end,
    has_bare_line_end,
    has_long_line,
    normalise_line_ends,
)

# What matters to these functions, and little else.
lines = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"bc"]), max_size=20).map(b"".join)

STUFFED = [
    (b"a\r\n", b"a\r\n"),
    (b".", b".."),
    (b".\r\n.a\r\n", b"..\r\n..a\r\n"),
    (b"a.\r\n..b", b"a.\r\n...b"),
    (b"", b""),
]


@pytest.mark.parametrize(("octets", "stuffed"), STUFFED)
def test_a_dot_at_the_beginning_of_a_line_is_doubled(octets: bytes, stuffed: bytes) -> None:
    assert dot_stuff(octets) == stuffed
    assert dot_unstuff(stuffed) == octets


DATA = [
    (b"a\r\n", b"a\r\n.\r\n"),
    (b"a", b"a\r\n.\r\n"),
    (b"", b".\r\n"),
    (b".", b"..\r\n.\r\n"),
    (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
]


@pytest.mark.parametrize(("octets", "sent"), DATA)
def test_data_ends_with_a_dot_on_its_own_line(octets: bytes, sent: bytes) -> None:
    assert as_data(octets) == sent


@given(lines)
def test_unstuffing_undoes_stuffing(octets: bytes) -> None:
    assert dot_unstuff(dot_stuff(octets)) == octets


@given(lines)
def test_no_message_can_end_the_data_early(octets: bytes) -> None:
    sent = b"\r\n" + as_data(normalise_line_ends(octets))
    assert sent.index(b"\r\n.\r\n") == len(sent) - 5


BARE = [
    (b"a\r\nb\r\n", -1),
    (b"", -1),
    (b"a\nb", 1),
    (b"a\rb", 1),
    (b"\r\n\n", 2),
    (b"\r\r\n", 0),
    (b"\n\r", 0),
    (b"a\r\n\r", 3),
    (b"\r\n.\r", 3),  # S1
    (b"\n.\n", 0),
    (b"\r\n\0.\r\n", -1),
]


@pytest.mark.parametrize(("octets", "at"), BARE)
def test_a_bare_line_end_is_found(octets: bytes, at: int) -> None:
    assert first_bare_line_end(octets) == at
    assert has_bare_line_end(octets) == (at >= 0)


@given(lines)
def test_both_ways_to_look_for_a_bare_line_end_agree(octets: bytes) -> None:
    assert has_bare_line_end(octets) == (first_bare_line_end(octets) >= 0)


@given(lines)
def test_line_ends_are_made_whole_once(octets: bytes) -> None:
    whole = normalise_line_ends(octets)
    assert not has_bare_line_end(whole)
    assert normalise_line_ends(whole) is whole
    assert whole.replace(b"\r\n", b"") == octets.replace(b"\r", b"").replace(b"\n", b"")


def long_line(octets: bytes, limit: int) -> bool:
    """The same by the book."""
    return any(len(line.removesuffix(b"\r")) > limit for line in octets.split(b"\n"))


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n"])
@pytest.mark.parametrize("before", [b"", b"x\r\n", b"x" * 997 + b"\r\n", b"x" * 998 + b"\n"])
def test_a_line_is_long_from_999_octets_on(before: bytes, end: bytes) -> None:
    assert not has_long_line(before + b"a" * MAX_LINE + end)
    assert has_long_line(before + b"a" * (MAX_LINE + 1) + end)


@given(lines, st.integers(1, 6))
def test_long_lines_are_found_like_by_the_book(octets: bytes, limit: int) -> None:
    assert has_long_line(octets, limit) == long_line(octets, limit)
