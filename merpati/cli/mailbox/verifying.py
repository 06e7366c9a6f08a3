"""`merpati mailbox verify ADDRESS | --all`: reads every object and every message, and says what is wrong."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
import typer

from merpati.cli.common import ConfigOption, JsonOption, counted, fail, load_settings, print_json, run, say
from merpati.cli.mailbox.common import app, mailbox
from merpati.cli.progress import progress, requests_in
from merpati.components import Components
from merpati.directory.editing import INSTALLATION, log_of
from merpati.errors import MerpatiError, Permanent
from merpati.ids import AccountId
from merpati.mailbox.auditing import Audited, audited
from merpati.upkeep.auditing import AuditedLog, audit_everything

REBUILD = (
    "`merpati mailbox rebuild` makes the mailbox anew around this; what is damaged stays in the store until a vacuum"
    " finds that nothing in its window needs it"
)


@app.command("verify")
def verify(
    address: Annotated[str, typer.Argument(metavar="[ADDRESS]", help="local@domain; else --all.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every mailbox in the store, and the directory.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Read everything and say what is wrong, and what is lost by it; exit status 1 if anything is."""
    if everything == bool(address):
        raise fail(Permanent("say which mailbox, or --all"))
    if everything:
        _tell_all(run(_everything(config, said=not json)), json)
    else:
        _tell(run(_one(config, address)), json)


async def _one(config: str | None, address: str) -> Audited:
    async with mailbox(config, address, cached=False) as account:  # a good copy on this disk proves nothing
        return await audited(account)


async def _everything(config: str | None, *, said: bool) -> list[AuditedLog]:
    """Each log; what is wrong is `said` as soon as it is found, for it takes as long as reading all mail."""
    done: list[AuditedLog] = []
    async with Components(load_settings(config)).on_store(cached=False) as parts:
        names = await _names(parts)
        async with progress(partial(requests_in, parts.metrics), parts.clock):
            async for one in audit_everything(parts.store, parts.mailboxes, parts.clock, parts.dice, names):
                done.append(one)
                for wrong in one.found.wrong if said else ():
                    say(f"{one.name}: {wrong}", "red")
                if one.failure and said:
                    say(f"{one.name}: not read: {one.failure}", "red")
    return done


async def _names(parts: Components) -> dict[AccountId, str]:
    """What the directory can still tell; without it everything is called by its keys."""
    names = {INSTALLATION: "the list of domains"}
    try:
        names |= {log_of(domain.name): domain.name for domain in await parts.directory.domains()}
        names |= {entry.id: entry.address for entry in await parts.directory.accounts()}
    except MerpatiError:  # it is read like the others, and told of then
        pass
    return names


def _tell(found: Audited, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        of = f", of {found.of}" if found.messages < found.of else ""
        say(f"{counted(found.messages, 'message')} read and right{of}")
        for each in found.wrong:
            say(str(each), "red")
        if found.wrong:
            say(REBUILD)
    if found.wrong:
        raise typer.Exit(1)


def _tell_all(done: list[AuditedLog], as_json: bool) -> None:
    messages, of = sum(one.found.messages for one in done), sum(one.found.of for one in done)
    mailboxes = sum(one.kind == "mailbox" for one in done)
    bad = [one for one in done if one.found.wrong or one.failure]
    if as_json:
        wrong = [{"log": one.name, **msgspec.to_builtins(each)} for one in bad for each in one.found.wrong]
        failures = [{"log": one.name, "why": one.failure} for one in bad if one.failure]
        print_json({"mailboxes": mailboxes, "messages": messages, "of": of, "wrong": wrong, "failures": failures})
    else:
        left = f", of {of}" if messages < of else ""
        boxes = counted(mailboxes, "mailbox", "mailboxes")
        say(f"{counted(messages, 'message')} in {boxes} read and right{left}")
        say(f"something is wrong with {len(bad)} of {len(done)} logs" if bad else "nothing is wrong")
    if bad:
        raise typer.Exit(1)
