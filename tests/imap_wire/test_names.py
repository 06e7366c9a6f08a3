"""Mailbox names: modified UTF-7, and matching with wildcards."""

from __future__ import annotations

import re
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.imap.wire.wildcard import matcher
from merpati.mailbox import utf7

NAMES: list[tuple[bytes, str]] = [
    (b"INBOX", "INBOX"),
    (b"", ""),
    (b"&-", "&"),
    (b"a&-b&-", "a&b&"),
    (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 section 5.1.3
    (b"Entw&APw-rfe", "Entwürfe"),
    (b"&2D3cJg-", "🐦"),
    (b"&AOkA4gDk-", "éâä"),
    (b"../../etc", "../../etc"),
    (b"%2e%2e", "%2e%2e"),
    (b"&IC4-x", "\u202ex"),
    (b"e&AwE-", "e\u0301"),
]


@pytest.mark.parametrize(("wire", "name"), NAMES)
def test_a_name_has_one_spelling(wire: bytes, name: str) -> None:
    assert utf7.decode(wire) == name
    assert utf7.encode(name) == wire


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"&", "unfinished"),
        (b"a&Jjo", "unfinished"),
        (b"&Jjo!", "unfinished"),
        (b"&AGE-", "ASCII that needs no base64"),
        (b"&ACY-", "an ampersand in base64"),
        (b"&Jjo-&Jjo-", "two shifts in a row"),
        (b"&2AA-", "a lone high surrogate"),
        (b"&3AA-", "a lone low surrogate"),
        (b"&Jj-", "half a character"),
        (b"&JjpA-", "a character and a half"),
        (b"&Jjr-", "bits left over that are not zero"),
        (b"&Jjo=-", "padding"),
        (b"&U/BTFw-", "a slash for a comma"),
        (b"&Jj o-", "a space within"),
        (b"&A-", "less than a byte"),
        (b"\xc3\xa9", "8-bit"),
        (b"a\0", "NUL"),
        (b"a\r\nb", "a line break"),
        (b"&AAA-", "NUL in base64"),
        (b"&AA0ACg-", "a line break in base64"),
        (b"&AIU-", "NEL"),
        (b"&ICg-", "a line separator"),
        (b"&,,8-", "no character"),
    ],
)
def test_another_spelling_or_no_name_is_refused(wire: bytes, reason: str) -> None:
    with pytest.raises(utf7.BadName):
        utf7.decode(wire)


@pytest.mark.parametrize("wire", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"a\0", b"a\n", b"\xe2\x80\xa8"])
def test_a_name_in_utf8_is_utf8_without_controls(wire: bytes) -> None:
    with pytest.raises(utf7.BadName):
        utf7.decode_utf8(wire)


@given(st.text())
def test_every_name_comes_back(name: str) -> None:
    if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", name):
        with pytest.raises(utf7.BadName):
            utf7.decode_utf8(name.encode())
    else:
        wire = utf7.encode(name)
        assert wire.isascii()
        assert utf7.decode(wire) == name == utf7.decode_utf8(name.encode())


@given(st.text("&-,AGEJjo+/=Zz0 \xe9", max_size=20))
def test_what_is_accepted_is_what_would_be_written(text: str) -> None:
    wire = text.encode()
    try:
        name = utf7.decode(wire)
    except utf7.BadName:
        return
    assert utf7.encode(name) == wire


def test_the_base64_is_that_of_utf16() -> None:
    assert b64decode(b"U/BTFw==").decode("utf-16-be") == "台北"


MATCHES: list[tuple[str, str, bool]] = [
    ("*", "a/b", True),
    ("*", "", True),
    ("%", "a", True),
    ("%", "a/b", False),
    ("a/%", "a/b", True),
    ("a/%", "a/b/c", False),
    ("a/%", "a/", True),
    ("a/%", "a", False),
    ("a*", "a/b/c", True),
    ("*b", "a/b", True),
    ("%b", "a/b", False),
    ("%/%", "a/b", True),
    ("%/%", "a/b/c", False),
    ("%*", "a/b", True),
    ("*%c", "a/b/c", True),
    ("%%", "a/b", False),
    ("a", "a", True),
    ("a", "A", False),
    ("", "", True),
    ("", "a", False),
    ("inbox", "INBOX", True),
    ("InB*", "INBOX", True),
    ("inb%", "INBOX", True),
    ("inb%", "inbox2", True),
    ("INB%", "inbox2", False),
    ("a.c", "abc", False),
    ("(a+)+$", "aaa", False),
    ("*é", "caf/é", True),
    ("%", "INBOX", True),
    ("*x", "INBOX", True),
]


@pytest.mark.parametrize(("pattern", "name", "matches"), MATCHES)
def test_a_star_is_anything_and_a_percent_stays_in_its_level(pattern: str, name: str, matches: bool) -> None:
    assert matcher(pattern)(name) is matches


@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=10))
def test_matching_is_what_the_definition_says(pattern: str, name: str) -> None:
    assert matcher(pattern)(name) is defined(pattern, name)


def defined(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(defined(pattern[1:], name[at:]) for at in range(len(name) + 1))
    if pattern[0] == "%":
        return any(defined(pattern[1:], name[at:]) for at in range(len(name) + 1) if "/" not in name[:at])
    return name[:1] == pattern[0] and defined(pattern[1:], name[1:])
