"""`merpati mailbox verify|restore ADDRESS`: what is wrong with a mailbox, and bringing back what it had."""

from __future__ import annotations

from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, out, print_json, run
from merpati.cli.mailbox.common import Address, At, FolderName, Number, app, mailbox, past_of
from merpati.errors import MerpatiError, Permanent
from merpati.log.verifying import verified
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
        out.print(f"{done.messages} messages brought back into {done.folders} folders")
    if done.lost:
        if not json:
            out.print(f"{done.lost} messages cannot be read", style="red")
        raise typer.Exit(1)


@app.command("verify")
def verify(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Read everything and say what is wrong; exit status 1 if anything is."""

    async def work() -> tuple[int, list[str]]:
        async with mailbox(config, address) as account:
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
