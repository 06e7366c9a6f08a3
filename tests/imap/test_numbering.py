"""Two devices do what they like; each, believing only what it was told, must always agree with the server."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.access.world import Client, message, world

EXISTS = re.compile(rb"\* (\d+) EXISTS\Z")
EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE\Z")
FLAGGED = re.compile(rb"\* (\d+) FETCH \(UID (\d+) FLAGS \(([^)]*)\)")

ACTIONS = [
    r"STORE {n} +FLAGS (\Flagged)",
    r"STORE {n} -FLAGS (\Flagged \Seen)",
    r"STORE {n} +FLAGS.SILENT (\Seen)",
    r"STORE {n} FLAGS.SILENT (Work{m})",
    r"STORE {n} +FLAGS.SILENT (\Deleted)",
    "FETCH {n} (UID FLAGS BODY[])",
    "SEARCH UNSEEN",
    "UID SEARCH ALL",
    "COPY {n} INBOX",
    "MOVE {n} INBOX",
    "EXPUNGE",
    "NOOP",
]


class Device:
    """What one client believes: the UID and flags of each number, as far as it was told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rows: list[tuple[int, frozenset[bytes]] | None] = []

    async def act(self, dice: random.Random) -> None:
        action = dice.choice(ACTIONS)
        if "{n}" in action and not self.rows:
            action = "NOOP"
        number = dice.randint(1, max(1, len(self.rows)))
        lines = await self.client.ok(action.format(n=number, m=dice.randint(1, 3)))
        if ".SILENT" in action:
            self.rows[number - 1] = None  # nobody tells what it has now, and `check` asks
        self.hear(lines)

    def hear(self, lines: list[bytes]) -> None:
        for line in lines:
            if found := EXISTS.match(line):
                assert int(found[1]) >= len(self.rows)
                self.rows += [None] * (int(found[1]) - len(self.rows))
            elif found := EXPUNGE.match(line):
                del self.rows[int(found[1]) - 1]
            elif found := FLAGGED.match(line):
                self.rows[int(found[1]) - 1] = int(found[2]), frozenset(found[3].split())

    async def check(self) -> None:
        """What it believes is so."""
        before = list(self.rows)
        self.hear(await self.client.ok("NOOP"))
        believed = list(self.rows)
        lines = await self.client.ok("FETCH 1:* (UID FLAGS)") if believed else []
        assert len(lines) == len(believed), (before, believed, lines)
        for row, line in zip(believed, lines, strict=True):
            found = FLAGGED.match(line)
            assert found is not None, line
            assert row is None or row == (int(found[2]), frozenset(found[3].split())), (row, line)
        self.hear(lines)


@pytest.mark.parametrize("seed", range(12))
async def test_what_a_device_was_told_is_what_is_there(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with world(tmp_path, nodes=2) as here:
        await here.deliver(*[message(str(number)) for number in range(4)])
        devices = [Device(await here.imap(select="INBOX", node=node)) for node in (0, 1, 1)]
        for device in devices:
            device.rows = [None] * 4
        for _ in range(60):
            device = dice.choice(devices)
            await device.act(dice)
            if dice.random() < 0.2:
                await device.check()
        for device in devices:
            await device.check()
        uids = [[row and row[0] for row in device.rows] for device in devices]
        assert uids[0] == uids[1] == uids[2]
