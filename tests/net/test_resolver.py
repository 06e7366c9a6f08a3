"""The rules of mail about names: one suite, for the table and for the network."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from merpati.clock import SystemClock
from merpati.errors import Permanent, Temporary
from merpati.ids import SeededDice, SystemDice
from merpati.net.dns import (
    MAX_MX,
    Answer,
    MxHost,
    Resolver,
    StaticResolver,
    TlsaRecord,
    ascii_name,
)
from merpati.net.dns_wire import NetworkResolver
from tests.net.dns_server import dns_serving

ZONES = {
    "example.org": {"MX": ["20 mx2.example.org", "10 MX1.example.org", "20 mx3.example.org"], "TXT": ["v=spf1 -all"]},
    "mx1.example.org": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "mx2.example.org": {"A": ["192.0.2.3"]},
    "mx3.example.org": {"AAAA": ["2001:db8::3"]},
    "null.example": {"MX": ["0 ."]},
    "half-null.example": {"MX": ["0 .", "10 mx2.example.org"]},
    "implicit.example": {"A": ["192.0.2.9"]},
    "implicit6.example": {"AAAA": ["2001:db8::9"]},
    "nothing.example": {"TXT": ["no mail here"]},
    "twice.example": {"MX": ["30 mx2.example.org", "10 mx2.example.org"]},
    "many.example": {"MX": [f"{i} h{i}.many.example" for i in range(100)]},
    "broken.example": {"*": ["SERVFAIL"]},
    "alias.example": {"CNAME": ["example.org"]},
    "dangling.example": {"CNAME": ["gone.example"]},
    "loop-a.example": {"CNAME": ["loop-b.example"]},
    "loop-b.example": {"CNAME": ["loop-a.example"]},
    "below.deep.example": {"A": ["192.0.2.10"]},
    "long.example": {"TXT": ["k=rsa; p=" + "A" * 700, "second"]},
    "bytes.example": {"TXT": ["grüße"]},
    "xn--bcher-kva.example": {"MX": ["5 mx2.example.org"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["Mail.Example.ORG"]},
    "8.b.d.0.1.0.0.2.ip6.arpa": {},
    "_25._tcp.mx1.example.org": {"TLSA": ["3 1 1 " + "ab" * 32]},
}


@pytest_asyncio.fixture(params=["static", "network"])
async def resolver(request: pytest.FixtureRequest) -> AsyncIterator[Resolver]:
    if request.param == "static":
        yield StaticResolver(ZONES, SystemDice())
        return
    async with dns_serving(ZONES) as server:
        network = NetworkResolver([server.endpoint], SystemClock(), SystemDice())
        yield network
        await network.close()


async def test_mx_hosts_come_by_preference_and_equal_ones_in_any_order(resolver: Resolver) -> None:
    orders = set()
    for _ in range(40):
        hosts = await resolver.mx("Example.ORG.")
        assert hosts[0] == MxHost(10, "mx1.example.org")
        assert {host.preference for host in hosts[1:]} == {20}
        orders.add(tuple(host.host for host in hosts[1:]))
    assert orders == {("mx2.example.org", "mx3.example.org"), ("mx3.example.org", "mx2.example.org")}


async def test_equal_dice_give_an_equal_order() -> None:
    for seed in range(5):
        one, other = (StaticResolver(ZONES, SeededDice(seed)) for _ in range(2))
        assert await one.mx("example.org") == await other.mx("example.org")


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("half-null.example", [MxHost(10, "mx2.example.org")]),
        ("implicit.example", [MxHost(0, "implicit.example")]),
        ("implicit6.example", [MxHost(0, "implicit6.example")]),
        ("below.deep.example.", [MxHost(0, "below.deep.example")]),
        ("twice.example", [MxHost(10, "mx2.example.org")]),
        ("many.example", [MxHost(i, f"h{i}.many.example") for i in range(MAX_MX)]),
        ("bücher.example", [MxHost(5, "mx2.example.org")]),
        ("BÜCHER.example", [MxHost(5, "mx2.example.org")]),
        ("localhost", None),
    ],
)
async def test_a_domain_has_its_hosts(resolver: Resolver, domain: str, hosts: list[MxHost] | None) -> None:
    if hosts is None:
        with pytest.raises(Permanent):
            await resolver.mx(domain)
    else:
        assert await resolver.mx(domain) == hosts


async def test_an_alias_has_the_hosts_of_what_it_stands_for(resolver: Resolver) -> None:
    assert (await resolver.mx("alias.example"))[0] == MxHost(10, "mx1.example.org")


@pytest.mark.parametrize(
    ("domain", "code", "enhanced"),
    [
        ("null.example", 556, "5.1.10"),
        ("absent.example", 550, "5.1.2"),
        ("dangling.example", 550, "5.1.2"),
        ("nothing.example", 550, "5.4.4"),
        ("deep.example", 550, "5.4.4"),  # there are names below it, and nothing else
        ("", 550, "5.1.2"),
        (".", 550, "5.1.2"),
        ("a..b", 550, "5.1.2"),
        (".a", 550, "5.1.2"),
        ("a" * 64 + ".example", 550, "5.1.2"),
        (".".join(["a" * 50] * 6), 550, "5.1.2"),
        ("a b.example", 550, "5.1.2"),
        ("a\0b.example", 550, "5.1.2"),
        ("a\\046b.example", 550, "5.1.2"),
        ("xn--\udcff.example", 550, "5.1.2"),
        ("☃\u202e.example", 550, "5.1.2"),
    ],
)
async def test_mail_that_can_never_go_is_permanent(resolver: Resolver, domain: str, code: int, enhanced: str) -> None:
    with pytest.raises(Permanent) as caught:
        await resolver.mx(domain)
    assert (caught.value.reply_code, caught.value.enhanced_code) == (code, enhanced)
    assert caught.value.public.isascii()


@pytest.mark.parametrize("domain", ["broken.example", "loop-a.example"])
async def test_no_answer_is_temporary(resolver: Resolver, domain: str) -> None:
    for ask in (resolver.mx, resolver.addresses, resolver.txt):
        with pytest.raises(Temporary) as caught:
            await ask(domain)
        assert caught.value.enhanced_code == "4.4.3"


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("mx2.example.org", {"192.0.2.3"}),
        ("mx3.example.org", {"2001:db8::3"}),
        ("mx1.example.org", {"192.0.2.1", "192.0.2.2", "2001:db8::1"}),
        ("192.0.2.77", {"192.0.2.77"}),
        ("2001:db8::77", {"2001:db8::77"}),
        ("localhost", {"127.0.0.1", "::1"}),
        ("db.LOCALHOST.", {"127.0.0.1", "::1"}),
    ],
)
async def test_a_host_has_its_addresses(resolver: Resolver, host: str, addresses: set[str]) -> None:
    assert set(await resolver.addresses(host)) == addresses


async def test_the_families_take_turns(resolver: Resolver) -> None:
    found = await resolver.addresses("mx1.example.org")
    assert [":" in address for address in found] == [False, True, False]


@pytest.mark.parametrize(("host", "enhanced"), [("absent.example", "5.1.2"), ("nothing.example", "5.4.4")])
async def test_a_host_without_an_address_is_permanent(resolver: Resolver, host: str, enhanced: str) -> None:
    with pytest.raises(Permanent) as caught:
        await resolver.addresses(host)
    assert caught.value.enhanced_code == enhanced


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("example.org", [b"v=spf1 -all"]),
        ("alias.example", [b"v=spf1 -all"]),
        ("bytes.example", ["grüße".encode()]),
        ("implicit.example", []),
        ("absent.example", []),
    ],
)
async def test_txt_records_are_bytes(resolver: Resolver, name: str, records: list[bytes]) -> None:
    assert await resolver.txt(name) == records


async def test_the_strings_of_a_txt_record_are_joined(resolver: Resolver) -> None:
    assert sorted(await resolver.txt("long.example")) == [b"k=rsa; p=" + b"A" * 700, b"second"]


async def test_a_name_that_is_not_there_differs_from_one_without_such_records(resolver: Resolver) -> None:
    absent, empty = await resolver.lookup("absent.example", "TXT"), await resolver.lookup("implicit.example", "TXT")
    assert (absent.records, absent.exists) == ((), False)
    assert (empty.records, empty.exists) == ((), True)


async def test_an_address_has_names(resolver: Resolver) -> None:
    assert await resolver.ptr("192.0.2.7") == ["mail.example.org"]
    assert await resolver.ptr("192.0.2.8") == []
    assert await resolver.ptr("2001:db8::1") == []


async def test_tlsa_records_say_whether_they_are_to_be_believed(resolver: Resolver) -> None:
    answer = await resolver.tlsa("mx1.example.org", 25)
    assert answer.records == (TlsaRecord(3, 1, 1, b"\xab" * 32),)
    assert answer.authenticated is False


async def test_a_signed_table_says_so() -> None:
    signed = StaticResolver(ZONES, SystemDice(), authenticated=True)
    assert (await signed.tlsa("mx1.example.org", 25)).authenticated
    assert await signed.lookup("absent.example", "MX") == Answer(exists=False, authenticated=True)


def test_a_name_is_read_once() -> None:
    assert ascii_name("Straße.Example.") == "xn--strae-oqa.example", "IDNA 2008, not 2003"
    assert ascii_name("_dmarc.example.org") == "_dmarc.example.org"
