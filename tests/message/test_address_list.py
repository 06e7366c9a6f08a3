"""Address lists of header fields: the grammar, the obsolete grammar, and what strangers write instead."""

import pytest

from merpati.message.address_list import MAX_ADDRESSES, Mailbox, parse_address_list

D, L = b"MISSING_DOMAIN", b"MISSING_MAILBOX"
END = (None, None, None, None)

RFC_5322 = [
    # appendix A
    (b"John Doe <jdoe@machine.example>", [(b"John Doe", None, b"jdoe", b"machine.example")]),
    (b'"Joe Q. Public" <john.q.public@example.com>', [(b"Joe Q. Public", None, b"john.q.public", b"example.com")]),
    (
        b"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
        [
            (b"Mary Smith", None, b"mary", b"x.test"),
            (None, None, b"jdoe", b"example.org"),
            (b"Who?", None, b"one", b"y.test"),
        ],
    ),
    (
        b'<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
        [(None, None, b"boss", b"nil.test"), (b'Giant; "Big" Box', None, b"sysservices", b"example.net")],
    ),
    (
        b"A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
        [
            (None, None, b"A Group", None),
            (b"Ed Jones", None, b"joe", b"where.test"),
            (None, None, b"joe", b"where.test"),
            (b"John", None, b"jdoe", b"one.test"),
            END,
        ],
    ),
    (b"Undisclosed recipients:;", [(None, None, b"Undisclosed recipients", None), END]),
    (
        b"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
        [(None, None, b"Hidden recipients", None), END],
    ),
    (b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [(b"Pete", None, b"pete", b"silly.test")]),
    # obsolete, appendix A.6
    (b"Joe Q. Public <john.q.public@example.com>", [(b"Joe Q. Public", None, b"john.q.public", b"example.com")]),
    (
        b'Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example',
        [(b"Mary Smith", b"@node.test", b"mary", b"example.net"), (None, None, b"jdoe", b"test.example")],
    ),
    (b"john . q . public @ example . com", [(None, None, b"john.q.public", b"example.com")]),
    (b"<@a,@b:c@d>", [(None, b"@a,@b", b"c", b"d")]),
]  # fmt: skip

REAL = [
    (b"a@b (Full Name)", [(b"Full Name", None, b"a", b"b")]),
    (b"(first) a@b (last)", [(b"last", None, b"a", b"b")]),
    (b"=?utf-8?Q?Foo,_Bar_(x)?= <a@b>", [(b"=?utf-8?Q?Foo,_Bar_(x)?=", None, b"a", b"b")]),
    (b'"john doe"@b', [(None, None, b"john doe", b"b")]),
    (b"a@[127.0.0.1]", [(None, None, b"a", b"[127.0.0.1]")]),
    (b"a@b;c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),  # Outlook's separator
    (b"foo@bar <foo@bar>", [(b"foo@bar", None, b"foo", b"bar")]),
    (b"b\xe9 <a@b>", [(b"b\xe9", None, b"a", b"b")]),
    (b'"" <a@b>', [(None, None, b"a", b"b")]),
    (b'"x"  "y" z <a@b>', [(b"x y z", None, b"a", b"b")]),
    (b"a:b@c;, d@e", [(None, None, b"a", None), (None, None, b"b", b"c"), END, (None, None, b"d", b"e")]),
]

BROKEN = [
    (b"foo", [(None, None, b"foo", D)]),
    (b"Foo Bar", [(b"Foo Bar", None, L, D)]),
    (b"Foo <>", [(b"Foo", None, L, D)]),
    (b"<a>", [(None, None, b"a", D)]),
    (b"a@", [(None, None, b"a", D)]),
    (b"@b", [(None, None, L, b"b")]),
    (b"a b@c", [(b"a", None, b"b", b"c")]),
    # D3: of several `@` the last one is where mail would go; nothing of the rest is hidden
    (b"a@good.example@evil.example", [(None, None, b"a@good.example", b"evil.example")]),
    (b"<a@good.example@evil.example>", [(None, None, b"a@good.example", b"evil.example")]),
    (b'"a@good.example" <x@evil.example>', [(b"a@good.example", None, b"x", b"evil.example")]),
    (b"<a@b>, <c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
    (b"<a@b, <c@d>", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
    (b'"unterminated <a@b>', [(None, None, b"unterminated <a@b>", D)]),
    (b"(unterminated a@b", []),
    (b"<a@b> trailing", [(None, None, b"a", b"b")]),
    (b"a:b:c;;", [(None, None, b"a", None), (None, None, b"b", D), (None, None, b"c", D), END]),
    (b"group: a@b", [(None, None, b"group", None), (None, None, b"a", b"b"), END]),  # never closed
    (b":;", [(None, None, b"", None), END]),
    (b";,;", []),
    (b",,,", []),
    (b"", []),
    (b"   ", []),
    (b"\x00\x01\x7f\\", []),
    (b"a\x00b@c", [(b"a", None, b"b", b"c")]),
]


@pytest.mark.parametrize(("value", "entries"), RFC_5322 + REAL + BROKEN)
def test_an_address_list_is_read(value: bytes, entries: list[tuple[bytes | None, ...]]) -> None:
    assert [tuple(entry) for entry in parse_address_list(value)] == entries


@pytest.mark.parametrize("unit", [b"a@b, ", b"Foo <a@b>, ", b'"x\\"" <a@b>, ', b"g: a@b;, "])
def test_a_long_list_is_cut_at_the_token_limit(unit: bytes) -> None:
    whole = parse_address_list(unit * 50, max_tokens=100_000)
    cut = parse_address_list(unit * MAX_ADDRESSES)
    assert len(whole) >= 50
    assert 500 < len(cut) <= MAX_ADDRESSES
    assert cut[:40] == whole[:40]


def test_a_group_cut_by_the_limit_is_still_closed() -> None:
    entries = parse_address_list(b"g:" + b"a@b," * 10, max_tokens=9)
    assert entries[0] == Mailbox(None, None, b"g", None)
    assert entries[-1] == Mailbox(None, None, None, None)
