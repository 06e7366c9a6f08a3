"""xtext of SMTP parameters, and the ASCII form of an international address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.message.xtext import (
    MAX_XTEXT,
    BadXtext,
    decode_utf8_xtext,
    decode_xtext,
    encode_utf8_xtext,
    encode_xtext,
)

GOOD = [
    (b"", ""),
    (b"plain@x.example", "plain@x.example"),
    (b"a+2Bb+3Dc", "a+b=c"),
    (b"a+20b", "a b"),
    (b"+C3+A9", "é"),
]


@pytest.mark.parametrize(("octets", "text"), GOOD)
def test_xtext_is_decoded_and_encoded(octets: bytes, text: str) -> None:
    assert decode_xtext(octets) == text
    assert encode_xtext(text).encode() == octets


BAD = [
    b"a b",
    b"a=b",
    b"a+",
    b"a+2",
    b"a+2b",  # lower case is no xtext
    b"+0D+0AX: y",
    b"+0A",  # S10
    b"+00",
    b"+7F",
    b"+FF",
    b"\xc3\xa9",
    b"a\r\nb",
    b"+E2+80+A8",
    b"a" * (MAX_XTEXT + 1),
]


@pytest.mark.parametrize("octets", BAD)
def test_what_is_no_xtext_or_hides_a_line_end_is_refused(octets: bytes) -> None:
    with pytest.raises(BadXtext) as caught:
        decode_xtext(octets)
    assert caught.value.reply == "501 5.5.4 bad xtext"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_an_address_in_ascii_form_is_read_back(text: str) -> None:
    encoded = encode_utf8_xtext(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert decode_utf8_xtext(encoded) == text or any(ord(each) < 32 or ord(each) == 127 for each in text)


def test_the_example_of_rfc_6533_is_written() -> None:
    assert encode_utf8_xtext("ᏣᎳᎩ@example.com") == "\\x{13E3}\\x{13B3}\\x{13A9}@example.com"
    assert decode_utf8_xtext("\\x{A}\\x{D800}\\x{110000}\\x{zz}") == "\\x{A}\\x{D800}\\x{110000}\\x{zz}"
