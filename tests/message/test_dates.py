"""The Date field: what is a date, which moment, which day, and how one is written."""

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.message.dates import format_date, read_date

GOOD = [
    # field, seconds, day
    (b"Tue, 14 Nov 2023 22:13:20 +0000", 1_700_000_000, 19_675),
    (b"Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000, 19_675),
    (b"Wed, 15 Nov 2023 03:43:20 +0530", 1_700_000_000, 19_676),  # the day is the sender's
    (b"Tue, 14 Nov 2023 17:13:20 -0500 (EST)", 1_700_000_000, 19_675),
    (b"14 Nov 2023 22:13 -0000", 1_699_999_980, 19_675),
    (b"  Tue ,  14   Nov 2023 22:13:20   +0000", 1_700_000_000, 19_675),
    (b"Tue, 14 Nov 2023 22:13:20", 1_700_000_000, 19_675),
    (b"tuesday, 14-november-2023 22:13:20 +0000", 1_700_000_000, 19_675),
    (b"Tue (day), 14 (x) Nov 2023 22:13:20 (y) +0000", 1_700_000_000, 19_675),
    # RFC 5322 section 4.3
    (b"Tue, 14 Nov 23 14:13:20 PST", 1_700_000_000, 19_675),
    (b"14 Nov 23 18:13:20 EDT", 1_700_000_000, 19_675),
    (b"14 Nov 123 22:13:20 Z", 1_700_000_000, 19_675),
    (b"Fri, 21 Nov 97 09:55:06 -0600", 880_127_706, 10_186),
    (b"14 Nov 2023 22:13:20 XYZ", 1_700_000_000, 19_675),
    (b"Thu, 1 Jan 1970 00:00:00 +0000", 0, 0),
    (b"Wed, 31 Dec 1969 23:59:59 +0000", -1, -1),
    (b"Sat, 31 Dec 2016 23:59:60 +0000", 1_483_228_800, 17_166),  # a leap second
    (b"29 Feb 2024 00:00 +0000", 1_709_164_800, 19_782),
    (b"Fri, 31 Dec 9999 23:59:59 +0000", 253_402_300_799, 2_932_896),
    (b"Tue, 14 Nov 2023 22:13:20.123 +0000", 1_700_000_000, 19_675),
]


@pytest.mark.parametrize(("value", "seconds", "day"), GOOD)
def test_a_date_is_a_moment_and_a_day(value: bytes, seconds: int, day: int) -> None:
    assert read_date(value) == (seconds, day)


BAD = [
    b"",
    b"yesterday",
    b"1 Jan " + b"9" * 5_000,  # C3
    b"Mon, 1 Jan 99999 00:00:00 +0000",
    b"Mon, 1 Jan 0000 00:00:00 +0000",
    b"Mon, 1 Jan 1899 00:00:00 +0000",
    b"31 Feb 2023 10:00 +0000",
    b"29 Feb 2023 10:00 +0000",
    b"0 Jan 2023 10:00 +0000",
    b"1 Foo 2023 10:00 +0000",
    b"1 Jan 2023 24:00 +0000",
    b"1 Jan 2023 10:60 +0000",
    b"1 Jan 2023 10:00:61 +0000",
    b"1 Jan 2023",
    b"2023-01-01T10:00:00Z",
    b"(" * 1_000,
    b" " * 100_000 + b"1 Jan 2023 10:00 +0000",
    b"\xff\0",
]


@pytest.mark.parametrize("value", BAD, ids=lambda value: repr(value[:30]))
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert read_date(value) is None


WRITTEN = [
    (1_700_000_000, 0, "Tue, 14 Nov 2023 22:13:20 +0000"),
    (1_700_000_000.9, 330, "Wed, 15 Nov 2023 03:43:20 +0530"),
    (1_700_000_000, -570, "Tue, 14 Nov 2023 12:43:20 -0930"),
    (0, 0, "Thu, 01 Jan 1970 00:00:00 +0000"),
    (-5, 0, "Thu, 01 Jan 1970 00:00:00 +0000"),
    (1e30, 0, "Fri, 31 Dec 9999 23:59:59 +0000"),
]


@pytest.mark.parametrize(("seconds", "offset", "text"), WRITTEN)
def test_a_moment_is_written(seconds: float, offset: int, text: str) -> None:
    assert format_date(seconds, offset) == text


@given(st.integers(0, 253_402_300_799), st.integers(-14 * 60, 14 * 60))
def test_a_date_that_was_written_is_read_again_by_us_and_by_others(seconds: int, offset: int) -> None:
    text = format_date(seconds, offset)
    read = read_date(text.encode())
    if 0 <= seconds + offset * 60 <= 253_402_300_799:
        assert read is not None
        assert read.seconds == seconds
        parsed = email.utils.parsedate_tz(text)
        assert parsed is not None
        assert email.utils.mktime_tz(parsed) == seconds
