"""`merpati domain|account|alias add|list|show|remove …`: who is here.

Passwords come on standard input (asked for twice on a terminal), never as an argument: arguments can be read by every
user of the machine.
"""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import msgspec
import typer

from merpati.auth.credentials import Secret
from merpati.cli.common import ConfigOption, JsonOption, err, load_settings, print_json, run, say
from merpati.cli.mailbox.common import when
from merpati.cli.tables import print_table
from merpati.components import Components
from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, RemovedEntry
from merpati.directory.names import domain_of
from merpati.errors import Permanent
from merpati.upkeep.deleting import Purged, purge_removed

domain = typer.Typer(no_args_is_help=True, help="Domains that mail is taken in for.")
account = typer.Typer(no_args_is_help=True, help="Accounts: someone with a mailbox and a password.")
alias = typer.Typer(no_args_is_help=True, help="Aliases: names that stand for other addresses.")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@domain")]
DomainName = Annotated[str, typer.Argument(metavar="DOMAIN")]
OfDomain = Annotated[str, typer.Argument(metavar="[DOMAIN]", help="Only of this domain.")]

MIN_PASSWORD = 8
"""Characters; NIST SP 800-63B section 5.1.1.2."""


class _Account(msgspec.Struct, frozen=True):
    """An account as it is shown: everything but the hash."""

    address: str
    id: str
    enabled: bool
    password: bool
    quota: int


def _shown(entry: AccountEntry) -> _Account:
    return _Account(entry.address, entry.id, entry.enabled, bool(entry.password_hash), entry.quota)


def read_password() -> str:
    """A password from standard input: typed twice without echo on a terminal, else the first line."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise Permanent("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < MIN_PASSWORD:
        raise Permanent(f"a password has at least {MIN_PASSWORD} characters")
    return password


def _say(entry: DomainEntry | AccountEntry | AliasEntry, verb: str, as_json: bool) -> None:
    value = _shown(entry) if isinstance(entry, AccountEntry) else entry
    name = entry.name if isinstance(entry, DomainEntry) else entry.address
    if as_json:
        print_json(value)
    else:
        say(f"{verb} {name}")


def _tell_lacking(lacking: str) -> None:
    """A list that damage cuts short is not taken for the whole."""
    if lacking:
        say(f"merpati: {lacking}; see `merpati domain verify` and `rebuild`", "red", to=err)
        raise typer.Exit(1)


def _removed(name: str, as_json: bool) -> None:
    if as_json:
        print_json({"removed": name})
    else:
        say(f"removed {name}")


@domain.command("add")
def domain_add(
    name: DomainName,
    catch_all: Annotated[str, typer.Option(help="Address that takes mail for unknown names.")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Take in mail for a domain."""

    async def work() -> DomainEntry:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.add_domain(name, catch_all)

    _say(run(work()), "added", json)


