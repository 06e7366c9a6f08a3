"""Lines and bodies out of bytes: where they end, what may not stand in them, and that cuts make no difference."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.framing import BareLineFeed, ChunkBody, DotBody, Fault, LineReader, TooLong

LONGEST = 100


def lines_of(pieces: list[bytes]) -> list[object]:
    """What a reader makes of the pieces; after a bare LF it is not asked again."""
    reader = LineReader(LONGEST)
    found: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        while True:
            try:
                line = reader.next_line()
            except TooLong:
                line = "too long"  # type: ignore[assignment]
            except BareLineFeed:
                return [*found, "bare"]
            if line is None:
                break
            found.append(line)
    return found


def test_a_line_ends_with_crlf_and_nothing_else() -> None:
    assert lines_of([b"NOOP\r\nQUIT\r", b"\nX"]) == [b"NOOP", b"QUIT"]
    assert lines_of([b"NOOP\n"]) == ["bare"]
    assert lines_of([b"A\rB\r\n"]) == [b"A\rB"]
    assert lines_of([b"\r\n"]) == [b""]


def test_a_line_that_is_too_long_is_skipped_up_to_its_end() -> None:
    assert lines_of([b"x" * 98 + b"\r\n"]) == [b"x" * 98]
    assert lines_of([b"x" * 99 + b"\r\nNOOP\r\n"]) == ["too long", b"NOOP"]
    assert lines_of([b"x" * 5000, b"y" * 5000 + b"\n" + b"z\r\nNOOP\r\n"]) == ["too long", b"NOOP"]


def test_a_line_without_end_takes_no_memory() -> None:
    reader = LineReader(LONGEST)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next_line() is None
        assert len(reader) <= LONGEST


alphabet = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"y" * 30, b"z" * 99, b"\0"]), max_size=30)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(alphabet, st.lists(st.integers(0, 10_000), max_size=8))
def test_any_cut_of_the_bytes_gives_the_same_lines(words: list[bytes], at: list[int]) -> None:
    data = b"".join(words)
    assert lines_of(cut(data, at)) == lines_of([data])


def body_of(pieces: list[bytes], max_size: int = 10_000, max_line: int = 80) -> tuple[bytes, bool, bytes, bool]:
    """Content, whether it ended, what came behind, whether it may be taken."""
    body = DotBody(max_size, max_line)
    content = b""
    for number, piece in enumerate(pieces):
        content += body.feed(piece)
        if body.done:
            return content, True, body.rest + b"".join(pieces[number + 1 :]), body.fault is None
    return content, False, b"", body.fault is None


CONTENTS = [
    (b".\r\n", b""),
    (b"a\r\n.\r\n", b"a\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n"),
    (b"a.\r\n.b\r\n.\r\n", b"a.\r\nb\r\n"),  # RFC 5321 section 4.5.2: whatever stands behind the dot
    (b"a\r\n\r\n.\r\n", b"a\r\n\r\n"),
]


@pytest.mark.parametrize(("wire", "content"), CONTENTS)
def test_dots_are_unstuffed(wire: bytes, content: bytes) -> None:
    assert body_of([wire]) == (content, True, b"", True)


# HOSTILE S1: each of these with a smuggled transaction behind it
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\n",
]


@pytest.mark.parametrize("end", FALSE_ENDS)
def test_only_crlf_dot_crlf_ends_a_message(end: bytes) -> None:
    smuggled = b"MAIL FROM:<x@y.z>\r\n"
    content, done, rest, good = body_of([b"body" + end + smuggled + b".\r\n"])
    assert done
    assert not good
    assert content == b""
    assert rest == (smuggled + b".\r\n" if end == b"\r\r\n.\r\n" else b"")


FAULTS = [
    (b"a\nb\r\n.\r\n", Fault.BARE),
    (b"a\rb\r\n.\r\n", Fault.BARE),
    (b"a\0b\r\n.\r\n", Fault.NUL),
    (b"x" * 81 + b"\r\n.\r\n", Fault.LONG_LINE),
    (b"y" * 2_000_000 + b"\r\n.\r\n", Fault.LONG_LINE),
    (b"z\r\n" * 4000 + b".\r\n", Fault.TOO_BIG),
]


@pytest.mark.parametrize(("wire", "fault"), FAULTS)
def test_a_fault_is_named_and_nothing_is_kept(wire: bytes, fault: Fault) -> None:
    body = DotBody(10_000, 80)
    body.feed(wire)
    assert body.done
    assert body.fault is fault


def test_the_longest_line_is_taken_with_its_stuffed_dot() -> None:
    # RFC 5321 section 4.5.3.1.6: the dot that was added for transparency does not count
    line = b"." + b"x" * 79
    assert body_of([b"." + line + b"\r\n.\r\n"]) == (line + b"\r\n", True, b"", True)


@given(alphabet, st.lists(st.integers(0, 10_000), max_size=8))
@example([b"x", b"\r\n", b".", b"\r\n"], [1, 2, 3, 4])
def test_any_cut_of_the_bytes_gives_the_same_message(words: list[bytes], at: list[int]) -> None:
    data = b"".join(words)
    whole, pieces = body_of([data]), body_of(cut(data, at))
    assert whole[1:] == pieces[1:]
    if whole[1] and whole[3]:
        assert whole[0] == pieces[0]


@given(st.lists(st.binary(max_size=60).map(lambda raw: re.sub(rb"[\r\n\0]", b".", raw)), max_size=20))
def test_what_was_stuffed_comes_out_as_it_was(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    assert body_of([stuffed + b".\r\nQUIT\r\n"]) == (content, True, b"QUIT\r\n", True)


@given(alphabet, st.lists(st.integers(0, 10_000), max_size=8))
def test_octets_of_chunks_come_out_as_they_were_or_not_at_all(words: list[bytes], at: list[int]) -> None:
    data = b"".join(words)
    outcomes = []
    for pieces in ([data], cut(data, at)):
        body = ChunkBody(10_000, 80)
        content = b"".join(body.feed(piece) for piece in pieces) + body.last()
        outcomes.append((body.fault is None, content if body.fault is None else b""))
    assert outcomes[0] == outcomes[1]
    if outcomes[0][0]:
        assert outcomes[0][1] == data
    else:
        bare = re.search(rb"(?<!\r)\n|\r(?!\n)", data)
        assert bare or b"\0" in data or re.search(rb"[^\n]{81}", data)
