"""`merpati check`: read the settings, reach every dependency, say what is wrong.  Exit status 1 if anything is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import typer

from merpati.cli.common import ConfigOption, JsonOption, load_settings, out, print_json, run, say
from merpati.components import Components
from merpati.errors import MerpatiError
from merpati.settings import Settings

PATIENCE = 15.0
"""Seconds that each dependency has to answer."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: `detail` says what it is, or what is wrong and what to do."""

    name: str
    good: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything, each on its own: one that fails hides no other."""
    parts = Components(settings)
    looks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("bus", parts.check_bus),
        ("store", parts.check_store),
        ("directory", parts.check_directory),
        ("tls", parts.check_tls),
        ("dns", parts.check_dns),
        ("processors", lambda: _processors(parts)),
    ]
    findings = [await _look(name, look) for name, look in looks]
    with suppress(MerpatiError):
        await parts.close()
    return findings


async def _processors(parts: Components) -> str:
    """Build every processor as `serve` would: wrong options show here."""
    from processors.names import Names
    from processors.registry import build_row

    settings = parts.settings
    for stage in ("edge", "stream"):
        row = build_row(
            settings.processors, stage, Names(parts.resolver), parts.clock, settings.hostname, parts.metrics
        )
        await row.start()
        await row.stop()
    return ", ".join(one.name or one.use for one in settings.processors) or "none configured"


async def _look(name: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            return Finding(name, True, await look())
    except TimeoutError:
        return Finding(name, False, f"no answer within {PATIENCE:.0f} s")
    except MerpatiError as failure:
        return Finding(name, False, str(failure))


def command(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read the settings, reach every dependency, and say what is wrong."""
    settings = load_settings(config)
    findings = run(examine(settings))
    if json:
        print_json(findings)
    for finding in findings if not json else ():
        mark = "[green]ok[/green]   " if finding.good else "[red]wrong[/red]"
        out.print(f"{mark} [bold]{finding.name:<11}[/bold]", end="")
        say(finding.detail)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
