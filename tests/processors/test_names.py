"""Looking names up from a processor: no record is no failure, no answer is one."""

import pytest

from merpati.errors import Temporary
from merpati.ids import SeededDice
from merpati.net.dns import StaticResolver
from processors.names import Names

ZONE = {
    "example.org": {"TXT": ["v=spf1 -all"], "MX": ["20 b.example.org", "10 a.example.org"], "A": ["192.0.2.1"]},
    "null.example": {"MX": ["0 ."]},
    "broken.example": {"*": []},
    "1.2.0.192.in-addr.arpa": {"PTR": ["a.example.org"]},
}


@pytest.fixture
def names() -> Names:
    return Names(StaticResolver(ZONE, SeededDice(1)))


async def test_records_are_found(names: Names) -> None:
    assert await names.txt("example.org") == [b"v=spf1 -all"]
    assert await names.mx("example.org") == [(10, "a.example.org"), (20, "b.example.org")]
    assert await names.mx("null.example") == [(0, "")]
    assert await names.addresses("example.org") == ["192.0.2.1"]
    assert await names.names("192.0.2.1") == ["a.example.org"]


@pytest.mark.parametrize("name", ["none.example", "", "a..b", "x" * 300, "\r\n", "\ud800"])
async def test_what_is_not_there_is_empty(names: Names, name: str) -> None:
    assert await names.txt(name) == [] and await names.mx(name) == [] and await names.addresses(name) == []
    assert await names.names(name) == []


async def test_no_answer_is_a_temporary_failure(names: Names) -> None:
    for look in (names.txt, names.mx, names.addresses):
        with pytest.raises(Temporary):
            await look("broken.example")
