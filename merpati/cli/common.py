"""What every command shares: `--config`, `--json`, running async code, and how a failure is told.

A failure the operator can do something about is one line on standard error and exit status 1; a bug is a traceback.
Subjects, names of folders and the like come from strangers: nothing that is printed is read for markup, and what a
terminal might obey is shown as U+FFFD.
"""

from __future__ import annotations

import asyncio
import os
import sys
import unicodedata
from collections.abc import Coroutine
from typing import Annotated, Any, TextIO, TypeVar

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.text import Text

from merpati import settings as settings_module
from merpati.errors import MerpatiError
from merpati.log.api import Damaged
from merpati.settings import Settings

T = TypeVar("T")

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Settings file; else $MERPATI_CONFIG, ./merpati.toml, defaults."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's controls, formats (they turn text around), lone surrogates, and what ends lines and paragraphs."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def harmless(text: str) -> str:
    """Text on one line, without what a terminal might obey."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(one) in HARMFUL else one for one in text)


def say(text: str, style: str = "", *, to: Console = out) -> None:
    """One line, whatever is in it."""
    to.print(Text(harmless(text), style))


def counted(many: int, thing: str, things: str = "") -> str:
    """`1 message`, `2 messages`."""
    return f"{many} {thing if many == 1 else things or f'{thing}s'}"


def print_line(line: Text, *, to: Console = out) -> None:
    """One line: cut at the edge of a terminal, whole where the output goes elsewhere."""
    if to.is_terminal:
        to.print(line, no_wrap=True, overflow="ellipsis", soft_wrap=False)
    else:
        to.print(line)


def load_settings(config: str | None) -> Settings:
    """The settings that a command works with; ends the process with status 1 and a plain line if they are wrong."""
    try:
        return settings_module.load(config, os.environ)
    except MerpatiError as failure:
        raise fail(failure) from None


def run(work: Coroutine[Any, Any, T], interrupted: str = "") -> T:
    """Run async work to its end; a `MerpatiError` becomes one line and exit status 1, Ctrl-C status 130.

    `interrupted`: what is to be known if it is broken off.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except MerpatiError as failure:
        raise fail(failure) from None
    except KeyboardInterrupt:
        if interrupted:
            say(f"merpati: interrupted; {interrupted}", to=err)
        raise typer.Exit(130) from None


def fail(failure: MerpatiError) -> typer.Exit:
    """Tell what went wrong and give the exit to raise."""
    err.print(Text.assemble(("merpati:", "red"), " ", harmless(failure.public)))
    for name, value in failure.facts.items():
        if value is not None and not isinstance(value, bool):  # those are for programs
            say(f"  {name}: {value}", to=err)
    if isinstance(failure, Damaged):
        say(
            "  `merpati mailbox verify`, or `merpati domain verify`, says what is lost by it, and `rebuild` mends",
            to=err,
        )
    return typer.Exit(1)


def print_json(value: object, *, aside: bool = False) -> None:
    """One JSON document and a new line on standard output, or on standard error if that has something else."""
    to = sys.stderr if aside else sys.stdout
    write_whole(to, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    to.flush()


def write_whole(to: TextIO, data: bytes) -> None:
    """All of it: with PYTHONUNBUFFERED the output is the file itself, which may take a part only."""
    rest = memoryview(data)
    while rest:
        rest = rest[to.buffer.write(rest) :]
