"""`merpati mailbox restore|rebuild ADDRESS`: what a mailbox had, and making it anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, counted, print_json, run, say
from merpati.cli.mailbox.common import Address, At, Number, app, as_of, mailbox, past_of
from merpati.errors import Permanent
from merpati.log.api import Tip
from merpati.mailbox.rebuilding import Rebuilt, rebuilt
from merpati.mailbox.restoring import Restored, restored
from merpati.mailbox.state import MailState
from merpati.mailbox.values import DELETED


@app.command("restore")
def restore(
    address: Address,
    at: At = "",
    commit: Number = None,
    folder: Annotated[str | None, typer.Option(metavar="NAME", help="Only this folder.")] = None,
    uid: Annotated[
        list[int] | None, typer.Option(metavar="UID", help="Only this message of --folder; may be repeated.")
    ] = None,
    beside: Annotated[
        str | None, typer.Option(metavar="NAME", help="Into folders below this one, not into place.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring back what a mailbox had at an earlier time and has no more.  Nothing is removed or changed."""

    async def work() -> tuple[Tip[MailState], Restored]:
        if not at and not commit:
            raise Permanent("say which time: --at T or --commit N")
        if uid and not folder:
            raise Permanent("--uid needs --folder")
        if "" in (folder, beside):  # a variable of a script that was not set must not mean everything, or into place
            raise Permanent("--folder and --beside need a name")
        async with mailbox(config, address) as account:
            past = await past_of(account, at, commit)
            return past, await restored(
                account, past.state, folder=folder or "", uids=set(uid or ()), beside=beside or "", without=DELETED
            )  # what was marked for removal just before it went would be gone again with the next EXPUNGE

    past, done = run(work())
    if json:
        print_json({"commit": past.number, **asdict(done)})
    else:
        where = f"{counted(done.messages, 'message')} brought back into {counted(done.folders, 'folder')}"
        say(f"{where}, {as_of(past)}")
        _tell_left(done, folder)
    if done.lost or done.shut or done.unknown:
        raise typer.Exit(1)


def _tell_left(done: Restored, folder: str | None) -> None:
    """What did not come back, and why."""
    if done == Restored():
        say("nothing that it had then is missing now")
    if done.lost:
        say(f"{counted(done.lost, 'message')} cannot be read", "red")
    for name in done.shut:
        say(f"{name} is damaged now: rebuild the mailbox, or bring it back --beside", "red")
    for uid in done.unknown:
        say(f"{folder} had no UID {uid} then", "red")


@app.command("rebuild")
def rebuild(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Make a mailbox anew from its log, around damage.  Nothing is written over; status 1 if anything is lost."""

    async def work() -> Rebuilt:
        async with mailbox(config, address, cached=False) as account:
            return await rebuilt(account)

    done = run(work())
    if json:
        print_json(done)
    else:
        how = "as it was" if done.exact else "around damage"
        say(f"{counted(done.messages, 'message')}, {how}, in a snapshot at commit {done.commit}")
        for each in done.lost:
            say(f"lost: {each}", "red")
    if done.lost:
        raise typer.Exit(1)
