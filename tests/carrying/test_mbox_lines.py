"""An mbox taken apart and put together: any cut of the bytes gives the same messages, and nothing else is changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.mailbox.carrying.mbox_lines import (
    MAX_FROM_LINE,
    Begin,
    End,
    Piece,
    Splitter,
    from_line,
    quoting,
    read_from_line,
)

DATES = [
    (b"From a@b.test Sun Sep 13 12:26:40 2020", (b"a@b.test", 1_600_000_000)),
    (b"From MAILER-DAEMON Sun Sep 13 12:26:40 2020\r", (b"MAILER-DAEMON", 1_600_000_000)),
    (b"From - Sun Sep 13 12:26:40 2020", (b"-", 1_600_000_000)),
    (b"From 123@xxx Sun Sep 13 12:26:40 +0000 2020", (b"123@xxx", 1_600_000_000)),
    (b"From a@b.test Sun Sep 13 14:26:40 2020 +0200", (b"a@b.test", 1_600_000_000)),
    (b"From a@b.test  Tue Jan  5 03:04 1999", (b"a@b.test", 915_505_440)),
    (b"From a@b.test Tue Jan  5 03:04:05 PST 1999", (b"a@b.test", 915_505_445)),
    (b"From ???@??? Sun Sep 13 12:26:40 2020", (b"???@???", 1_600_000_000)),
    (b"From here on it is a sentence", None),
    (b"From a@b.test Sun Sep 31 12:26:40 2020", None),
    (b"From a@b.test Sun Sep 13 25:26:40 2020", None),
    (b"From ", None),
]


@pytest.mark.parametrize(("line", "said"), DATES)
def test_a_line_that_begins_a_message_has_a_date(line: bytes, said: tuple[bytes, int] | None) -> None:
    assert read_from_line(line) == said


@given(st.integers(0, 250_000_000_000))
def test_the_date_that_is_written_is_read(date: int) -> None:
    assert read_from_line(from_line(b"a@b.test", date)) == (b"a@b.test", date)


F = b"From a@b.test Sun Sep 13 12:26:40 2020\n"
LONG = b">" * (3 * MAX_FROM_LINE)
FILES = [
    # what the file holds, the messages in it
    (F + b"A: b\n\nx\n\n" + F + b"y\n\n", [b"A: b\n\nx\n", b"y\n"]),
    (F + b"x\n" + F + b"y\n", [b"x\n", b"y\n"]),  # no blank line between
    (F + b"x\n\n\n\n" + F + b"y\n\n\n", [b"x\n\n\n", b"y\n\n"]),  # one blank line is the file's, the others not
    (F + F + b"\n" + F + b"\n\n", [b"", b"", b"\n"]),
    (F + b"x", [b"x"]),
    (F, [b""]),
    (F.replace(b"\n", b"\r\n") + b"x\r\n\r\n" + F.replace(b"\n", b"\r\n") + b"y\r\n\r\n", [b"x\r\n", b"y\r\n"]),
    (F + b"x\r\n\n" + F + b"y", [b"x\r\n", b"y"]),
    (F + b">From me\n>>From you\nFrom here on it is\n> From\n", [b"From me\n>From you\nFrom here on it is\n> From\n"]),
    (F + LONG + b"From me\n", [LONG[1:] + b"From me\n"]),
    (F + LONG + b"\n", [LONG + b"\n"]),
    (F + b"a" * 5000 + b"From \n" + b"x>From y\n", [b"a" * 5000 + b"From \n" + b"x>From y\n"]),
    (F + b"From " + b"b" * 5000 + F[4:] + b"x\n", [b"From " + b"b" * 5000 + F[4:] + b"x\n"]),
    (F + b"\0\0\0\n\n" + F + b"\0", [b"\0\0\0\n", b"\0"]),
    (b"From nobody\nx\n\n" + F + b"y\n\n", [b"x\n", b"y\n"]),  # the first line need not have a date
    (F + b"x\n\nFrom nobody\ny\n\n", [b"x\n\nFrom nobody\ny\n"]),  # others must
]


def messages(data: bytes, cuts: list[int]) -> list[bytes]:
    splitter, found, here = Splitter(), list[bytes](), b""
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for event in [*(event for piece in pieces for event in splitter.feed(piece)), *splitter.finish()]:
        if isinstance(event, Begin):
            here = b""
            assert data[: event.start].endswith(b"\n")
        elif isinstance(event, Piece):
            here += event.data
        elif isinstance(event, End):
            found.append(here)
    return found


@pytest.mark.parametrize(("data", "expected"), FILES)
def test_a_file_is_taken_apart_however_it_is_cut(data: bytes, expected: list[bytes]) -> None:
    assert messages(data, []) == expected
    for size in (1, 2, 3, 7, 64, 999):
        assert messages(data, list(range(size, len(data), size))) == expected, size


@given(st.sampled_from(FILES), st.data())
def test_any_two_cuts_give_the_same(file: tuple[bytes, list[bytes]], draw: st.DataObject) -> None:
    data, expected = file
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=2))
    assert messages(data, sorted(cuts)) == expected


TEXT = st.lists(
    st.sampled_from([b"From ", b">", b"\n", b"\r", F[:-1], b"x", b"\r\n", b"Fro", b"\n\n", b">" * 600]), max_size=12
).map(b"".join)


@given(TEXT, st.integers(1, 700))
def test_what_is_quoted_comes_back_and_holds_no_beginning(text: bytes, size: int) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    quoted = b"".join(quoting(pieces))
    assert quoted == b"".join(quoting([text]))
    assert messages(F + quoted + b"\n\n" + F, []) == [text + b"\n", b""]


def test_lines_of_ten_megabytes_are_not_kept() -> None:
    splitter, most = Splitter(), 0
    for piece in [F, *[b">" * 100_000] * 100, b"\n", *[b"x" * 100_000] * 100, b"\nFrom ", *[b"y" * 100_000] * 100]:
        splitter.feed(piece)
        most = max(most, len(splitter._data))
    assert most <= MAX_FROM_LINE + 2
