"""The commands under their names.  A new command is one line here and a module beside this one."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import typer

from merpati import __version__
from merpati.cli import check, demo, directory, directory_mending, mailbox, serve, trace
from merpati.telemetry import configure_logging

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name="merpati",
    help="A mail backend that is one event log with doors.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"merpati {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    configure_logging(quiet=True)  # a command says itself what it did; `serve` logs what it does


app.command("demo")(demo.command)
app.command("serve")(serve.command)
app.command("check")(check.command)
app.command("trace")(trace.command)
directory.domain.command("verify")(directory_mending.verify)
directory.domain.command("rebuild")(directory_mending.rebuild)
app.add_typer(directory.domain, name="domain")
app.add_typer(directory.account, name="account")
app.add_typer(directory.alias, name="alias")
app.add_typer(mailbox.app, name="mailbox")


def main() -> None:
    """What the installed script `merpati` calls.  An output that cannot be written is no bug."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal's encoding lacks is shown as an escape
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where what is left in its buffer goes
        sys.stderr.write(f"merpati: the output cannot be written: {error.strerror}\n")
        sys.exit(1)
