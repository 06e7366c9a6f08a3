"""Content-Type and Content-Disposition: the words, the parameters, RFC 2231, and what mailers write instead."""

import pytest

from merpati.message.comments import strip_comments
from merpati.message.parameters import MAX_PARAMETERS, parameter, read_disposition, read_media_type

TYPES = [
    (b"text/plain", (b"text", b"plain", ())),
    (b"TEXT/Plain; CharSet=UTF-8", (b"text", b"plain", ((b"charset", b"UTF-8"),))),
    (b' text / plain ; a = "b;c" ; d=e', (b"text", b"plain", ((b"a", b"b;c"), (b"d", b"e")))),
    (b"text/plain (a comment); charset=us-ascii (Plain text)", (b"text", b"plain", ((b"charset", b"us-ascii"),))),
    (b'a/b; c="d\\"e\\\\f"', (b"a", b"b", ((b"c", b'd"e\\f'),))),
    (b'a/b; c="(no comment)"', (b"a", b"b", ((b"c", b"(no comment)"),))),
    (b"a/b; c=d; c=e", (b"a", b"b", ((b"c", b"d"), (b"c", b"e")))),
    # beside the grammar
    (b"text/plain junk; a=b", (b"text", b"plain", ((b"a", b"b"),))),
    (b"a/b; name=My File.pdf; x=1", (b"a", b"b", ((b"name", b"My File.pdf"), (b"x", b"1")))),
    (b"a/b; charset=utf-8 format=flowed", (b"a", b"b", ((b"charset", b"utf-8"),))),
    (b"a/b; boundary=x/y=[z]", (b"a", b"b", ((b"boundary", b"x/y=[z]"),))),
    (b'a/b; c="unterminated', (b"a", b"b", ((b"c", b"unterminated"),))),
    (b"a/b; c=; d=e", (b"a", b"b", ((b"c", b""), (b"d", b"e")))),
    (b"a/b; c; d=e;;", (b"a", b"b", ((b"d", b"e"),))),
    (b"a/b; w==?utf-8?q?x?=", (b"a", b"b", ((b"w", b"=?utf-8?q?x?="),))),
    (b"a/b; (((", (b"a", b"b", ())),
    # RFC 2231 section 3: joined, in the order of their numbers
    (
        b'message/external-body; URL*1="cs.utk.edu/a"; URL*0="ftp://"; access-type=URL',
        (b"message", b"external-body", ((b"access-type", b"URL"), (b"url", b"ftp://cs.utk.edu/a"))),
    ),
    # section 4
    (
        b"a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
        (b"a", b"b", ((b"title*", b"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),)),
    ),
    # section 4.1, with a percent sign in the plain piece
    (
        b"a/b; t*0*=us-ascii'en'This%20is; t*1*=%20even; t*2=\" 100% fun\"",
        (b"a", b"b", ((b"t*", b"us-ascii'en'This%20is%20even%20100%25%20fun"),)),
    ),
    (b"a/b; t*0=x; t*2=z", (b"a", b"b", ((b"t", b"x"),))),  # a gap ends it
    (b"a/b; t*1=x", (b"a", b"b", ())),  # no beginning
    (b"a/b; t*99999=x; *=y; **=z", (b"a", b"b", ((b"t*99999", b"x"), (b"*", b"y"), (b"**", b"z")))),
]


@pytest.mark.parametrize(("value", "read"), TYPES)
def test_a_media_type_is_read(value: bytes, read: tuple[object, ...]) -> None:
    assert read_media_type(value) == read


@pytest.mark.parametrize("value", [b"", b"text", b"text/", b"/plain", b"text plain", b"(text/plain)", b"\xe9/x", b";"])
def test_what_is_no_media_type_is_none(value: bytes) -> None:
    assert read_media_type(value) is None


DISPOSITIONS = [
    (b"inline", (b"inline", ())),
    (b'ATTACHMENT; FileName="a b.txt"; size=3', (b"attachment", ((b"filename", b"a b.txt"), (b"size", b"3")))),
    (b"; filename=x", (b"attachment", ((b"filename", b"x"),))),
    (b"", (b"attachment", ())),
    (b'"quoted"; filename=x', (b"attachment", ((b"filename", b"x"),))),
]


@pytest.mark.parametrize(("value", "read"), DISPOSITIONS)
def test_a_disposition_is_read(value: bytes, read: tuple[object, ...]) -> None:
    assert read_disposition(value) == read


NAMES = [
    (b"filename=plain.txt", "plain.txt"),
    (b"filename*=UTF-8''na%C3%AFve%20file.txt", "naïve file.txt"),
    (b"filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
    (b"filename=old.txt; filename*=utf-8''new.txt", "new.txt"),
    (b"filename*0*=utf-8''%e2%82; filename*1*=%ac.txt", "€.txt"),
    (b'filename="=?utf-8?q?na=C3=AFve?=.txt"', "naïve.txt"),
    (b"filename*=no-ticks%20here", "no-ticks here"),
    (b"filename*=zlib''%41", "A"),
    (b"filename*=''%ff", "\ufffd"),
    (b"filename*=utf-8''%zz%4", "%zz%4"),
    (b"filename=\xc3\xa9", "é"),
    (b"size=1", None),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_file_name_is_decoded(text: bytes, name: str | None) -> None:
    assert parameter(read_disposition(b"attachment; " + text)[1], b"filename") == name


def test_parameters_beyond_the_limit_are_not_read() -> None:
    value = b"a/b" + b"".join(b"; p%d=v" % number for number in range(3 * MAX_PARAMETERS))
    read = read_media_type(value)
    assert read is not None
    assert len(read[2]) == MAX_PARAMETERS


COMMENTS = [
    (b"a (b) c", b"a   c"),
    (b"a ((b) (c)) d", b"a   d"),
    (b"a (b\\) c) d", b"a   d"),
    (b'"(a)" (b)', b'"(a)"  '),
    (b'"\\"(a)" (b)', b'"\\"(a)"  '),
    (b"a (b", b"a  "),
    (b"a (b\\", b"a  "),
    (b"a) b", b"a) b"),
    (b'(a "b) c" d', b'  c" d'),
    (b"(", b" "),
]


@pytest.mark.parametrize(("text", "stripped"), COMMENTS)
def test_comments_are_taken_out(text: bytes, stripped: bytes) -> None:
    assert strip_comments(text) == stripped