@domain.command("list")
def domain_list(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the domains."""

    async def work() -> tuple[list[DomainEntry], str]:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.domains(), parts.directory.lacking

    entries, lacking = run(work())
    if json:
        print_json(entries)
    else:
        print_table(["domain", "catch-all"], [[entry.name, entry.catch_all] for entry in entries])
    _tell_lacking(lacking)


@domain.command("show")
def domain_show(name: DomainName, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show a domain with its accounts and aliases."""

    async def work() -> tuple[DomainEntry, list[AccountEntry], list[AliasEntry]]:
        async with Components(load_settings(config)).on_store() as parts:
            found = [entry for entry in await parts.directory.domains() if entry.name == name.lower().rstrip(".")]
            if not found:
                raise Permanent(f"no domain {name}")
            return found[0], await parts.directory.accounts(name), await parts.directory.aliases(name)

    entry, accounts, aliases = run(work())
    if json:
        print_json({"domain": entry, "accounts": [_shown(one) for one in accounts], "aliases": aliases})
        return
    say(f"{entry.name}  catch-all: {entry.catch_all or 'none'}")
    rows = [[one.address, "account" if one.enabled else "account, disabled", ""] for one in accounts]
    rows += [[one.address, "alias", ", ".join(one.targets)] for one in aliases]
    print_table(["address", "kind", "leads to"], rows)


@domain.command("remove")
def domain_remove(name: DomainName, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Stop taking in mail for a domain; it must have no accounts left."""

    async def work() -> None:
        async with Components(load_settings(config)).on_store() as parts:
            await parts.directory.remove_domain(name)

    run(work())
    _removed(name, json)


@account.command("add")
def account_add(
    address: Address,
    quota: Annotated[int, typer.Option(help="Bytes; 0 is none.")] = 0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make an account; its password comes on standard input."""

    async def work() -> AccountEntry:
        password = Secret(read_password())
        async with Components(load_settings(config)).on_store() as parts:
            hashed = await parts.passwords.hash(password)
            return await parts.directory.add_account(address, hashed, quota)

    _say(run(work()), "added", json)


@account.command("password")
def account_password(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Set a new password, from standard input."""

    async def work() -> AccountEntry:
        password = Secret(read_password())
        async with Components(load_settings(config)).on_store() as parts:
            hashed = await parts.passwords.hash(password)
            return await parts.directory.change_account(address, password_hash=hashed)

    _say(run(work()), "changed", json)


@account.command("enable")
def account_enable(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let the account log in and take mail again."""
    _set_enabled(address, True, config, json)


@account.command("disable")
def account_disable(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Keep the account from logging in; its mail stays."""
    _set_enabled(address, False, config, json)


def _set_enabled(address: str, enabled: bool, config: str | None, as_json: bool) -> None:
    async def work() -> AccountEntry:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.change_account(address, enabled=enabled)

    _say(run(work()), "enabled" if enabled else "disabled", as_json)


@account.command("list")
def account_list(
    of: OfDomain = "",
    removed: Annotated[bool, typer.Option("--removed", help="Those that were removed and are not all gone.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List accounts."""
    if removed:
        _list_removed(of, config, json)
        return

    async def work() -> tuple[list[AccountEntry], str]:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.accounts(of), parts.directory.lacking

    found, lacking = run(work())
    entries = [_shown(entry) for entry in found]
    if json:
        print_json(entries)
    else:
        rows = [[e.address, e.id, "yes" if e.enabled else "no", e.quota or "none"] for e in entries]
        print_table(["address", "id", "enabled", "quota"], rows)
    _tell_lacking(lacking)


def _list_removed(of: str, config: str | None, as_json: bool) -> None:
    async def work() -> list[RemovedEntry]:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.removed(of)

    rows = [[entry.address, entry.id, when(entry.at), _stage(entry)] for entry in run(work())]
    names = ["address", "id", "removed", "mailbox"]
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table(names, rows)


def _stage(entry: RemovedEntry) -> str:
    """What has become of its mailbox (PROTOCOL.md, section D)."""
    if entry.emptied_at:
        return "gone"
    if entry.closed:
        return "purged"
    return "being purged" if entry.purging or entry.at_once else "kept"


@account.command("show")
def account_show(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one account."""

    async def work() -> AccountEntry:
        async with Components(load_settings(config)).on_store() as parts:
            entry = await parts.directory.account(address)
            if entry is None:
                raise Permanent(f"no account {address}")
            return entry

    shown = _shown(run(work()))
    if json:
        print_json(shown)
    else:
        for name in shown.__struct_fields__:
            say(f"{name}: {getattr(shown, name)}")


@account.command("remove")
def account_remove(
    address: Address,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its mail now, not in 7 days; also if it was removed before.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Remove an account: it takes no mail and logs in no more; its mailbox goes in 7 days."""

    async def work() -> Purged:
        async with Components(load_settings(config)).on_store() as parts:
            await parts.directory.remove_account(address, purge=purge)
            if not purge:
                return Purged()
            gone = {entry.id for entry in await parts.directory.removed(domain_of(address)) if entry.at_once}
            return await purge_removed(parts.directory, parts.mailboxes, parts.clock, only=gone)

    done = run(work())
    if purge and json:
        failures = [why for _, why in done.failures]
        print_json({"removed": address, "objects": done.objects, "bytes": done.bytes, "failures": failures})
    else:
        _removed(address, json)
    if purge and not json:
        say(f"{done.objects} objects with {done.bytes} bytes purged, the rest goes in an hour")
    for _, why in done.failures:
        say(f"merpati: not purged yet, it will be tried again: {why}", to=err)


@account.command("restore")
def account_restore(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Undo a removal of the last 7 days: the mailbox and the password come back."""

    async def work() -> AccountEntry:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.restore_account(address)

    _say(run(work()), "restored", json)


@alias.command("add")
def alias_add(
    address: Address,
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let an address stand for others, here or elsewhere."""

    async def work() -> AliasEntry:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.add_alias(address, tuple(targets))

    _say(run(work()), "added", json)


@alias.command("list")
def alias_list(of: OfDomain = "", config: ConfigOption = None, json: JsonOption = False) -> None:
    """List aliases."""

    async def work() -> list[AliasEntry]:
        async with Components(load_settings(config)).on_store() as parts:
            return await parts.directory.aliases(of)

    entries = run(work())
    if json:
        print_json(entries)
    else:
        print_table(["address", "leads to"], [[entry.address, ", ".join(entry.targets)] for entry in entries])


@alias.command("show")
def alias_show(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show one alias."""

    async def work() -> AliasEntry:
        async with Components(load_settings(config)).on_store() as parts:
            found = [entry for entry in await parts.directory.aliases() if entry.address == address.lower()]
            if not found:
                raise Permanent(f"no alias {address}")
            return found[0]

    entry = run(work())
    if json:
        print_json(entry)
    else:
        say(f"{entry.address} → {', '.join(entry.targets)}")


@alias.command("remove")
def alias_remove(address: Address, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Remove an alias."""

    async def work() -> None:
        async with Components(load_settings(config)).on_store() as parts:
            await parts.directory.remove_alias(address)

    run(work())
    _removed(address, json)
