"""Where commands begin and end: lines, literals, limits, and any cut of the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from access.imap.wire import commands as c
from access.imap.wire.events import Bad, Command, Fatal, Line, NeedLiteral
from access.imap.wire.limits import AFTER_LOGIN, BEFORE_LOGIN, Limits
from access.imap.wire.reader import Reader
from tests.imap_wire.talk import drain, events

NOOP = Command(b"z", c.Noop())
SMALL = replace(AFTER_LOGIN, max_line=64, max_literal=16, max_message=100, max_nonsync=40, max_discard=200)


def test_a_synchronizing_literal_is_asked_for_before_it_is_read() -> None:
    reader = Reader(AFTER_LOGIN)
    reader.feed(b"a LOGIN {5}\r\n")
    assert drain(reader) == [NeedLiteral(b"a", b"LOGIN", 5, b"+ OK\r\n")]
    reader.feed(b"alice {2}\r\n")
    assert drain(reader) == [NeedLiteral(b"a", b"LOGIN", 2)]
    reader.feed(b"pw\r\n")
    assert drain(reader) == [Command(b"a", c.Login("alice", "pw"))]


def test_a_literal_that_is_not_wanted_is_not_waited_for() -> None:
    reader = Reader(AFTER_LOGIN)
    reader.feed(b"a APPEND x {5000}\r\n")
    assert drain(reader) == [NeedLiteral(b"a", b"APPEND", 5000)]
    reader.refuse()
    reader.feed(b"z NOOP\r\n")
    assert drain(reader) == [NOOP]


REFUSED_LITERALS: list[tuple[bytes, bytes, bytes, str]] = [
    (b"a LOGIN {17}\r\n", b"BAD", b"TOOBIG", "a string too long, asked for"),
    (b"a LOGIN {17+}\r\n" + b"x" * 17 + b" b\r\n", b"BAD", b"TOOBIG", "a string too long, sent"),
    (b"a LOGIN {99999999999}\r\n", b"BAD", b"TOOBIG", "37 bits"),
    (b"a LOGIN {4294967296}\r\n", b"BAD", b"TOOBIG", "33 bits"),
    (b"a APPEND x {101}\r\n", b"NO", b"TOOBIG", "a message too long, asked for"),
    (b"a APPEND {17}\r\n", b"BAD", b"TOOBIG", "a mailbox name is no message"),
    (b"a APPEND x {41+}\r\n" + b"x" * 41 + b"\r\n", b"BAD", b"TOOBIG", "longer than may be sent unasked"),
    (b"a APPEND x {40+}\r\n" + b"x" * 40 + b" {40+}\r\n" + b"x" * 40 + b" {21}\r\n", b"NO", b"TOOBIG", "together"),
    (b"a LOGIN {41+}\r\n" + b"y" * 41 + b" {50+}\r\n" + b"y" * 50 + b"\r\n", b"BAD", b"TOOBIG", "two of them"),
    (b"a LOGIN {41+}\r\n" + b"y" * 41 + b" {5}\r\n", b"BAD", b"TOOBIG", "one sent, then one asked for"),
]


@pytest.mark.parametrize(("data", "status", "code", "reason"), REFUSED_LITERALS)
def test_a_literal_too_big_is_refused_and_the_stream_stays_in_step(
    data: bytes, status: bytes, code: bytes, reason: str
) -> None:
    found = [event for event in events(data + b"z NOOP\r\n", limits=SMALL) if not isinstance(event, NeedLiteral)]
    assert len(found) == 2, reason
    refused, following = found
    assert isinstance(refused, Bad)
    assert (refused.tag, refused.status, refused.code) == (b"a", status, code)
    assert following == NOOP


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a LOGIN {201+}\r\n", "more than is read and dropped"),
        (b"a LOGIN {99999999999999999999+}\r\n", "67 bits, on their way"),
        (b"a LOGIN {999999999999999999999999+}\r\n", "more digits than a number has"),
        (b"a LOGIN {1e9+}\r\n", "how much is on its way?"),
        (b"a LOGIN {070+}\r\n", "70 or 56?"),
        (b"a LOGIN {-1+}\r\n", "less than nothing"),
        (b"a X {150+}\r\n" + b"x" * 150 + b" {51+}\r\n", "together more than is dropped"),
        (b"a NOOP " + b"x" * 64 + b"\r\n", "a line too long"),
        (b"x" * 66, "a line too long without its end"),
        (b"a X {1+}\r\nx" + b"y" * 57 + b"\r\n", "too long with its second line"),
        (b"a X " + b'"\n' * 40, "too long with LFs that end nothing"),
    ],
)
def test_what_cannot_be_read_on_ends_the_connection(data: bytes, reason: str) -> None:
    reader = Reader(SMALL)
    reader.feed(data)
    (fatal,) = drain(reader)
    assert isinstance(fatal, Fatal), reason
    assert fatal.line.startswith(b"* BYE ")
    reader.feed(b"z NOOP\r\n" * 1000)
    assert drain(reader) == []
    assert reader.held == 0


def test_a_line_of_just_the_limit_is_read() -> None:
    text = b"a X " + b"x" * 60
    assert events(text + b"\r\n", limits=SMALL) == [Command(b"a", c.Unknown("X"))]
    assert events(text + b"\n", limits=SMALL) == [Command(b"a", c.Unknown("X"))]
    assert isinstance(events(text + b"x\r\n", limits=SMALL)[0], Fatal)
    assert isinstance(events(text + b"x\n", limits=SMALL)[0], Fatal)


def test_a_thousand_literals_are_too_many() -> None:
    reader_events = events(b"a X" + b" {0+}\r\n" * 1001 + b"\r\nz NOOP\r\n")
    refused, following = reader_events
    assert isinstance(refused, Bad)
    assert refused.code == b"LIMIT"
    assert following == NOOP


def test_before_login_nobody_appends_a_message() -> None:
    found = events(b"a APPEND x {100000}\r\nz NOOP\r\n", limits=BEFORE_LOGIN)
    assert isinstance(found[0], Bad)
    assert found[1:] == [NOOP]


# RFC 9051 section 2.2 knows CRLF only; that a bare LF ends a line outside a quoted string is ours


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"a NOOP\nz NOOP\n", [Command(b"a", c.Noop()), NOOP]),
        (b'a LOGIN "x" {1}\ny\nz NOOP\r\n', [NeedLiteral(b"a", b"LOGIN", 1), Command(b"a", c.Login("x", "y")), NOOP]),
        (b'a LOGIN "x\\"" y\nz NOOP\n', [Command(b"a", c.Login('x"', "y")), NOOP]),
    ],
)
def test_a_bare_lf_ends_a_line(data: bytes, wanted: list[object]) -> None:
    assert events(data) == wanted


@pytest.mark.parametrize(
    "data",
    [
        b'a SELECT "x\nb DELETE y"\r\n',
        b'a SELECT "x\nb DELETE y\n"\n\r\n',
        b'a SELECT "x\\"\nb DELETE y"\r\n',
        b'a SELECT "x\rb DELETE y"\r\n',
        b"a SELECT x\rb DELETE y\r\n",
        b"a SELECT x\r\rb DELETE y\r\n",
    ],
)
def test_a_bare_lf_or_cr_within_a_command_starts_no_other(data: bytes) -> None:
    found = events(data + b"z NOOP\r\n")
    assert len(found) == 2
    assert isinstance(found[0], Bad)
    assert found[1] == NOOP


def test_one_blank_line_is_overlooked_and_a_row_of_them_is_not() -> None:
    assert events(b"a APPEND x {1+}\r\nm\r\n\r\nz NOOP\r\n")[-1] == NOOP
    assert len(events(b"a APPEND x {1+}\r\nm\r\n\r\nz NOOP\r\n")) == 2
    found = events(b"\r\n\r\n\r\nz NOOP\r\n\r\n")
    assert [type(event) for event in found] == [Bad, Bad, Command]


def test_a_line_that_is_no_command_can_be_asked_for() -> None:
    reader = Reader(AFTER_LOGIN)
    reader.feed(b"a IDLE\r\nDONE\r\nz NOOP\r\n")
    assert reader.next() == Command(b"a", c.Idle())
    reader.expect_line(100)
    assert drain(reader) == [Line(b"DONE"), NOOP]


def test_a_line_that_is_asked_for_announces_no_literal_and_has_its_own_limit() -> None:
    reader = Reader(AFTER_LOGIN)
    reader.expect_line(10)
    reader.feed(b"x {5+}\r\n")
    assert drain(reader) == [Line(b"x {5+}")]
    reader.expect_line(10)
    reader.feed(b"x" * 13)
    assert isinstance(reader.next(), Fatal)


def test_what_follows_a_command_can_be_taken_away_unread() -> None:
    reader = Reader(AFTER_LOGIN)
    reader.feed(b"a STARTTLS\r\nb LOGIN x y\r\n")
    assert reader.next() == Command(b"a", c.StartTls())
    assert reader.take_unread() == b"b LOGIN x y\r\n"
    assert drain(reader) == []
    reader.feed(b"z NOOP\r\n")
    assert drain(reader) == [NOOP]


def test_what_is_decided_on_one_command_holds_for_the_next_though_it_was_sent_with_it() -> None:
    reader = Reader(BEFORE_LOGIN)
    reader.feed(b'a ENABLE UTF8=ACCEPT\r\nb SELECT "\xc3\xa9"\r\n')
    assert isinstance(reader.next(), Command)
    reader.utf8 = True
    assert reader.next() == Command(b"b", c.Select("é"))


def test_what_is_held_in_memory_is_known() -> None:
    reader = Reader(AFTER_LOGIN)
    assert reader.held == 0
    reader.feed(b"a APPEND x {1000}\r\n")
    drain(reader)
    assert reader.held == 1000 + len("a APPEND x {1000}")
    assert reader.in_command
    reader.feed(b"x" * 1000 + b"\r\n")
    drain(reader)
    assert reader.held == 0
    assert not reader.in_command


# Any cut of the bytes gives the same events

PIECES = [
    b"a NOOP\r\n",
    b"a NOOP\n",
    b"\r\n",
    b"\n",
    b"\r",
    b'a LOGIN "x y" z\r\n',
    b"a LOGIN {3}\r\nabc {0+}\r\n\r\n",
    b"a LOGIN {17+}\r\n01234567890123456 x\r\n",
    b"a APPEND x (\\Seen) {5+}\r\na\r\nb\n\r\n",
    b"a APPEND x {90}\r\n",
    b"a APPEND x {41+}\r\n",
    b"x" * 41,
    b'a SELECT "x\n',
    b'y"\r\n',
    b"~{2+}\r\n\0\0",
    b"{1",
    b"+}",
    b"a SEARCH OR SEEN (FROM {1}\r\n",
    b"q NOT 1:*)\r\n",
    b"* junk\r\n",
    b"a X {1e9+}\r\n",
    b"z" * 30,
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(data: bytes, draw: st.DataObject) -> None:
    limits: Limits = SMALL
    whole = events(data, limits=limits)
    assert events(data, limits=limits, cut=1) == whole
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    reader = Reader(limits)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        reader.feed(memoryview(data)[begin:end])
        found.extend(drain(reader))
    assert found == whole


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200) | st.text('a {}+~"\\\r\n()*%:,0123NOTFECHSARUID[].<>$&-\xe9', max_size=120))
def test_no_bytes_make_the_reader_raise(junk: bytes | str) -> None:
    data = junk if isinstance(junk, bytes) else junk.encode("latin-1")
    for utf8 in (False, True):
        assert events(data + b"\r\n", utf8=utf8, cut=1) == events(data + b"\r\n", utf8=utf8)
