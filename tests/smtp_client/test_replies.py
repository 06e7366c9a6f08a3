"""Replies and extensions: what a server says, read however it is cut and whatever it holds."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.smtp.extensions import Extensions, extensions
from delivery.smtp.replies import MAX_LINES, MAX_REPLY, Broken, Reply, ReplyReader


def replies(data: bytes, cut: int = 0) -> list[Reply | Broken]:
    reader = ReplyReader()
    found = []
    step = cut or max(len(data), 1)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while (reply := reader.next()) is not None:
            found.append(reply)
    return found


GOOD: list[tuple[bytes, int, str, str]] = [
    (b"220 mx ESMTP\r\n", 220, "", "mx ESMTP"),
    (b"250\r\n", 250, "", ""),
    (b"250 \r\n", 250, "", ""),
    (b"250 2.1.0 ok\r\n", 250, "2.1.0", "ok"),
    (b"250 2.1.0\r\n", 250, "2.1.0", ""),
    (b"550 5.1.1 no\n", 550, "5.1.1", "no"),
    (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", 550, "5.1.1", "no such user"),
    (b"550-5.7.1 no\r\n550 https://example.org/\r\n", 550, "5.7.1", "no https://example.org/"),
    (b"450 5.1.1 odd\r\n", 450, "", "5.1.1 odd"),
    (b"250-a\r\n550 b\r\n", 550, "", "a b"),
    (b"554 \xff\xfe caf\xc3\xa9\r\n", 554, "", "?? caf?"),
    (b"554 a\x1b[31m\0b\tc\x07\r\n", 554, "", "a [31m b c"),
    (b"554 a\rb\r\n", 554, "", "a b"),
    (b"554 " + b"x" * 5000 + b"\r\n", 554, "", "x" * 1000),
    (b"354\tgo\r\n", 354, "", "go"),
    (b"250 2.1.0ok\r\n", 250, "", "2.1.0ok"),
]


@pytest.mark.parametrize(("data", "code", "enhanced", "text"), GOOD)
def test_a_reply_is_code_status_and_one_printable_line(data: bytes, code: int, enhanced: str, text: str) -> None:
    (reply,) = replies(data)
    assert isinstance(reply, Reply)
    assert (reply.code, reply.enhanced, reply.text) == (code, enhanced, text)
    assert str(reply).isprintable()


@pytest.mark.parametrize(
    "data",
    [
        *(b"\r\n", b"hello\r\n", b"25 ok\r\n", b"2500 ok\r\n", b"150 ok\r\n", b"650 ok\r\n", b"-ERR no\r\n"),
        *(b"* OK imap\r\n", b"250-a\r\n\r\n", b"250_a\r\n", b"\x15\x03\x01\0\x02\x02\x46\n", b"SSH-2.0-x\r\n"),
        b" 250 ok\r\n",
    ],
)
def test_what_is_no_reply_ends_the_reading(data: bytes) -> None:
    found = replies(data + b"250 ok\r\n")
    assert [type(each) for each in found] == [Broken]


def test_a_reply_without_enhanced_code_has_a_general_status() -> None:
    (reply,) = replies(b"552 full\r\n")
    assert isinstance(reply, Reply)
    assert reply.status == "5.0.0"


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"550 " + b"x" * 1_000_000 + b"\r\n", False),
        (b"550 " + b"x" * MAX_REPLY + b"\r\n", True),
        (b"550 " + b"x" * 10_000_000, True),
        (b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n", False),
        (b"250-x\r\n" * 1_000_000, True),
        (b"250-" + b"x" * 900 + b"\r\n" + b"250-y\r\n" * MAX_LINES, True),
    ],
)
def test_a_reply_that_has_no_end_is_cut_off(data: bytes, broken: bool) -> None:
    began = time.process_time()
    found = replies(data, cut=65_536)
    assert [isinstance(each, Broken) for each in found] == [broken]
    assert time.process_time() - began < 1.0


PIECES = [
    b"220 hi\r\n",
    b"250-a\r\n",
    b"250 b\r\n",
    b"250-",
    b"5.1.1 x",
    b"\r",
    b"\n",
    b"550 5.1.1 no\r\n",
    b"junk",
    b"\xff",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join), st.integers(1, 9))
def test_any_cut_of_the_bytes_gives_the_same_replies(data: bytes, cut: int) -> None:
    assert replies(data, cut) == replies(data)


def offered(*lines: str) -> Extensions:
    return extensions(Reply(250, lines=("mx", *lines)))


EXTENSIONS: list[tuple[tuple[str, ...], Extensions]] = [
    ((), Extensions()),
    (
        ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"),
        Extensions(pipelining=True, eightbit=True, smtputf8=True, dsn=True),
    ),
    (("pipelining ",), Extensions(pipelining=True)),
    (("STARTTLS",), Extensions(starttls=True)),
    (("SIZE 1000",), Extensions(size=1000, wants_size=True)),
    (("SIZE",), Extensions(wants_size=True)),
    (("SIZE 0",), Extensions(wants_size=True)),
    (("SIZE x",), Extensions(wants_size=True)),
    (("SIZE -1",), Extensions(wants_size=True)),
    (("SIZE 999999999999999999999",), Extensions(wants_size=True)),
    (("AUTH PLAIN LOGIN",), Extensions(auth=("PLAIN", "LOGIN"))),
    (("AUTH=PLAIN login", "AUTH PLAIN"), Extensions(auth=("PLAIN", "LOGIN"))),
    (("", "X-FOO bar", "ENHANCEDSTATUSCODES"), Extensions()),
]


@pytest.mark.parametrize(("lines", "wanted"), EXTENSIONS)
def test_an_answer_to_ehlo_says_what_the_server_can_do(lines: tuple[str, ...], wanted: Extensions) -> None:
    assert offered(*lines) == wanted


def test_the_first_line_of_an_answer_to_ehlo_offers_nothing() -> None:
    assert extensions(Reply(250, lines=("PIPELINING",))) == Extensions()
