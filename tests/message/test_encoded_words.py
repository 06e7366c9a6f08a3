"""Encoded words, charsets, and the two transfer encodings: right where they are valid, harmless where not."""

import pytest

from merpati.message.charset import _CODECS, codec_of, decode_text
from merpati.message.encoded_words import decode_words
from merpati.message.transfer import MAX_RUNS, WINDOW, decode_base64, decode_quoted_printable

WORDS = [
    # RFC 2047 section 8
    (b"=?ISO-8859-1?Q?a?=", "a"),
    (b"=?ISO-8859-1?Q?a?= b", "a b"),
    (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
    (b"=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=", "ab"),
    (b"=?ISO-8859-1?Q?a_b?=", "a b"),
    (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
    (b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
     "If you can read this you understand the example."),
    (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),  # RFC 2231 section 5
    (b"x =?utf-8?q?=C3?= =?utf-8?q?=A9?= y", "x é y"),  # a character cut in two
    (b"=?utf-8?b?w6k?=", "é"),  # padding left away
    (b"=?utf-8?q?a b?=", "a b"),  # a space that should be `_`
    (b"=?x-unknown?q?=C3=A9?=", "é"),
    (b"=?nonsense?q?=FF?=", "\ufffd"),
    (b"=?zlib?b?eJxLBAAAYgBi?=", "x\ufffdK\x04\x00\x00b\x00b"),
    (b"=?utf-7?q?+AGE-?=", "a"),
    (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
    (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
    (b"=?utf-8?q?a", "=?utf-8?q?a"),
    (b"=?=", "=?="),
    (b"=?" + b"c" * 65 + b"?q?a?=", "=?" + "c" * 65 + "?q?a?="),
    (b"a=?utf-8?q?b?=c", "abc"),
    (b"=?utf-8?q??=", ""),
    (b"", ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), WORDS)
def test_encoded_words_are_decoded(value: bytes, text: str) -> None:
    assert decode_words(value) == text


def test_a_charset_is_known_by_its_names() -> None:
    for name in ("UTF-8", "utf8", "ISO-8859-15", "windows-1252", "Shift_JIS", "EUC-KR", "ks_c_5601-1987", "GB2312",
                 "Big5", "KOI8-R", "x-sjis", "macintosh", "ISO-2022-JP", "windows-874", "latin1"):  # fmt: skip
        assert codec_of(name), name


def test_a_codec_that_is_no_charset_is_not_one() -> None:
    for name in ("zlib", "bz2", "hex", "rot13", "base64", "quopri", "uu", "idna", "punycode", "undefined",
                 "unicode_escape", "raw_unicode_escape", "mbcs", "oem", "", "..", "os", "utf-8\0"[:0]):  # fmt: skip
        assert codec_of(name) is None, name


@pytest.mark.parametrize("charset", sorted(_CODECS))
def test_every_charset_reads_any_octets(charset: str) -> None:
    assert isinstance(decode_text(bytes(range(256)) * 3 + b"+!\x1b$B\x0e~}", charset), str)


BASE64 = [
    (b"aGVsbG8=", b"hello"),
    (b"aGVs\r\nbG8=\r\n", b"hello"),
    (b"aGVsbG8", b"hello"),  # no padding
    (b"aGVsbG", b"hell"),  # cut
    (b"aGVsb", b"hel"),  # cut in the middle of an octet
    (b"!a@G#V$s", b"hel"),  # foreign characters
    (b"aGk=aGk=", b"hihi"),  # two pieces
    (b"aGk====aGk", b"hihi"),
    (b"=", b""),
    (b"====", b""),
    (b"", b""),
    (b"\0\xff", b""),
]


@pytest.mark.parametrize(("text", "octets"), BASE64)
def test_base64_gives_what_can_be_decoded(text: bytes, octets: bytes) -> None:
    assert decode_base64(text) == octets


def test_base64_decoding_stops_at_the_limit() -> None:
    assert decode_base64(b"aGVsbG8=", 3) == b"hel"
    assert decode_base64(b"aGVsbG8=", 0) == b""


def test_base64_across_windows_loses_nothing() -> None:
    octets = bytes(range(256)) * (WINDOW // 64)
    import binascii

    text = binascii.b2a_base64(octets, newline=False)
    broken = b"\r\n".join(text[at : at + 77] for at in range(0, len(text), 77))
    assert decode_base64(broken) == octets


def test_base64_gives_up_after_many_padded_runs() -> None:
    assert decode_base64(b"aGk=" * (2 * MAX_RUNS)) == b"hi" * MAX_RUNS


QUOTED_PRINTABLE = [
    (b"caf=C3=A9", "café".encode()),
    (b"caf=c3=a9", "café".encode()),
    (b"soft=\r\n break", b"soft break"),
    (b"soft=\n break", b"soft break"),
    (b"soft= \t\r\n break", b"soft break"),
    (b"trailing  \t\r\nspace ", b"trailing\r\nspace"),
    (b"=ZZ =4", b"=ZZ =4"),
    (b"=", b""),
    (b"", b""),
]


@pytest.mark.parametrize(("text", "octets"), QUOTED_PRINTABLE)
def test_quoted_printable_gives_what_can_be_decoded(text: bytes, octets: bytes) -> None:
    assert decode_quoted_printable(text) == octets
    assert decode_quoted_printable(text, 2) == octets[:2]
