"""`merpati domain verify|rebuild [DOMAIN]`: whether a directory is whole, and making it anew from its log.

Without a domain: the list of the domains, which is a log of its own.
"""

from __future__ import annotations

from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, load_settings, print_json, run, say
from merpati.components import Components
from merpati.directory.editing import INSTALLATION, log_of
from merpati.directory.fold import DirectoryFold
from merpati.directory.rebuilding import rebuilt
from merpati.directory.state import DirectoryChange, DirectoryState
from merpati.errors import Permanent
from merpati.log import layout
from merpati.log.commit_log import CommitLog
from merpati.log.findings import Finding
from merpati.log.rebuilding import WRITER, Remade
from merpati.log.verifying import verified
from merpati.message.addresses import normalise_domain

Domain = Annotated[str, typer.Argument(metavar="[DOMAIN]", help="Its accounts and aliases; else the list of domains.")]


async def _log(parts: Components, domain: str) -> CommitLog[DirectoryState, DirectoryChange]:
    """Opened by its id, which follows from the domain: the directory itself may be what is damaged."""
    name = normalise_domain(domain) if domain else ""
    where = layout.log_of(log_of(name) if name else INSTALLATION)
    empty = name and await anext(parts.store.list(f"{where.prefix}/"), None) is None
    if empty and name not in [entry.name for entry in await parts.directory.domains()]:
        raise Permanent(f"no domain {name}")  # else a mistyped name is found in order, and a log made for it
    return CommitLog(parts.store, where, DirectoryFold(), clock=parts.clock, dice=parts.dice, writer=WRITER)


def verify(domain: Domain = "", config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read everything of a directory and say what is wrong; exit status 1 if anything is."""

    async def work() -> list[Finding]:
        async with Components(load_settings(config)).on_store(cached=False) as parts:
            return await verified((await _log(parts, domain)).reader)

    wrong = run(work())
    if json:
        print_json({"wrong": wrong})
    else:
        for each in wrong:
            say(str(each), "red")
        say("nothing is wrong" if not wrong else f"{len(wrong)} findings")
    if wrong:
        raise typer.Exit(1)


def rebuild(domain: Domain = "", config: ConfigOption = None, json: JsonOption = False) -> None:
    """Make a directory anew from its log, around damage.  Nothing is written over; status 1 if anything is lost."""

    async def work() -> Remade[DirectoryState]:
        async with Components(load_settings(config)).on_store(cached=False) as parts:
            return await rebuilt(await _log(parts, domain))

    done = run(work())
    if json:
        print_json({"commit": done.tip.number, "exact": done.exact, "lost": done.lost, "damaged": done.damaged})
    else:
        how = "as it was" if done.exact else "around damage"
        say(f"{how}, in a snapshot at commit {done.tip.number}")
        for each in done.lost:
            say(f"lost: {each}", "red")
    if done.lost:
        raise typer.Exit(1)
