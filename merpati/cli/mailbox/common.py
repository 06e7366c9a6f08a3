"""What the commands for a mailbox share: its address, a time, and opening it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from merpati.cli.common import load_settings, print_json, say
from merpati.cli.progress import progress, requests_in
from merpati.cli.trace import moment
from merpati.clock import SystemClock
from merpati.components import Components
from merpati.directory.log_directory import LogDirectory
from merpati.errors import Permanent
from merpati.log.api import EMPTY, Commit, Tip
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.state import MailState

app = typer.Typer(no_args_is_help=True, help="Mailboxes: their history, their past, their upkeep.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain")]
At = Annotated[
    str, typer.Option(metavar="T", help="As of a span ago (2h, 3d) or an ISO 8601 time (UTC, unless it has a zone).")
]
Number = Annotated[
    int | None, typer.Option("--commit", metavar="N", min=1, help="As of a commit, as `mailbox log` numbers them.")
]
FolderName = Annotated[str, typer.Option(metavar="NAME", help="Only this folder.")]


@asynccontextmanager
async def mailbox(
    config: str | None, address: str, says: Callable[[], str] | None = None, *, cached: bool = True
) -> AsyncIterator[MailAccount]:
    """The mailbox of an address; `says` tells how far the work on it has come, else the requests to the store do."""
    async with Components(load_settings(config)).on_store(cached=cached) as parts:
        entry = await parts.directory.account(address)
        if entry is None:
            raise await _missing(parts.directory, address)
        async with progress(says or partial(requests_in, parts.metrics), parts.clock):
            yield parts.mailboxes.account(entry.id)


async def _missing(directory: LogDirectory, address: str) -> Permanent:
    """Why there is no such account, as far as the directory knows."""
    wanted = address.lower()
    for alias in await directory.aliases():
        if alias.address == wanted:
            return Permanent(f"{address} is an alias of {', '.join(alias.targets)}, and has no mailbox")
    for entry in await directory.removed():
        if entry.address == wanted and not entry.closed:
            return Permanent(f"{address} was removed at {when(entry.at)}: `merpati account restore` brings it back")
    return Permanent(f"no account {address}")


async def past_of(account: MailAccount, at: str, commit: int | None) -> Tip[MailState]:
    """The state that is asked for: the present one if neither a time nor a commit is named."""
    if at and commit:
        raise Permanent("--at and --commit do not go together")
    travel = Travel(account.log.reader)
    if commit:
        return await travel.state_at(commit)
    if at:
        time = moment(at)
        if time > SystemClock().time():
            raise Permanent(f"{at} is in the future; a time without a zone is UTC")
        return await travel.state_at(await travel.number_at(time))
    await account.refresh()
    assert account.log.tip is not None
    return account.log.tip


def unreadable(account: MailAccount, tip: Tip[MailState]) -> str:
    """What the newest state lacks because of damage (R2), in words; nothing if it is whole."""
    damage = account.log.damage
    return f"what came after commit {tip.number} cannot be read: {damage}" if damage else ""


def as_of(tip: Tip[MailState]) -> str:
    """Which state this is."""
    if tip.number == EMPTY:
        return "before the first commit"
    return f"as of commit {tip.number}, {made_at(tip)}"


def when(seconds_since_1970: float) -> str:
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="seconds")


def made_at(tip: Tip[Any] | Commit[Any]) -> str:
    """The time of a commit, in milliseconds and rounded up: given to --at it leads to this commit."""
    return datetime.fromtimestamp(math.ceil(tip.at * 1000) / 1000, UTC).isoformat(timespec="milliseconds")


def tell(done: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        say("  ".join(f"{name} {count}" for name, count in done.items()))
