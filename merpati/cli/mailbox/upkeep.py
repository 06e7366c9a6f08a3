"""`merpati mailbox compact|vacuum ADDRESS`: what is done by itself too, done now."""

from __future__ import annotations

from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, run
from merpati.cli.mailbox.common import Address, app, mailbox, tell
from merpati.errors import Permanent
from merpati.settings import UNITS, seconds


@app.command("compact")
def compact(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Move mail out of commits into packs, and delete commits that were moved more than an hour ago."""

    async def work() -> dict[str, int]:
        async with mailbox(config, address) as account:
            done = await account.compact()
            return {"commits": done.commits, "packs": done.packs, "deleted": done.deleted}

    tell(run(work()), json)


@app.command("vacuum")
def vacuum(
    address: Address,
    keep: Annotated[str, typer.Option(metavar="SPAN", help="Keep what the states of this span need.")] = "7d",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Remove what no state in the window needs."""

    async def work() -> dict[str, int]:
        if keep[-1:] not in UNITS or not keep[:-1].isdigit():
            raise Permanent(f"{keep} is no span such as 7d")
        async with mailbox(config, address) as account:
            packs = await account.reclaim(seconds(keep))
            done = await account.vacuum(seconds(keep))
            return {"packs": packs, "snapshots": done.snapshots, "objects": done.objects, "bytes": done.bytes}

    tell(run(work()), json)
