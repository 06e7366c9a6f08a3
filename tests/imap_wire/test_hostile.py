"""What is sent to exhaust the parser: each answered within a second and little memory."""

from __future__ import annotations

import sys
import time
import tracemalloc

import pytest

from access.imap.wire.events import Bad, Command, Fatal, NeedLiteral
from access.imap.wire.limits import AFTER_LOGIN, BEFORE_LOGIN
from access.imap.wire.reader import Reader
from access.imap.wire.sequence import sequence_set
from access.imap.wire.wildcard import matcher
from tests.imap_wire.talk import events

HOSTILE: list[tuple[bytes, str]] = [
    (b"a SEARCH " + b"(" * 65_000 + b"\r\n", "65,000 parentheses"),
    (b"a SEARCH " + b"NOT " * 5000 + b"SEEN\r\n", "5,000 NOTs"),
    (b"a SEARCH " + b"OR " * 5000 + b"SEEN " * 5001 + b"\r\n", "5,000 ORs"),
    (b"a SEARCH " + b"SEEN " * 12_000 + b"\r\n", "12,000 keys"),
    (b"a FETCH 1 (BODY[" + b".".join([b"1"] * 30_000) + b"])\r\n", "a part 30,000 deep"),
    (b"a FETCH 1 (" + b"BODY[] " * 9000 + b")\r\n", "9,000 times the message"),
    (b"a FETCH " + b",".join([b"1"] * 32_000) + b" FLAGS\r\n", "1,1,1…"),
    (b"a FETCH " + b",".join(b"%d" % n for n in range(1, 25_000, 2))[:65_000] + b" FLAGS\r\n", "1,3,5…"),
    (b"a FETCH 1:4294967295 FLAGS\r\n", "every UID there can be"),
    (b"a SORT (" + b"REVERSE DATE " * 5000 + b") UTF-8 ALL\r\n", "5,000 criteria"),
    (b"a LIST () (" + b"* " * 30_000 + b")\r\n", "30,000 patterns"),
    (b'a LOGIN "' + b"\\" * 65_000 + b"\r\n", "backslashes"),
    (b'a LOGIN "' + b'\\"' * 32_000 + b"\r\n", "escaped quotes"),
    (b"a LOGIN " + b'"\n' * 32_000 + b"\r\n", "quotes and LFs"),
    (b"a LOGIN " + b'"' * 65_000 + b"\n" * 400 + b"\r\n", "many quotes"),
    (b'a LOGIN "' + b"\n" * 65_000 + b"\r\n", "LFs in a quote"),
    (b"a SELECT " + b"&" * 65_000 + b"\r\n", "ampersands"),
    (b"a SELECT " + b"&AOk-" * 13_000 + b"\r\n", "shifts"),
    (b"a X {0+}\r\n" + b" {0+}\r\n" * 8000 + b"\r\n", "8,000 literals"),
    (b"x" * 10_000_000, "10 MB without CRLF"),
    (b"\r\n" * 200_000, "blank lines"),
    (b"{" * 65_000 + b"+}\r\n", "braces"),
]


@pytest.mark.parametrize(("data", "reason"), HOSTILE)
def test_a_hostile_command_costs_less_than_a_second(data: bytes, reason: str) -> None:
    began = time.process_time()
    found = events(data)
    took = time.process_time() - began
    assert found, reason
    assert all(isinstance(event, Bad | Fatal | Command) for event in found)
    assert took < 1.0, f"{reason}: {took:.2f} s"


def test_a_set_of_100_000_times_the_same_is_one_range() -> None:
    began = time.process_time()
    assert sequence_set(b",".join([b"1"] * 100_000), 10).ranges == ((1, 1),)
    assert time.process_time() - began < 0.2


def test_a_hostile_pattern_is_matched_in_a_moment() -> None:
    began = time.process_time()
    assert not matcher("*a" * 480 + "b")("a" * 1000)
    assert not matcher("%*a%" * 240 + "b")("a/" * 500)
    assert time.process_time() - began < 0.2


def test_the_deepest_search_allowed_is_parsed_with_a_full_stack_to_spare() -> None:
    text = b"a SEARCH " + b"NOT (" * 50 + b"SEEN" + b")" * 50 + b"\r\n"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        assert isinstance(events(text)[0], Command)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "literals",
    [
        *(b"{99999999999}\r\n", b"{4294967296}\r\n", b"{-1}\r\n", b"{1e9+}\r\n", b"{070}\r\n", b"{8192}\r\n"),
        b"{4096+}\r\n",
        b"{4096+}\r\n" + b"x" * 4096 + b" {4096+}\r\n" + b"x" * 4096 + b" {4096+}\r\n" + b"x" * 4096,
        b"{60000+}\r\n" + b"x" * 60000,
        b"{1+}\r\nx" * 100,
    ],
)
def test_a_stranger_costs_little_memory(literals: bytes) -> None:
    tracemalloc.start()
    try:
        for _ in range(20):
            reader = Reader(BEFORE_LOGIN)
            reader.feed(b"a LOGIN " + literals)
            while isinstance(reader.next(), NeedLiteral):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert reader.held <= BEFORE_LOGIN.max_line + BEFORE_LOGIN.max_literal_total


def test_a_message_is_kept_once() -> None:
    size = 8 * 1024 * 1024
    chunk = b"x" * 65_536
    reader = Reader(AFTER_LOGIN)
    reader.feed(b"a APPEND x {%d+}\r\n" % size)
    assert reader.next() is None
    tracemalloc.start()
    try:
        for _ in range(size // len(chunk)):
            reader.feed(memoryview(chunk))
            assert reader.next() is None
        reader.feed(b"\r\n")
        assert isinstance(reader.next(), Command)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the chunks, and once more the whole while they are joined
    assert peak < 2.2 * size
