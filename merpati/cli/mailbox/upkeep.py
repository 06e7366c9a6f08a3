"""`merpati mailbox compact|vacuum`: what is done by itself too, done now."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from merpati.cli.common import ConfigOption, JsonOption, counted, load_settings, print_json, run, say
from merpati.cli.mailbox.common import Address, app, mailbox, tell
from merpati.cli.progress import progress, requests_in
from merpati.cli.trace import span
from merpati.components import Components
from merpati.errors import Permanent
from merpati.events import longest_reference
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.everything import Cleaned, clean_everything, clean_mailbox


@app.command("compact")
def compact(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Move mail out of commits into packs, and delete commits that were moved more than an hour ago."""

    async def work() -> dict[str, int]:
        async with mailbox(config, address) as account:
            done = await account.compact()
            return {"commits": done.commits, "packs": done.packs, "deleted": done.deleted}

    tell(run(work()), json)


@app.command("vacuum")
def vacuum(
    address: Annotated[str, typer.Argument(metavar="[ADDRESS]", help="local@domain; else --all.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every mailbox in the store, removed accounts, and large bodies.")
    ] = False,
    keep: Annotated[str, typer.Option(metavar="SPAN", help="Keep what the states of this span need.")] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, say what would go.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Remove what no state in the window needs."""

    async def work() -> Cleaned:
        window = span(keep)
        if window is None:
            raise Permanent(f"{keep} is no span such as 7d or 12h")
        if everything == bool(address):
            raise Permanent("say which mailbox, or --all")
        if everything:
            return await _everything(config, window, dry_run)
        async with mailbox(config, address) as account:
            return await clean_mailbox(account, window, dry_run=dry_run)

    done = run(work())
    counts = {"packs": done.packs, "snapshots": done.snapshots, "objects": done.objects, "bytes": done.bytes}
    if dry_run and not json:
        say("nothing was removed; this is what would go (which packs would shrink is not looked into)")
    if everything:
        _tell_all(done, counts, json)
    else:
        tell(counts, json)


async def _everything(config: str | None, keep: float, dry_run: bool) -> Cleaned:
    async with Components(load_settings(config)).on_store() as parts:
        horizon = longest_reference(parts.tiers)
        blobs = BlobVacuum(parts.store, parts.clock, parts.dice, retention=keep, horizon=horizon)
        async with progress(partial(requests_in, parts.metrics), parts.clock):
            return await clean_everything(
                parts.store, parts.directory, parts.mailboxes, parts.clock, parts.dice, blobs,
                retention=keep, dry_run=dry_run,
            )  # fmt: skip


def _tell_all(done: Cleaned, counts: dict[str, int], as_json: bool) -> None:
    """Whatever was done; and status 1 if anything could not be."""
    bodies = {"bodies": done.blobs.blobs, "removed": done.blobs.removed, "bytes": done.blobs.bytes}
    purged = {
        "ended": done.purged.ended, "objects": done.purged.objects, "bytes": done.purged.bytes,
        "waiting": done.purged.waiting, "forgotten": done.purged.forgotten,
    }  # fmt: skip
    if as_json:
        failures = [{"what": what, "why": why} for what, why in done.failures]
        print_json({"mailboxes": done.mailboxes, **counts, "accounts": purged, "blobs": bodies, "failures": failures})
    else:
        for name, part in (
            (counted(done.mailboxes, "mailbox", "mailboxes"), counts),
            ("removed accounts", purged),
            ("large bodies", bodies),
        ):  # fmt: skip
            say(f"{name}: " + "  ".join(f"{key} {count}" for key, count in part.items()))
        for what, why in done.failures:
            say(f"not done: {what}: {why}")
    if done.failures:
        raise typer.Exit(1)
