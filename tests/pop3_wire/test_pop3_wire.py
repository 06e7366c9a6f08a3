"""POP3 on the wire: commands, their limits, any cut of the bytes; responses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.pop3 import wire
from access.pop3.wire import Bad, Event, Fatal, Line, Reader


def drain(reader: Reader) -> list[Event]:
    found = []
    while (event := reader.next()) is not None:
        found.append(event)
    return found


def events(data: bytes, cut: int = 0) -> list[Event]:
    reader = Reader()
    found: list[Event] = []
    step = cut or max(len(data), 1)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        found.extend(drain(reader))
    return found


GOOD: list[tuple[bytes, wire.Verb]] = [
    (b"USER alice@example.org", wire.User("alice@example.org")),
    (b"user a b", wire.User("a b")),
    (b"PASS  with spaces ", wire.Pass(" with spaces ")),
    (b"PASS s\xc3\xa4cret", wire.Pass("säcret")),
    (b"APOP alice c4c9334bac560ecc979e58001b3e22fb", wire.Apop("alice")),
    (b"STAT", wire.Stat()),
    (b"stat ", wire.Stat()),
    (b"LIST", wire.List()),
    (b"LIST 2", wire.List(2)),
    (b"UIDL ", wire.Uidl()),
    (b"UIDL 0", wire.Uidl(0)),
    (b"RETR 1", wire.Retr(1)),
    (b"TOP 1 0", wire.Top(1, 0)),
    (b"TOP 1 999999999", wire.Top(1, 999999999)),
    (b"DELE 7", wire.Dele(7)),
    (b"NOOP", wire.Noop()),
    (b"RSET", wire.Rset()),
    (b"QUIT", wire.Quit()),
    (b"STLS", wire.Stls()),
    (b"CAPA", wire.Capa()),
    (b"AUTH", wire.Auth()),
    (b"AUTH plain", wire.Auth("PLAIN")),
    (b"AUTH PLAIN =", wire.Auth("PLAIN", b"")),
    (b"AUTH XOAUTH2 dXNlcj1h", wire.Auth("XOAUTH2", b"user=a")),
    (b"UTF8", wire.Utf8()),
    (b"LANG", wire.Lang()),
    (b"LANG de", wire.Lang("de")),
    (b"USER " + b"x" * 248, wire.User("x" * 248)),
    (b"AUTH PLAIN " + b"QUFB" * 3000, wire.Auth("PLAIN", b"AAA" * 3000)),
]

BAD: list[tuple[bytes, str]] = [
    (b"", "an empty line"),
    (b"FOO", "an unknown command"),
    (b"STAT 1", "an argument too many"),
    (b"USER", "no name"),
    (b"PASS", "no password"),
    (b"USER a\0b", "NUL"),
    (b"USER a\rb", "CR"),
    (b"USER \xc2\x85", "NEL"),
    (b"PASS \xff", "8-bit that is no UTF-8"),
    (b"RETR", "no number"),
    (b"RETR x", "letters"),
    (b"RETR -1", "a negative number"),
    (b"RETR 1 2", "two numbers"),
    (b"RETR 99999999999", "a number too long"),
    (b"RETR 9999999999", "a number too great"),
    (b"RETR \xd9\xa1", "a digit of another script"),
    (b"TOP 1", "no lines"),
    (b"TOP 1 -1", "negative lines"),
    (b"LIST 1,2", "a set"),
    (b"AUTH PLAIN ***", "no base64"),
    (b"AUTH PLAIN YQ", "base64 without padding"),
    (b"USER " + b"x" * 249, "256 bytes"),
    (b"AUTH PLAIN " + b"QUFB" * 3100, "a long initial response"),
    (b"GET / HTTP/1.1", "another protocol"),
    (b"\tSTAT", "a TAB"),
]


@pytest.mark.parametrize(("line", "wanted"), GOOD)
def test_a_command_is_parsed_into_its_value(line: bytes, wanted: wire.Verb) -> None:
    assert events(line + b"\r\n") == [wanted]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_what_is_no_command_is_bad_and_the_stream_stays_in_step(line: bytes, reason: str) -> None:
    refused, following = events(line + b"\r\nNOOP\r\n")
    assert isinstance(refused, Bad), reason
    assert following == wire.Noop()


def test_a_bare_lf_ends_a_line() -> None:
    assert events(b"STAT\nUSER a\n") == [wire.Stat(), wire.User("a")]


def test_a_line_without_end_ends_the_connection_and_costs_no_more_memory() -> None:
    assert isinstance(events(b"x" * wire.MAX_DISCARD + b"x")[0], Fatal)
    began = time.process_time()
    assert [type(event) for event in events(b"x" * 10_000_000, cut=4096)] == [Fatal]
    assert time.process_time() - began < 1.0


def test_a_line_too_long_is_dropped_whole() -> None:
    found = events(b"x" * 60_000 + b"\r\nSTAT\r\n")
    assert [type(event) for event in found] == [Bad, wire.Stat]


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(wire.Pass("hunter2"))
    assert "hunter2" not in repr(wire.Auth("PLAIN", b"hunter2"))


def test_a_line_of_a_sasl_exchange_can_be_asked_for() -> None:
    reader = Reader()
    reader.feed(b"AUTH PLAIN\r\nQUFB\r\nSTAT\r\n")
    assert reader.next() == wire.Auth("PLAIN")
    reader.expect_line()
    assert drain(reader) == [Line(b"QUFB"), wire.Stat()]
    reader.expect_line()
    reader.feed(b"A" * 12_288 + b"\r\n")
    assert reader.next() == Line(b"A" * 12_288)
    reader.expect_line()
    reader.feed(b"A" * 12_289 + b"\r\n")
    assert isinstance(reader.next(), Bad)


@pytest.mark.parametrize(
    ("text", "wanted"), [(b"QUFB", b"AAA"), (b"", b""), (b"*", None), (b"QUF", None), (b"Q UFB", None)]
)
def test_a_sasl_response_is_decoded_or_given_up(text: bytes, wanted: bytes | None) -> None:
    assert wire.sasl_response(text) == wanted


def test_what_follows_stls_can_be_taken_away_unread() -> None:
    reader = Reader()
    reader.feed(b"STLS\r\nUSER mallory\r\n")
    assert reader.next() == wire.Stls()
    assert reader.take_unread() == b"USER mallory\r\n"
    assert reader.next() is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"STAT\r\n", b"USER a\n", b"\r\n", b"\r", b"x" * 300, b"AUTH " + b"x" * 300, b"\n", b"RETR 1\r\n"]
        )
        | st.binary(max_size=20),
        max_size=8,
    ).map(b"".join),
    st.integers(1, 40),
)
def test_any_cut_of_the_bytes_gives_the_same_events(data: bytes, cut: int) -> None:
    assert events(data, cut) == events(data)


RESPONSES: list[tuple[bytes, bytes]] = [
    (wire.ok(), b"+OK\r\n"),
    (wire.ok("2 320"), b"+OK 2 320\r\n"),
    (wire.err("no such message"), b"-ERR no such message\r\n"),
    (wire.err("in use", wire.IN_USE), b"-ERR [IN-USE] in use\r\n"),
    (wire.err("a\r\n+OK é"), b"-ERR a  +OK ?\r\n"),
    (wire.challenge(""), b"+ \r\n"),
    (wire.listing("2 messages", [(1, 120), (2, 200)]), b"+OK 2 messages\r\n1 120\r\n2 200\r\n.\r\n"),
    (wire.listing("none", []), b"+OK none\r\n.\r\n"),
    (wire.listing("ids", [(1, "abc")]), b"+OK ids\r\n1 abc\r\n.\r\n"),
    (wire.capabilities(["TOP", "UIDL"]), b"+OK capabilities\r\nTOP\r\nUIDL\r\n.\r\n"),
    (b"".join(wire.message("4 octets", b".a\r\n")), b"+OK 4 octets\r\n..a\r\n.\r\n"),
    (b"".join(wire.message("", b"a\r\n.\r\nb")), b"+OK\r\na\r\n..\r\nb\r\n.\r\n"),
    (b"".join(wire.message("", b"")), b"+OK\r\n.\r\n"),
]


@pytest.mark.parametrize(("line", "wanted"), RESPONSES)
def test_a_response_is_written_as_the_protocol_has_it(line: bytes, wanted: bytes) -> None:
    assert line == wanted


MESSAGE = b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\n.three\r\n"


@pytest.mark.parametrize(
    ("data", "lines", "wanted"),
    [
        (MESSAGE, 0, b"A: 1\r\nB: 2\r\n\r\n"),
        (MESSAGE, 1, b"A: 1\r\nB: 2\r\n\r\none\r\n"),
        (MESSAGE, 3, MESSAGE),
        (MESSAGE, 999_999_999, MESSAGE),
        (b"A: 1\r\n", 5, b"A: 1\r\n"),
        (b"\r\none\r\ntwo\r\n", 1, b"\r\none\r\n"),
        (b"", 1, b""),
        (b"A: 1\r\n\r\n", 1, b"A: 1\r\n\r\n"),
        (b"A: 1\r\n\r\nno end", 1, b"A: 1\r\n\r\nno end"),
    ],
)
def test_top_is_the_header_and_so_many_lines(data: bytes, lines: int, wanted: bytes) -> None:
    assert wire.top(data, lines) == wanted
