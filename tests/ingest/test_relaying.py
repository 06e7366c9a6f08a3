"""Whom mail is taken for at the doors that take it from strangers: our own users, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.limits import Limits
from tests.ingest.directory import MemoryDirectory
from tests.ingest.world import world

# HOSTILE R1: `here` is ours, `ext` is not
STRANGERS = [
    "<u@ext.test>",
    "<ann%ext.test@here.test>",
    "<@here.test:u@ext.test>",
    '<"u@ext.test"@here.test>',
    '<"u%ext.test">',
    "<u@ext.test@here.test>",
    "<ext.test!u>",
    "<ext.test!u@here.test>",
    "<u@[127.0.0.1]>",
    "<u@127.0.0.1>",
    "<u@ext.test.>",
    "<U@EXT.TEST>",
    "<u@xn--e1afmkfd.test>",
    "<u\uff20ext.test>",
    "<u@\u0435xt.test>",
    "<>",
    "<u@>",
    "<@ext.test>",
    "<postmaster@ext.test>",
    "u@ext.test",
]


@pytest.mark.parametrize("door", ["mx", "lmtp"])
async def test_nobody_relays(door: str, tmp_path: Path) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_errors=1000)) as here:
        talk = await here.talk(door)
        await talk.say("LHLO c.test" if door == "lmtp" else "EHLO c.test")
        for sender in ("<>", "<ann@here.test>", "<a@b.test> SMTPUTF8"):
            await talk.say("RSET")
            assert (await talk.say(f"MAIL FROM:{sender}")).startswith("250")
            for stranger in STRANGERS:
                assert (await talk.say(f"RCPT TO:{stranger}")).startswith("5"), stranger
            assert (await talk.say("DATA")).startswith("554")


OURS = [
    "<postmaster>",
    "<Postmaster>",
    "<ANN@HERE.TEST>",
    "<ann+tag@here.test>",
    "<ann@here.test.>",
    "<@x.test:ann@here.test>",
]


async def test_local_names_are_taken_however_they_are_written(tmp_path: Path) -> None:
    people = MemoryDirectory("ann@here.test", "postmaster@here.test")
    async with world(tmp_path, directory=people) as here:
        talk = await here.talk()
        await talk.say("EHLO c.test")
        assert (await talk.hand_in(b"\r\n", *(name[1:-1] for name in OURS))).startswith("250")
        [(received, _)] = await here.received()
        assert [each.address for each in received.envelope.recipients] == [
            "postmaster@here.test",
            "ANN@here.test",
            "ann+tag@here.test",
            "ann@here.test",
        ]
