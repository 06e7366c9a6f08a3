"""What the commands for a mailbox share: its address, a time, and opening it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from merpati.cli.common import load_settings, print_json, say
from merpati.cli.trace import moment
from merpati.components import Components
from merpati.errors import Permanent
from merpati.log.api import Tip
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.state import MailState

app = typer.Typer(no_args_is_help=True, help="Mailboxes: their history, their past, their upkeep.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain")]
At = Annotated[str, typer.Option(metavar="T", help="As of a span ago (2h, 3d) or an ISO 8601 time.")]
Number = Annotated[int, typer.Option("--commit", metavar="N", help="As of a commit.")]
FolderName = Annotated[str, typer.Option(metavar="NAME", help="Only this folder.")]


@asynccontextmanager
async def mailbox(config: str | None, address: str) -> AsyncIterator[MailAccount]:
    async with Components(load_settings(config)) as parts:
        entry = await parts.directory.account(address)
        if entry is None:
            raise Permanent(f"no account {address}")
        yield parts.mailboxes.account(entry.id)


async def past_of(account: MailAccount, at: str, commit: int) -> Tip[MailState]:
    """The state that is asked for: the present one if neither a time nor a commit is named."""
    if at and commit:
        raise Permanent("--at and --commit do not go together")
    travel = Travel(account.log.reader)
    if not at and not commit:
        await account.refresh()
        assert account.log.tip is not None
        return account.log.tip
    return await travel.state_at(commit or await travel.number_at(moment(at)))


def when(seconds_since_1970: float) -> str:
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="seconds")


def tell(done: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        say("  ".join(f"{name} {count}" for name, count in done.items()))
