"""`merpati mailbox export|import ADDRESS PLACE`: mailboxes out of and into other forms."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Annotated, cast

import msgspec
import typer

from merpati.cli.common import ConfigOption, JsonOption, counted, err, load_settings, out, print_json, run, say
from merpati.cli.mailbox.common import Address, At, FolderName, Number, app, mailbox, past_of, unreadable
from merpati.cli.progress import progress
from merpati.components import Components
from merpati.errors import MerpatiError, Permanent
from merpati.log.api import Tip
from merpati.mailbox.account import MailAccount
from merpati.mailbox.carrying.archive_format import head_of
from merpati.mailbox.carrying.archive_reading import ArchiveReader
from merpati.mailbox.carrying.archive_writing import ArchiveWriter
from merpati.mailbox.carrying.arriving import carried_in
from merpati.mailbox.carrying.bringing import brought_in
from merpati.mailbox.carrying.kinds import STANDARD, Form, form_of_source, form_of_stream, form_of_target
from merpati.mailbox.carrying.leaving import carried_out, departing
from merpati.mailbox.carrying.maildir import MaildirReader, MaildirWriter
from merpati.mailbox.carrying.mbox import MboxReader, MboxWriter
from merpati.mailbox.carrying.values import COUNTS, Carried, Departing, Tally, Unreadable, Unwritable, Writer
from merpati.mailbox.names import normalised
from merpati.mailbox.state import MailState

FormOption = Annotated[Form | None, typer.Option("--format", help="Else told from the name, or from what is there.")]


@app.command("export")
def export(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain")] = "",
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A file or folder to be made; - is the output.")] = "",
    form: FormOption = None,
    folder: FolderName = "",
    at: At = "",
    commit: Number = None,
    everyone: Annotated[str, typer.Option("--all", metavar="FOLDER", help="An archive of each account.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write a mailbox out: a Maildir, an mbox for each folder, or an archive (.tar.gz) that loses nothing."""
    tally = Tally()

    async def work() -> Carried:
        if everyone:
            if address or target or form or folder or at or commit:
                raise Permanent("--all goes with no address and no other choice")
            return await _export_all(config, Path(everyone))
        if not address or not target:
            raise Permanent("say whose mailbox, and where to: ADDRESS TARGET")
        async with mailbox(config, address, partial(_so_far, tally)) as account:
            tip = await past_of(account, at, commit)
            return await _export(account, tip, address, target, form or form_of_target(target), folder, tally)

    _tell(run(work(), f"{everyone or target} is not whole"), json, aside=target == STANDARD)


@app.command("import")
def import_(
    address: Address,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file or folder; - is the input.")],
    form: FormOption = None,
    folder: Annotated[str, typer.Option(metavar="NAME", help="Only this folder; a lone mbox: into it.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Take mail in from a Maildir, an mbox or an archive; doing it again adds only what is new."""
    tally = Tally()

    async def work() -> Carried:
        async with mailbox(config, address, partial(_so_far, tally)) as account:
            return await _import(account, source, form, normalised(folder), tally)

    _tell(run(work(), "what came in so far is kept: the same import again adds the rest"), json)


async def _export(
    account: MailAccount, tip: Tip[MailState], address: str, target: str, form: Form, folder: str, tally: Tally
) -> Carried:
    folders = departing(tip.state, folder)
    try:
        writer = _writer(account, tip, address, target, form, folder, folders)
    except OSError as error:
        raise Unwritable(f"this cannot be written: {error.strerror}", file=error.filename) from error
    done = await carried_out(account, tip.state, folders, writer, tally)
    if lacking := unreadable(account, tip):
        return msgspec.structs.replace(done, failed=1, notes=(*done.notes, lacking))
    return done


def _writer(
    account: MailAccount,
    tip: Tip[MailState],
    address: str,
    target: str,
    form: Form,
    folder: str,
    folders: Sequence[Departing],
) -> Writer:
    if target == STANDARD and sys.stdout.isatty():
        raise Permanent("this is not for a terminal: send it to a file or a program")
    place = _standard_output() if target == STANDARD else Path(target)
    if form == Form.ARCHIVE:
        head = head_of(address, account.id, tip, folders, complete=not folder)
        return ArchiveWriter(place, head, folders)
    if form == Form.MBOX and (folder or isinstance(place, Path)):
        return MboxWriter(place, single=bool(folder))
    if isinstance(place, Path):
        return MaildirWriter(place)
    raise Permanent("to standard output goes an archive, or with --folder an mbox")


def _standard_output() -> IO[bytes]:
    """With PYTHONUNBUFFERED it is the file itself, which may take a part of what is written and say nothing."""
    output = sys.stdout.buffer
    return cast(IO[bytes], io.BufferedWriter(output) if isinstance(output, io.RawIOBase) else output)


async def _export_all(config: str | None, folder: Path) -> Carried:
    """One that fails does not hold up the others."""
    done = Carried()
    async with Components(load_settings(config)).on_store() as parts:
        accounts, gone = await parts.directory.accounts(), 0
        async with progress(lambda: f"{gone} of {counted(len(accounts), 'account')}", parts.clock):
            for gone, entry in enumerate(accounts):  # noqa: B007 - the line on the terminal reads it
                account = parts.mailboxes.account(entry.id)
                target = str(folder / f"{_file_name(entry.address)}.tar.gz")
                try:
                    tip = await past_of(account, "", None)
                    one = await _export(account, tip, entry.address, target, Form.ARCHIVE, "", Tally())
                except MerpatiError as error:
                    one = Carried(failed=1, notes=(str(error),))
                done = done.with_account(entry.address, one)
        if lacking := parts.directory.lacking:
            done = msgspec.structs.replace(done, failed=done.failed + 1, notes=(*done.notes, lacking))
    return done


def _file_name(address: str) -> str:
    return re.sub(r"[^0-9A-Za-z@._+-]", lambda found: f"%{ord(found[0]):X}", address).lstrip(".")


def _so_far(tally: Tally) -> str:
    there = f", {tally.there} were there" if tally.there else ""
    return f"{counted(tally.messages, 'message')}, {tally.size / 1e6:.1f} MB{there}"


async def _import(account: MailAccount, source: str, form: Form | None, folder: str, tally: Tally) -> Carried:
    try:
        if source == STANDARD:
            stream = cast(io.BufferedReader, sys.stdin.buffer)
            place: Path | io.BufferedReader = stream
            form = form or form_of_stream(stream)
        else:
            place = Path(source)
            form = form or form_of_source(place)
        if form == Form.ARCHIVE:
            return await brought_in(account, ArchiveReader(place, folder), tally)
        if form == Form.MBOX:
            return await carried_in(account, MboxReader(place, folder), tally)
    except OSError as error:
        raise Unreadable(f"this cannot be read: {error.strerror}", file=error.filename) from error
    if not isinstance(place, Path):
        raise Permanent("from standard input comes an archive or an mbox")
    return await carried_in(account, MaildirReader(place, folder), tally)


def _tell(done: Carried, as_json: bool, *, aside: bool = False) -> None:
    """What was done, on standard error if the mail goes to standard output; exit status 1 if any was left behind."""
    if as_json:
        print_json(done, aside=aside)
    else:
        console = err if aside else out
        counts = {name: getattr(done, name) for name in COUNTS}
        said = [f"{name} {count}" for name, count in counts.items() if count or name in ("folders", "messages", "size")]
        say("  ".join(said), to=console)
        for note in done.notes:
            say(note, "yellow", to=console)
    if done.lost or done.refused or done.failed:
        raise typer.Exit(1)
