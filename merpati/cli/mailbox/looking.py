"""`merpati mailbox log|show ADDRESS`: what happened to a mailbox, and what is in it, now or then."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from merpati.cli.common import ConfigOption, JsonOption, err, print_json, run, say
from merpati.cli.mailbox.common import (
    Address,
    At,
    FolderName,
    Number,
    app,
    as_of,
    made_at,
    mailbox,
    past_of,
    unreadable,
    when,
)
from merpati.cli.mailbox.message import print_message
from merpati.cli.tables import print_table
from merpati.errors import Permanent
from merpati.log.api import Commit, Damaged, Tip
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.changes import Change
from merpati.mailbox.state import MailState
from merpati.mailbox.views import AccountAt


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
    since: Annotated[int, typer.Option("--commit", metavar="N", min=1, help="From this commit on.")] = 1,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the commits of a mailbox: number, time, who wrote it, what it did."""

    async def work() -> tuple[list[dict[str, Any]], str]:
        found: list[dict[str, Any]] = []
        async with mailbox(config, address) as account:
            try:
                async for commit, writer in Travel(account.log.reader).commits(since):
                    did = _said(commit)
                    found.append({"commit": commit.number, "at": made_at(commit), "writer": writer, "did": did})
                return found, unreadable(account, await account.log.read())
            except Damaged as damage:
                return found, f"the rest cannot be read: {damage}"

    found, lacking = run(work())
    if json:
        print_json(found)
    else:
        did = [", ".join(f"{name} {count}" for name, count in one["did"].items()) for one in found]
        rows = [[one["commit"], one["at"], one["writer"], text] for one, text in zip(found, did, strict=True)]
        print_table(["commit", "time", "writer", "did"], rows)
    _tell_lacking(lacking)


@app.command("show")
def show(
    address: Address,
    folder: FolderName = "",
    at: At = "",
    commit: Number = None,
    uid: Annotated[int | None, typer.Option(metavar="UID", help="Print this message of --folder itself.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the folders of a mailbox, the messages of one, or a message itself, now or as of an earlier time."""
    if uid is not None:
        run(_print(config, address, folder, uid, at, commit, json))
        return

    async def work() -> tuple[Tip[MailState], str, list[dict[str, Any]]]:
        async with mailbox(config, address) as account:
            tip = await past_of(account, at, commit)
            if folder:
                return tip, unreadable(account, tip), await _messages(account, tip.state, folder)
            return (
                tip,
                unreadable(account, tip),
                [
                    {"folder": one.name, "messages": one.exists, "unseen": one.unseen, "bytes": one.size}
                    for one in AccountAt(tip.state).folders.values()
                ],
            )

    tip, lacking, found = run(work())
    if json:
        print_json({"commit": tip.number, "messages" if folder else "folders": found})
    else:
        say(as_of(tip))
        if found:
            print_table(list(found[0]), [list(one.values()) for one in found])
    _tell_lacking(lacking)


def _tell_lacking(lacking: str) -> None:
    """What damage cuts short is not taken for the whole."""
    if lacking:
        say(f"merpati: {lacking}", "red", to=err)
        raise typer.Exit(1)


async def _print(
    config: str | None, address: str, folder: str, uid: int, at: str, commit: int | None, json: bool
) -> None:
    if not folder:
        raise Permanent("--uid needs --folder")
    if json:
        raise Permanent("--uid prints the message itself, which is no JSON")
    async with mailbox(config, address) as account:
        tip = await past_of(account, at, commit)
        await print_message(account, tip.state, folder, uid)


async def _messages(account: MailAccount, state: MailState, name: str) -> list[dict[str, Any]]:
    view = account.past_folder(state.find(name), state)
    summaries = await view.summaries(range(view.exists))
    return [
        {
            "uid": view.uids[row],
            "date": when(view.dates[row]),
            "bytes": view.sizes[row],
            "flags": " ".join(view.flag_names(view.flags[row])),
            "from": summary.author,
            "subject": summary.subject,
        }
        for row, summary in enumerate(summaries)
    ]
