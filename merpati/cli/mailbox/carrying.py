"""`merpati mailbox export|import ADDRESS FOLDER`: mailboxes out of and into other forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, run
from merpati.cli.mailbox.common import Address, app, mailbox, tell
from merpati.mailbox.account import MailAccount
from merpati.mailbox.maildir import Carried, exported, imported


@app.command("export")
def export(
    address: Address,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A Maildir to be made.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write a mailbox out as a Maildir with its folders, flags and dates."""
    _carry(exported, address, target, config, json)


@app.command("import")
def import_(
    address: Address,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A Maildir.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Append what is in a Maildir; doing it again adds only what is new."""
    _carry(imported, address, source, config, json)


def _carry(
    carry: Callable[[MailAccount, Path], Awaitable[Carried]],
    address: str,
    folder: Path,
    config: str | None,
    as_json: bool,
) -> None:
    async def work() -> Carried:
        async with mailbox(config, address) as account:
            return await carry(account, folder)

    done = run(work())
    tell({"folders": done.folders, "messages": done.messages, "lost": done.lost}, as_json)
    if done.lost:
        raise typer.Exit(1)
