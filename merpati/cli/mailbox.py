"""`merpati mailbox log|show|restore|verify|compact|vacuum|export|import ADDRESS`: what an operator does for a mailbox.

Works on the store alone, beside a running server: whatever it writes is a commit like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from merpati.cli.common import ConfigOption, JsonOption, load_settings, out, print_json, run
from merpati.cli.trace import moment
from merpati.components import Components
from merpati.errors import MerpatiError, Permanent
from merpati.log.api import Commit, Tip
from merpati.log.travel import Travel
from merpati.log.vacuum import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.changes import Change
from merpati.mailbox.maildir import Carried, exported, imported
from merpati.mailbox.restoring import Restored, restored
from merpati.mailbox.state import MailState
from merpati.mailbox.views import AccountAt
from merpati.settings import UNITS, seconds

app = typer.Typer(no_args_is_help=True, help="Mailboxes: their history, their past, their upkeep.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain")]
At = Annotated[str, typer.Option(metavar="T", help="As of a span ago (2h, 3d) or an ISO 8601 time.")]
Number = Annotated[int, typer.Option("--commit", metavar="N", help="As of a commit.")]
FolderName = Annotated[str, typer.Option(metavar="NAME", help="Only this folder.")]


@asynccontextmanager
async def _mailbox(config: str | None, address: str) -> AsyncIterator[MailAccount]:
    async with Components(load_settings(config)) as parts:
        entry = await parts.directory.account(address)
        if entry is None:
            raise Permanent(f"no account {address}")
        yield parts.mailboxes.account(entry.id)


async def _past(account: MailAccount, at: str, commit: int) -> Tip[MailState]:
    """The state that is asked for: the present one if neither a time nor a commit is named."""
    if at and commit:
        raise Permanent("--at and --commit do not go together")
    travel = Travel(account.log.reader)
    if not at and not commit:
        await account.refresh()
        assert account.log.tip is not None
        return account.log.tip
    return await travel.state_at(commit or await travel.number_at(moment(at)))


def _when(seconds_since_1970: float) -> str:
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="seconds")


def _print(columns: list[str], rows: list[list[str]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _said(commit: Commit[Change]) -> dict[str, int]:
    """What a commit did, as kind of change and number of messages or changes."""
    said: Counter[str] = Counter()
    for part in commit.parts:
        for change in part.changes:
            rows = getattr(change, "rows", None)
            said[type(change).__name__.lower()] += len(rows) if rows is not None else getattr(change, "count", 1)
    return dict(said)


@app.command("log")
def show_log(
    address: Address,
    since: Annotated[int, typer.Option("--commit", metavar="N", help="From this commit on.")] = 0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the commits of a mailbox: number, time, who wrote it, what it did."""

    async def work() -> list[dict[str, Any]]:
        async with _mailbox(config, address) as account:
            return [
                {"commit": commit.number, "at": _when(commit.at), "writer": writer, "did": _said(commit)}
                async for commit, writer in Travel(account.log.reader).commits(since)
            ]

    found = run(work())
    if json:
        print_json(found)
        return
    did = [", ".join(f"{name} {count}" for name, count in one["did"].items()) for one in found]
    rows = [[str(one["commit"]), one["at"], one["writer"], text] for one, text in zip(found, did, strict=True)]
    _print(["commit", "time", "writer", "did"], rows)


@app.command("show")
def show(
    address: Address,
    folder: FolderName = "",
    at: At = "",
    commit: Number = 0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the folders of a mailbox, or the messages of one, now or as of an earlier time."""

    async def work() -> tuple[int, list[dict[str, Any]]]:
        async with _mailbox(config, address) as account:
            tip = await _past(account, at, commit)
            if folder:
                return tip.number, await _messages(account, tip.state, folder)
            infos = AccountAt(tip.state).folders.values()
            return tip.number, [
                {"folder": one.name, "messages": one.exists, "unseen": one.unseen, "bytes": one.size} for one in infos
            ]

    number, found = run(work())
    if json:
        print_json({"commit": number, "messages" if folder else "folders": found})
        return
    out.print(f"as of commit {number}")
    if found:
        _print(list(found[0]), [[str(value) for value in one.values()] for one in found])


async def _messages(account: MailAccount, state: MailState, name: str) -> list[dict[str, Any]]:
    view = account.past_folder(state.find(name), state)
    summaries = await view.summaries(range(view.exists))
    return [
        {
            "uid": view.uids[row],
            "date": _when(view.dates[row]),
            "bytes": view.sizes[row],
            "flags": " ".join(view.flag_names(view.flags[row])),
            "from": summary.author,
            "subject": summary.subject,
        }
        for row, summary in enumerate(summaries)
    ]


@app.command("restore")
def restore(
    address: Address,
    at: At = "",
    commit: Number = 0,
    folder: FolderName = "",
    uid: Annotated[list[int] | None, typer.Option(metavar="UID", help="Only this message of --folder.")] = None,
    beside: Annotated[str, typer.Option(metavar="NAME", help="Into folders below this one, not into place.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring back what a mailbox had at an earlier time and has no more.  Nothing is removed or changed."""

    async def work() -> Restored:
        if not at and not commit:
            raise Permanent("say which time: --at T or --commit N")
        if uid and not folder:
            raise Permanent("--uid needs --folder")
        async with _mailbox(config, address) as account:
            past = await _past(account, at, commit)
            return await restored(account, past.state, folder=folder, uids=set(uid or ()), beside=beside)

    done = run(work())
    if json:
        print_json(done)
    else:
        out.print(f"{done.messages} messages brought back into {done.folders} folders")
    if done.lost:
        if not json:
            out.print(f"{done.lost} messages cannot be read", style="red")
        raise typer.Exit(1)


@app.command("verify")
def verify(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read everything and say what is wrong; exit status 1 if anything is."""

    async def work() -> tuple[int, list[str]]:
        async with _mailbox(config, address) as account:
            wrong = [str(error) for error in await verified(account.log.reader)]
            read = 0
            for name in (await account.refresh()).folders:
                view = await account.folder(name)
                for row in range(view.exists):
                    try:
                        async for _ in account.body_stream(view.body(row)):
                            pass
                        read += 1
                    except MerpatiError as error:
                        wrong.append(f"{name} UID {view.uids[row]}: {error}")
            return read, wrong

    read, wrong = run(work())
    if json:
        print_json({"messages": read, "wrong": wrong})
    else:
        out.print(f"{read} messages read and right")
        for line in wrong:
            out.print(line, style="red", markup=False)
    if wrong:
        raise typer.Exit(1)


@app.command("compact")
def compact(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Move mail out of commits into packs, and delete commits that were moved more than an hour ago."""

    async def work() -> dict[str, int]:
        async with _mailbox(config, address) as account:
            done = await account.compact()
            return {"commits": done.commits, "packs": done.packs, "deleted": done.deleted}

    _tell(run(work()), json)


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
        async with _mailbox(config, address) as account:
            packs = await account.reclaim(seconds(keep))
            done = await account.vacuum(seconds(keep))
            return {"packs": packs, "snapshots": done.snapshots, "objects": done.objects, "bytes": done.bytes}

    _tell(run(work()), json)


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
        async with _mailbox(config, address) as account:
            return await carry(account, folder)

    done = run(work())
    _tell({"folders": done.folders, "messages": done.messages, "lost": done.lost}, as_json)
    if done.lost:
        raise typer.Exit(1)


def _tell(done: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        out.print("  ".join(f"{name} {count}" for name, count in done.items()))
