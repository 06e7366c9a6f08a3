"""What goes behind DATA: no bare CR or LF, no lone dot but the last, the same bytes however the message is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.smtp.body import Stuffer, pieces


def stuffed(message: bytes, cut: int = 0) -> bytes:
    stuffer = Stuffer()
    return b"".join(stuffer.feed(piece) for piece in pieces(message, cut or 1 << 20)) + stuffer.end()


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n..b\r\n", b"a\r\n...b\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"a\r\n\r", b"a\r\n\r\n.\r\n"),
        # what smuggles: RFC 5321 section 2.3.8
        (b"a\n.\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\n.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r.\rMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r\n.\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r\n.\rMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\n.\rMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
        (b"a\r\n.\r\r\nMAIL", b"a\r\n..\r\n\r\nMAIL\r\n.\r\n"),
        (b"a\r\n\0.\r\n", b"a\r\n\0.\r\n.\r\n"),
    ],
)
def test_lines_end_in_crlf_and_dots_are_stuffed(message: bytes, wanted: bytes) -> None:
    assert stuffed(message) == wanted


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\0"]), max_size=30).map(b"".join), st.integers(1, 7)
)
def test_no_message_can_end_itself_or_leave_a_bare_cr_or_lf(message: bytes, cut: int) -> None:
    sent = stuffed(message)
    assert stuffed(message, cut) == sent
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n"
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", sent)
    assert [line for line in sent.split(b"\r\n") if line == b"."] == [b"."]
    got = b"".join(re.sub(rb"^\.", b"", line) + b"\r\n" for line in sent.split(b"\r\n")[:-2])
    plain = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    assert got in (plain, plain + b"\r\n")


def test_a_clean_message_is_not_changed() -> None:
    message = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n"
    assert stuffed(message, 13) == message + b".\r\n"
