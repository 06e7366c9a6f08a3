"""What servers do to those who ask them: silence, lies, cut answers; and what is remembered."""

import asyncio
import socket

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Temporary
from merpati.ids import SystemDice
from merpati.net.addresses import Endpoint
from merpati.net.dns_wire import DnsLimits, NetworkResolver
from tests.net.dns_server import DnsServer, dns_serving

ZONES = {
    "host.example": {"A": ["192.0.2.1"], "TXT": ["t" * 3000]},
    "other.example": {"A": ["192.0.2.2"]},
    "empty.example": {},
    "broken.example": {"*": ["SERVFAIL"]},
    **{f"n{i}.example": {"A": [f"192.0.2.{i}"]} for i in range(20)},
}
QUICK = DnsLimits(attempt=0.2, lifetime=0.5)


def resolver_of(*servers: DnsServer, limits: DnsLimits = QUICK) -> NetworkResolver:
    return NetworkResolver([server.endpoint for server in servers], SystemClock(), SystemDice(), limits)


@pytest.mark.parametrize("fault", ["timeout", "refused", "garbage", "empty", "truncated and no tcp"])
async def test_a_server_that_does_not_answer_is_temporary_and_takes_its_time_only(fault: str) -> None:
    async with dns_serving(ZONES, {"host.example": fault}) as server:
        resolver = resolver_of(server)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Temporary) as caught:
            await resolver.mx("host.example")
        assert asyncio.get_running_loop().time() - began < 2
        assert caught.value.enhanced_code == "4.4.3"
        assert caught.value.facts["reason"]
        assert await resolver.addresses("other.example") == ["192.0.2.2"]


async def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    async with dns_serving(ZONES, {"host.example": "truncated"}) as server:
        assert (await resolver_of(server).lookup("host.example", "A")).records == ("192.0.2.1",)
        assert server.asked == [("udp", "host.example", "A"), ("tcp", "host.example", "A")]


async def test_forged_answers_are_passed_over() -> None:
    async with dns_serving(ZONES, {"host.example": "forged first"}) as server:
        assert (await resolver_of(server).lookup("host.example", "A")).records == ("192.0.2.1",)


async def test_answers_to_questions_nobody_asked_are_not_remembered() -> None:
    async with dns_serving(ZONES, {"host.example": "extra answers"}) as server:
        resolver = resolver_of(server)
        assert (await resolver.lookup("host.example", "A")).records == ("192.0.2.1",)
        assert not (await resolver.lookup("bank.example", "A")).exists


async def test_the_next_server_is_asked_when_one_fails() -> None:
    silent = {"host.example": "timeout", "other.example": "refused"}
    async with dns_serving(ZONES, silent) as bad, dns_serving(ZONES) as good:
        resolver = resolver_of(bad, good)
        assert (await resolver.lookup("host.example", "A")).records == ("192.0.2.1",)
        assert (await resolver.lookup("other.example", "A")).records == ("192.0.2.2",)


async def test_a_port_where_nobody_listens_is_temporary() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Endpoint("127.0.0.1", unused.getsockname()[1])
    resolver = NetworkResolver([nobody], SystemClock(), SystemDice(), QUICK)
    with pytest.raises(Temporary):
        await resolver.txt("host.example")


async def test_an_answer_is_remembered_for_its_time() -> None:
    clock = ManualClock()
    async with dns_serving(ZONES, ttl=100) as server:
        resolver = NetworkResolver([server.endpoint], clock, SystemDice())
        for wait, asked in [(0, 1), (99, 1), (2, 2), (50, 2)]:
            await clock.advance(wait)
            assert (await resolver.lookup("host.example", "A")).records == ("192.0.2.1",)
            assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("name", "ttl", "seconds"),
    [
        ("empty.example", 40, 40),
        ("absent.example", 40, 40),
        ("absent.example", 86_400, 300),  # DnsLimits.longest_negative
        ("broken.example", 86_400, 5),  # DnsLimits.failure
        ("host.example", 1_000_000, 86_400),  # DnsLimits.longest
    ],
)
async def test_what_is_not_there_is_remembered_too_but_not_for_long(name: str, ttl: int, seconds: int) -> None:
    clock = ManualClock()
    async with dns_serving(ZONES, ttl=ttl) as server:
        resolver = NetworkResolver([server.endpoint], clock, SystemDice())

        async def ask() -> int:
            try:
                await resolver.lookup(name, "A")
            except Temporary:
                pass
            return len(server.asked)

        asked = await ask()
        await clock.advance(seconds - 1)
        assert await ask() == asked
        await clock.advance(2)
        assert await ask() > asked


async def test_a_ttl_of_zero_is_not_remembered() -> None:
    async with dns_serving(ZONES, ttl=0) as server:
        resolver = resolver_of(server)
        for asked in (1, 2):
            await resolver.lookup("host.example", "A")
            assert len(server.asked) == asked


async def test_memory_is_bounded_in_number_and_size() -> None:
    async with dns_serving(ZONES) as server:
        resolver = resolver_of(server, limits=DnsLimits(entries=5, entry_size=1000))
        for i in range(20):
            await resolver.lookup(f"n{i}.example", "A")
        assert len(resolver._memory._entries) == 5
        asked = len(server.asked)
        await resolver.lookup("n19.example", "A")
        assert len(server.asked) == asked, "the youngest are kept"
        for more in (1, 2):
            assert len((await resolver.lookup("host.example", "TXT")).records[0]) == 3000  # type: ignore[arg-type]
            assert [name for _, name, _ in server.asked].count("host.example") == more, "too big to remember"


async def test_a_question_many_wait_for_is_asked_once() -> None:
    async with dns_serving(ZONES) as server:
        resolver = resolver_of(server)
        answers = await asyncio.gather(*(resolver.lookup("host.example", "A") for _ in range(50)))
        assert {answer.records for answer in answers} == {("192.0.2.1",)}
        assert len(server.asked) == 1


async def test_one_who_stops_waiting_takes_the_answer_from_nobody() -> None:
    async with dns_serving(ZONES) as server:
        resolver = resolver_of(server)
        impatient = asyncio.create_task(resolver.lookup("host.example", "A"))
        patient = asyncio.create_task(resolver.lookup("host.example", "A"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).records == ("192.0.2.1",)


async def test_what_the_resolver_checked_is_said() -> None:
    async with dns_serving(ZONES) as server:
        server.authenticated = True
        assert (await resolver_of(server).lookup("host.example", "A")).authenticated


async def test_the_system_is_asked_when_no_server_is_named() -> None:
    resolver = NetworkResolver([], SystemClock(), SystemDice())
    assert resolver._stub.nameservers
    assert await resolver.addresses("localhost") == ["127.0.0.1", "::1"]
