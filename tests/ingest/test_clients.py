"""Who the client is: the PROXY header of a trusted proxy, the verified name of an address."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingest.reverse import GOOD_FOR, ReverseNames
from merpati.clock import ManualClock
from merpati.errors import Temporary
from merpati.ids import SeededDice
from merpati.net.addresses import parse_networks
from merpati.net.dns import Answer, Kind, Resolver, StaticResolver
from tests.ingest.world import MESSAGE, world

ZONES = {
    "1.2.0.192.in-addr.arpa": {"PTR": ["liar.test", "good.test"]},
    "liar.test": {"A": ["192.0.2.9"]},
    "good.test": {"A": ["192.0.2.1"]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["liar.test"]},
    "3.2.0.192.in-addr.arpa": {"*": []},
    "4.2.0.192.in-addr.arpa": {"PTR": ["absent.test"]},
}

NAMES = [("192.0.2.1", "good.test"), ("192.0.2.2", ""), ("192.0.2.4", ""), ("192.0.2.5", ""), ("127.0.0.1", "")]


@pytest.mark.parametrize(("ip", "name"), NAMES)
async def test_a_name_is_told_if_it_leads_back(ip: str, name: str) -> None:
    assert await ReverseNames(StaticResolver(ZONES, SeededDice(1)), ManualClock())(ip) == name


async def test_no_answer_is_not_no_name() -> None:
    with pytest.raises(Temporary):
        await ReverseNames(StaticResolver(ZONES, SeededDice(1)), ManualClock())("192.0.2.3")


class Silent(Resolver):
    """A resolver whose servers never answer."""

    async def lookup(self, name: str, kind: Kind) -> Answer:
        return await asyncio.Future()


async def test_an_answer_is_not_waited_for_for_ever() -> None:
    with pytest.raises(Temporary, match="in time"):
        async with asyncio.timeout(5):
            await ReverseNames(Silent(SeededDice(1)), ManualClock(), within=0.01)("192.0.2.1")


async def test_a_name_is_asked_for_again_after_a_while() -> None:
    zones = {name: dict(kinds) for name, kinds in ZONES.items()}
    clock = ManualClock()
    names = ReverseNames(StaticResolver(zones, SeededDice(1)), clock)
    assert await names("192.0.2.1") == "good.test"
    zones["good.test"]["A"] = ["192.0.2.7"]
    names._resolver = StaticResolver(zones, SeededDice(1))
    assert await names("192.0.2.1") == "good.test"
    await clock.advance(GOOD_FOR + 1)
    assert await names("192.0.2.1") == ""


async def test_a_trusted_proxy_tells_who_the_client_is(tmp_path: Path) -> None:
    async with world(tmp_path, proxy_networks=parse_networks(["127.0.0.0/8"])) as here:
        talk = await here.talk(greet=False)
        await talk.send(b"PROXY TCP4 192.0.2.44 192.0.2.1 5000 25\r\n")
        assert (await talk.reply()).startswith("220")
        await talk.say("EHLO client.test")
        await talk.hand_in(MESSAGE)
        [(received, _)] = await here.received()
        assert received.envelope.client.ip == "192.0.2.44"
        assert "[192.0.2.44]" in received.prefix


async def test_what_is_no_proxy_header_is_not_answered(tmp_path: Path) -> None:
    async with world(tmp_path, proxy_networks=parse_networks(["127.0.0.0/8"])) as here:
        talk = await here.talk(greet=False)
        await talk.send(b"EHLO client.test\r\n")
        assert await talk.reply() == ""


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await here.talk()
        await talk.say("EHLO client.test")
        await talk.say("RCPT TO:<x>")
        await talk.hand_in(MESSAGE)
        await talk.say("QUIT")
        talk.close()
        await asyncio.sleep(0.1)
        text = here.metrics.render().decode()
        for line in (
            'merpati_accepted_messages_total{door="mx"} 1.0',
            f'merpati_accepted_bytes_total{{door="mx"}} {float(len(MESSAGE))}',
            'merpati_refused_commands_total{code="503",door="mx"} 1.0',
            'merpati_connections_total{outcome="accepted",protocol="mx"} 1.0',
            'merpati_sessions{protocol="mx"} 0.0',
            'merpati_accept_seconds_count{door="mx"} 1.0',
        ):
            assert line in text, line
