"""`merpati mailbox verify|restore|rebuild ADDRESS`: what is wrong with a mailbox, what it had, and making it anew."""

from __future__ import annotations

from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, print_json, run, say
from merpati.cli.mailbox.common import Address, At, FolderName, Number, app, mailbox, past_of
from merpati.errors import Permanent
from merpati.mailbox.auditing import Audited, audited
from merpati.mailbox.rebuilding import Rebuilt, rebuilt
from merpati.mailbox.restoring import Restored, restored


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
        async with mailbox(config, address) as account:
            past = await past_of(account, at, commit)
            return await restored(account, past.state, folder=folder, uids=set(uid or ()), beside=beside)

    done = run(work())
    if json:
        print_json(done)
    else:
        say(f"{done.messages} messages brought back into {done.folders} folders")
        if done.lost:
            say(f"{done.lost} messages cannot be read", "red")
        for name in done.shut:
            say(f"{name} is damaged now: rebuild the mailbox, or bring it back --beside", "red")
    if done.lost or done.shut:
        raise typer.Exit(1)


@app.command("verify")
def verify(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read everything and say what is wrong, and what is lost by it; exit status 1 if anything is."""

    async def work() -> Audited:
        async with mailbox(config, address) as account:
            return await audited(account)

    found = run(work())
    if json:
        print_json(found)
    else:
        say(f"{found.messages} messages read and right")
        for each in found.wrong:
            say(str(each), "red")
    if found.wrong:
        raise typer.Exit(1)


@app.command("rebuild")
def rebuild(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Make a mailbox anew from its log, around damage.  Nothing is written over; status 1 if anything is lost."""

    async def work() -> Rebuilt:
        async with mailbox(config, address) as account:
            return await rebuilt(account)

    done = run(work())
    if json:
        print_json(done)
    else:
        how = "as it was" if done.exact else "around damage"
        say(f"{done.messages} messages, {how}, in a snapshot at commit {done.commit}")
        for each in done.lost:
            say(f"lost: {each}", "red")
    if done.lost:
        raise typer.Exit(1)
