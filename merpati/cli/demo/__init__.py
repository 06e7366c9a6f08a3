"""`merpati demo`: the way of an e-mail, live: two servers on loopback, a message at each step of its way, hop by hop.

`stage` sets the two servers up, `acts` is what happens, `clients` are the mail clients that act, `plugin` the processor
that the receiving server runs, `hops` follows what happens, `show` prints.
"""

from __future__ import annotations

from typing import Annotated

import typer

from merpati.cli.common import run

__all__ = ["command"]


def command(
    once: Annotated[bool, typer.Option("--once", help="End after the last hop; exit status 1 if any failed.")] = False,
) -> None:
    """Two servers on loopback and one message along the whole way, shown hop by hop."""
    from merpati.cli.demo.acts import demo  # the issuer and the clients: what other commands need not load

    raise typer.Exit(run(demo(once)))
