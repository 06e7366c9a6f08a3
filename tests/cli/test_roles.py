"""Which services a role is made of, and that they are given what they need."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ingest.reverse import ReverseNames
from ingest.service import IngestService
from merpati.cli.roles import services_of
from merpati.components import Components
from merpati.settings import Settings, UpkeepSettings
from merpati.upkeep.rounds import Rounds

ROLES = [
    ("ingest", ["directory", "processors/edge", "ingest"]),
    ("processors", ["directory", "lag", "processors"]),
    ("delivery", ["directory", "lag", "delivery/local", "delivery/remote", "upkeep"]),
    ("access", ["directory", "access"]),
]


def settings(folder: Path) -> Settings:
    return Settings(data=str(folder), hostname="mx.example.org")


@pytest.mark.parametrize(("role", "names"), ROLES, ids=[role for role, _ in ROLES])
async def test_a_role_is_made_of_its_services(tmp_path: Path, role: str, names: list[str]) -> None:
    async with Components(settings(tmp_path)) as parts:
        assert [service.name for service in services_of(frozenset({role}), parts)] == names


async def test_the_doors_look_up_who_a_client_is(tmp_path: Path) -> None:
    async with Components(settings(tmp_path)) as parts:
        [doors] = [one for one in services_of(frozenset({"ingest"}), parts) if isinstance(one, IngestService)]
        assert isinstance(doors._house.reverse, ReverseNames)


async def test_upkeep_looks_at_every_log_once_in_the_time_that_is_set(tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(settings(tmp_path), upkeep=UpkeepSettings(every="12h"))
    async with Components(wanted) as parts:
        await parts.directory.add_domain("example.org")
        await parts.directory.add_account("ann@example.org", "")
        [upkeep] = [one for one in services_of(frozenset({"delivery"}), parts) if isinstance(one, Rounds)]
        assert upkeep._every == 12 * 3600
        week = 7 * 12 * 3600.0
        chores = {chore.name: chore.every for chore in upkeep._chores}
        assert chores == {"removed": 3600.0, "blobs": week, "leftovers": week}
        for chore in upkeep._chores:
            await chore.run()
        await upkeep.round()
        text = parts.metrics.render().decode()
        assert 'merpati_upkeep_logs_total{log="mailbox",outcome="nothing"} 1.0' in text
        assert 'merpati_upkeep_logs_total{log="directory",outcome="nothing"} 2.0' in text
