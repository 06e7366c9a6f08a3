"""Addresses: strict on the way in by SMTP, one spelling for each domain, quoted again where they must be."""

import pytest

from merpati.message.address_list import Mailbox
from merpati.message.addresses import (
    MAX_DOMAIN,
    MAX_LOCAL_PART,
    Address,
    BadAddress,
    address_of,
    normalise_domain,
    parse_address,
    parse_path,
    read_path,
)

GOOD = [
    # path, local, domain, the address as written
    (b"<a@b.example>", "a", "b.example", "a@b.example"),
    (b"<A.b+c@B.Example>", "A.b+c", "b.example", "A.b+c@b.example"),
    (b"<a@b.example.>", "a", "b.example", "a@b.example"),
    (b"<@relay.example,@hop.example:a@b.example>", "a", "b.example", "a@b.example"),  # RFC 5321 section 4.1.1.3
    (b'<"john doe"@b.example>', "john doe", "b.example", '"john doe"@b.example'),
    (b'<"a\\"b\\\\c"@b.example>', 'a"b\\c', "b.example", '"a\\"b\\\\c"@b.example'),
    (b'<"plain"@b.example>', "plain", "b.example", "plain@b.example"),
    (b'<"a@b"@c.example>', "a@b", "c.example", '"a@b"@c.example'),
    (b"<a..b.@c.example>", "a..b.", "c.example", '"a..b."@c.example'),
    (b"<u%ext@local.example>", "u%ext", "local.example", "u%ext@local.example"),
    (b"<ext!u@local.example>", "ext!u", "local.example", "ext!u@local.example"),
    (b"<!#$%&'*+-/=?^_`{|}~@b.example>", "!#$%&'*+-/=?^_`{|}~", "b.example", "!#$%&'*+-/=?^_`{|}~@b.example"),
    (b"<a@[127.0.0.1]>", "a", "[127.0.0.1]", "a@[127.0.0.1]"),
    (b"<a@[IPv6:2001:DB8::0001]>", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
    (b"<a@host>", "a", "host", "a@host"),
    (b"<a@under_score.example>", "a", "under_score.example", "a@under_score.example"),
    (b"<a@xn--bcher-kva.example>", "a", "xn--bcher-kva.example", "a@xn--bcher-kva.example"),
]


@pytest.mark.parametrize(("path", "local", "domain", "text"), GOOD)
def test_a_path_gives_its_address(path: bytes, local: str, domain: str, text: str) -> None:
    address = parse_path(path)
    assert address == Address(local, domain)
    assert str(address) == text
    assert parse_path(f"<{address}>".encode()) == address


BAD = [
    b"",
    b"a@b.example",  # no brackets
    b"<a@b.example",
    b"a@b.example>",
    b"<a>",
    b"<postmaster>",  # only where the caller says so
    b"<@b.example>",
    b"<a@>",
    b"< >",
    b"< a@b.example>",
    b"<a b@c.example>",  # bare space
    b"<a@b .example>",
    b"<a@b.example\r\nDATA>",
    b"<d@e.f\nDATA>",  # S3
    b"<a@b.c\rX: y>",  # S10
    b"<a\0@b.example>",
    b"<a@b.example\0>",
    b"<\x7f@b.example>",
    b'<"a\r\nb"@c.example>',
    b'<"a@b.example>',
    b'<""@b.example>',
    b"<u@ext@local.example>",  # R1
    b"<@local.example:u@ext@x.example>",
    b"<@a:b:c@d.example>",
    b"<a@-b.example>",
    b"<a@b-.example>",
    b"<a@b..example>",
    b"<a@.example>",
    b"<a@b.example..>",
    b"<a@127.0.0.1>",  # an address without brackets
    b"<a@[127.0.0.1>",
    b"<a@[127.0.0.256]>",
    b"<a@[::1]>",
    b"<a@[IPv6:x]>",
    b"<a@[tag:x]>",
    b"<a@(comment)b.example>",
    b"<" + b"a" * (MAX_LOCAL_PART + 1) + b"@b.example>",
    b"<a@" + b"b." * 140 + b"example>",
    b"<a@" + b"b" * 64 + b".example>",
    b"<" + b"@a," * 100_000 + b"@a:b@c.example>",
    b"<\xff\xfe@b.example>",  # S9
    "<ü@b.example>".encode(),
    b"<a@b.example> SIZE=1",
    b"<>x",
]


@pytest.mark.parametrize("path", BAD, ids=lambda path: repr(path[:40]))
def test_what_is_no_path_is_refused(path: bytes) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_path(path)
    assert caught.value.code == 501
    # The peer's words are not repeated: they may hold anything.
    assert "example" not in caught.value.public


def test_the_null_path_is_none() -> None:
    assert parse_path(b"<>") is None


def test_a_bare_postmaster_is_an_address_where_it_may_be() -> None:
    assert parse_path(b"<PostMaster>", postmaster=True) == Address("PostMaster", "")
    assert str(parse_path(b"<postmaster>", postmaster=True)) == "postmaster"
    assert parse_path(b"<postmaster@b.example>", postmaster=True) == Address("postmaster", "b.example")
    with pytest.raises(BadAddress):
        parse_path(b"<root>", postmaster=True)


def test_parameters_follow_behind_a_path() -> None:
    line = b'FROM:<"a> b"@c.example> SIZE=100'
    address, end = read_path(line, 5)
    assert address == Address("a> b", "c.example")
    assert line[end:] == b" SIZE=100"
    assert read_path(b"<> BODY=8BITMIME") == (None, 2)
    # What follows may be foreign or long: it is not this reader's.
    assert read_path(b"<a@b.example> X=\xff")[1] == 13
    assert read_path(b"<a@b.example> X=" + b"\xc3\xa9" * 2_000, smtputf8=True)[1] == 13


INTERNATIONAL = [
    ("<δοκιμή@παράδειγμα.example>", "δοκιμή", "xn--hxajbheg2az3al.example"),
    ("<u@BÜCHER.example>", "u", "xn--bcher-kva.example"),
    ("<u@bücher。example>", "u", "xn--bcher-kva.example"),  # ideographic full stop
    ("<u@ｅｘａｍｐｌｅ.test>", "u", "example.test"),  # full-width letters
    ("<u＠ext@local.example>", "u＠ext", "local.example"),  # U+FF20 in a local part is a letter like any other
    ('<"ü b"@c.example>', "ü b", "c.example"),
]


@pytest.mark.parametrize(("path", "local", "domain"), INTERNATIONAL)
def test_with_smtputf8_a_path_may_hold_utf8(path: str, local: str, domain: str) -> None:
    address = parse_path(path.encode(), smtputf8=True)
    assert address == Address(local, domain)
    assert address is not None
    assert address.is_ascii == local.isascii()
    end = read_path(path.encode() + b" SMTPUTF8", smtputf8=True)[1]
    assert end == len(path.encode())


@pytest.mark.parametrize(
    "path",
    ["<u@lo＠cal.example>", "<u@\u00ad>", "<u\u2028x@b.example>", "<u\u202ex@b.example>", "<u\u0085@b.example>",
     "<u@" + "ü" * 300 + ">", "<u@☕\u200d.example>", "<u@xn--bücher.example>"],
)  # fmt: skip
def test_with_smtputf8_what_hides_or_splits_is_still_refused(path: str) -> None:
    with pytest.raises(BadAddress):
        parse_path(path.encode(), smtputf8=True)
    with pytest.raises(BadAddress):
        parse_path(b"<\xff@b.example>", smtputf8=True)


def test_a_domain_has_one_spelling() -> None:
    spellings = {normalise_domain(name) for name in ("BÜCHER.Example", "bücher.example.", "xn--BCHER-kva.EXAMPLE")}
    assert spellings == {"xn--bcher-kva.example"}
    assert len(normalise_domain(".".join(["a" * 62] * 4))) <= MAX_DOMAIN


@pytest.mark.parametrize("name", ["", ".", "a b", "a/b", "a\0", "1.2.3.4", "a." * 200 + "b", "é" * 300, "a\n"])
def test_what_is_no_domain_is_refused(name: str) -> None:
    with pytest.raises(BadAddress):
        normalise_domain(name)


def test_an_address_of_the_settings_needs_no_brackets() -> None:
    assert parse_address("ü@bücher.example") == Address("ü", "xn--bcher-kva.example")
    for text in ("a", "<a@b.example>", "a@b.example ", "a@b@c", "", "x" * 2_000 + "@b.example"):
        with pytest.raises(BadAddress):
            parse_address(text)


ENTRIES = [
    (Mailbox(b"N", None, b"a", b"B.example"), Address("a", "b.example")),
    (Mailbox(None, None, b"a", b"[127.0.0.1]"), Address("a", "[127.0.0.1]")),
    (Mailbox(None, None, "ü".encode(), "bücher.example".encode()), Address("ü", "xn--bcher-kva.example")),
    (Mailbox(None, None, b"group", None), None),
    (Mailbox(None, None, None, None), None),
    (Mailbox(None, None, b"a", b"MISSING_DOMAIN"), None),
    (Mailbox(None, None, b"MISSING_MAILBOX", b"b.example"), None),
    (Mailbox(None, None, b"\xff", b"b.example"), None),
    (Mailbox(None, None, b"a", b"b_!.example"), None),
]


@pytest.mark.parametrize(("entry", "address"), ENTRIES)
def test_an_entry_of_a_list_gives_its_address_if_it_has_one(entry: Mailbox, address: Address | None) -> None:
    assert address_of(entry) == address
