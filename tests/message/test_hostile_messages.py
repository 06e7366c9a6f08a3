"""HOSTILE.md C1 to C3: bombs.  Each is read whole, within two seconds of CPU, and gives a bounded, valid answer.

The bounds are generous: what is linear here takes milliseconds, what is quadratic takes minutes.
"""

import time
from collections.abc import Callable

import pytest

from merpati.message.addresses import BadAddress, normalise_domain, parse_path
from merpati.message.body import attachments, body_parts, html_to_text, readable_text
from merpati.message.encoded_words import decode_words
from merpati.message.headers import Headers
from merpati.message.mime import MAX_DEPTH, MAX_PARTS, Part, scan
from merpati.message.sections import Kind, Section, resolve
from merpati.message.subject import base_subject
from merpati.message.summary import Summary, summarise
from merpati.message.transfer import decode_base64, decode_quoted_printable
from tests.message.bombs import BOMBS, MEGABYTE
from tests.message.cases import message

SECONDS = 2.0


def within_bounds(work: Callable[[], object]) -> object:
    started = time.process_time()
    result = work()
    assert time.process_time() - started < SECONDS
    return result


def count_and_depth(root: Part) -> tuple[int, int]:
    waiting, count, deepest = [(root, 1)], 0, 0
    while waiting:
        part, depth = waiting.pop()
        count, deepest = count + 1, max(deepest, depth)
        waiting.extend((each, depth + 1) for each in part.children)
    return count, deepest


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.slow
def test_a_bomb_is_summed_up_in_bounded_time(name: str) -> None:
    raw = BOMBS[name]()
    root = scan(raw)
    summary = within_bounds(lambda: summarise(raw))
    assert isinstance(summary, Summary)
    assert summary.size == len(raw)
    # What is kept of a bomb is no bomb.
    assert len(summary.envelope) + len(summary.body) + len(summary.structure) < 2 * len(raw) + 6_000_000
    count, depth = count_and_depth(root)
    assert count <= 2 * MAX_PARTS
    assert depth <= MAX_DEPTH + 1
    assert bytes(resolve(raw, root, Section()) or b"") == raw
    assert within_bounds(lambda: resolve(raw, root, Section((1,) * 2_000))) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_can_be_looked_at_by_a_processor(name: str) -> None:
    raw = BOMBS[name]()
    root = scan(raw)

    def look() -> int:
        found = [(part.filename, part.content_type, part.number) for part in body_parts(raw, root)]
        headers = Headers.parse(raw)
        return len(found) + len(attachments(raw, root)) + len(readable_text(raw, root)) + len(list(headers.items()))

    within_bounds(look)


def test_a_bomb_does_not_hide_the_body() -> None:
    raw = message("A: b\n" * 100_000 + "C: d", "the body")
    assert bytes(resolve(raw, scan(raw), Section((), Kind.TEXT)) or b"") == b"the body"
    assert bytes(resolve(raw, scan(raw), Section((), Kind.HEADER_FIELDS_NOT, (b"X",))) or b"") + b"the body" == raw


TEXTS: dict[str, Callable[[], object]] = {
    "base64 of padding": lambda: decode_base64(b"=" * 10 * MEGABYTE),
    "base64 of short runs": lambda: decode_base64(b"YQ==" * 2 * MEGABYTE),
    "base64 of foreign octets": lambda: decode_base64(b"\xff" * 20 * MEGABYTE),
    "quoted-printable of spaces": lambda: decode_quoted_printable(b" " * 5 * MEGABYTE + b"x"),
    "quoted-printable of tabs and line ends": lambda: decode_quoted_printable(b"\t\n" * MEGABYTE),
    "quoted-printable of equals signs": lambda: decode_quoted_printable(b"=" * 5 * MEGABYTE),
    "encoded words of question marks": lambda: decode_words(b"=?" + b"?" * MEGABYTE),
    "encoded words of openings": lambda: decode_words(b"=?a" * 300_000),
    "encoded words of half words": lambda: decode_words(b"=?a?q?" * 150_000),
    "HTML of openings": lambda: html_to_text("<" * MEGABYTE),
    "HTML of scripts": lambda: html_to_text("<script>" * 100_000),
    "HTML of half ends": lambda: html_to_text("<script>" + "</script " * 100_000),
    "HTML of comments": lambda: html_to_text("<!--" * 200_000),
    "HTML of spaces": lambda: html_to_text(" " * MEGABYTE + "x"),
    "HTML of entities": lambda: html_to_text("&" * MEGABYTE),
    "subject of brackets": lambda: base_subject("[" * 100_000),
    "subject of forwards": lambda: base_subject("[fwd: " * 10_000 + "]" * 10_000),
}


@pytest.mark.parametrize("name", TEXTS)
def test_decoding_takes_linear_time(name: str) -> None:
    within_bounds(TEXTS[name])


PATHS = [
    b"<" + b"@a," * 1_000_000 + b":a@b>",
    b"<" + b"a." * 1_000_000 + b"@b>",
    b'<"' + b"\\a" * 1_000_000,
    b"<a@" + b"b." * 1_000_000 + b">",
    b"<" + b"\xc3\xa9" * 1_000_000 + b"@b>",
    b"<a@" + "ü.".encode() * 100_000 + b">",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path[:12]))
def test_a_long_path_is_refused_at_once(path: bytes) -> None:
    def refuse() -> None:
        for smtputf8 in (False, True):
            with pytest.raises(BadAddress):
                parse_path(path, smtputf8=smtputf8)

    within_bounds(refuse)


def test_a_long_international_domain_is_refused_at_once() -> None:
    def refuse() -> None:
        for domain in ("ü" * 1_000_000, "\u0300" * 250, "ü." * 120):
            with pytest.raises(BadAddress):
                normalise_domain(domain)

    within_bounds(refuse)
