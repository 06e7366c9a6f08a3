"""Where an address leads: the rules of look-up, as tables."""

from dataclasses import dataclass, field

import pytest

from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry, Resolution
from merpati.directory.names import key_of
from merpati.directory.resolving import NotLoaded, find_account, may_send_as, resolve
from merpati.directory.state import DirectoryState
from merpati.directory.table import Table
from merpati.ids import AccountId


@dataclass
class World:
    """A view that has everything in memory."""

    ours: dict[str, DomainEntry]
    states: dict[str, DirectoryState]
    postmaster: str = ""
    loaded: set[str] = field(default_factory=set)

    def of(self, domain: str) -> DirectoryState:
        return self.states[domain]


def world(**domains: dict) -> World:
    ours, states = {}, {}
    for name, content in domains.items():
        domain = name.replace("_", ".")
        ours[domain] = DomainEntry(domain, content.get("catch_all", ""))
        accounts = {
            key_of(f"{a}@{domain}"): AccountEntry(AccountId(a), f"{a}@{domain}") for a in content.get("accounts", ())
        }
        aliases = {
            key_of(f"{a}@{domain}"): AliasEntry(f"{a}@{domain}", t) for a, t in content.get("aliases", {}).items()
        }
        states[domain] = DirectoryState(Table(), Table(accounts), Table(aliases))
    return World(ours, states)


WORLD = world(
    a_test={
        "accounts": ["Bob", "eve", "dash-ed"],
        "aliases": {
            "sales": ("bob@a.test", "eve@a.test"),
            "out": ("friend@Else.Where",),
            "both": ("Bob@a.test", "friend@else.where", "FRIEND@else.where"),
            "ring1": ("ring2@a.test",),
            "ring2": ("ring1@a.test",),
            "ring3": ("ring3@a.test", "eve@a.test"),
            "twice": ("bob@a.test", "sales@a.test", "bob+x@a.test"),
            "over": ("zoe@b.test",),
            "dead": ("nobody@a.test",),
            "mine": ("bob@a.test",),
        },
    },
    b_test={"accounts": ["zoe", "yan"], "catch_all": "zoe@b.test"},
    c_test={"aliases": {"postmaster": ("bob@a.test",)}},
)
WORLD.ours["xn--bcher-kva.test"] = DomainEntry("xn--bcher-kva.test")
WORLD.states["xn--bcher-kva.test"] = DirectoryState(
    Table(), Table({key_of("käthe@bücher.test"): AccountEntry(AccountId("käthe"), "käthe@xn--bcher-kva.test")}), Table()
)


def shown(found: Resolution) -> tuple[list[str], list[str]] | None:
    if not found.local_domain:
        return None
    accounts = [f"{t.account}+{t.detail}" if t.detail else str(t.account) for t in found.accounts]
    return accounts, list(found.remote)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("bob@a.test", (["Bob"], [])),
        ("BOB@A.TEST", (["Bob"], [])),
        ('"bob"@a.test', (["Bob"], [])),
        ("bob@a.test.", (["Bob"], [])),
        ("bob+tag@a.test", (["Bob+tag"], [])),
        ("bob+@a.test", (["Bob"], [])),
        ("bob+a+b@a.test", (["Bob+a+b"], [])),
        ("dash-ed@a.test", (["dash-ed"], [])),
        ("nobody@a.test", ([], [])),
        ("+bob@a.test", ([], [])),
        ("sales@a.test", (["Bob", "eve"], [])),
        ("sales+x@a.test", (["Bob+x", "eve+x"], [])),
        ("out@a.test", ([], ["friend@else.where"])),
        ("both@a.test", (["Bob"], ["friend@else.where"])),
        ("twice@a.test", (["Bob", "eve"], [])),
        ("over@a.test", (["zoe"], [])),
        ("ring1@a.test", ([], [])),
        ("ring3@a.test", (["eve"], [])),
        ("dead@a.test", ([], [])),
        ("anybody@b.test", (["zoe"], [])),
        ("yan@b.test", (["yan"], [])),
        ("postmaster@a.test", (["Bob"], [])),
        ("PostMaster@a.test", (["Bob"], [])),
        ("postmaster@b.test", (["zoe"], [])),
        ("postmaster@c.test", (["Bob"], [])),
        ("postmaster", (["Bob"], [])),
        ("somebody@c.test", ([], [])),
        ("käthe@bücher.test", (["käthe"], [])),
        ("ka\u0308the@xn--bcher-kva.test", (["käthe"], [])),
        ("KÄTHE@BÜCHER.test", (["käthe"], [])),
        # HOSTILE R1: none of these is a way around
        ("friend@else.where", None),
        ("bob%else.where@a.test", ([], [])),
        ('"friend@else.where"@a.test', ([], [])),
        ("else.where!friend@a.test", ([], [])),
        ("bob@[127.0.0.1]", None),
        ("bob", None),
        ("", None),
        ("@", None),
        ("bob@", None),
        ("bob@a_b..c", None),
    ],
)
def test_an_address_leads_where_it_should(address: str, expected: tuple[list[str], list[str]] | None) -> None:
    assert shown(resolve(WORLD, address)) == expected


def test_a_domain_without_accounts_has_a_postmaster_all_the_same() -> None:
    assert shown(resolve(world(empty_test={}, full_test={"accounts": ["amy"]}), "postmaster@empty.test")) == (
        ["amy"],
        [],
    )
    assert shown(resolve(world(empty_test={}), "postmaster@empty.test")) == ([], [])


def test_a_configured_postmaster_takes_mail_for_domains_that_have_none() -> None:
    view = world(a_test={"accounts": ["amy", "root"]}, b_test={"aliases": {"postmaster": ("amy@a.test",)}})
    view.postmaster = "root@a.test"
    assert shown(resolve(view, "postmaster@a.test")) == (["root"], [])
    assert shown(resolve(view, "postmaster@b.test")) == (["amy"], [])


def test_an_alias_that_fans_out_without_end_is_cut() -> None:
    aliases = {f"n{i}": (f"n{2 * i}@a.test", f"n{2 * i + 1}@a.test") for i in range(1, 40_000)}
    assert not resolve(world(a_test={"aliases": aliases}), "n1@a.test").known


def test_what_is_not_in_memory_is_asked_for_by_name() -> None:
    class Empty(World):
        def of(self, domain: str) -> DirectoryState:
            raise NotLoaded(domain)

    with pytest.raises(NotLoaded) as missing:
        resolve(Empty({"a.test": DomainEntry("a.test")}, {}), "bob@a.test")
    assert missing.value.domain == "a.test"


@pytest.mark.parametrize(
    ("account", "address", "may"),
    [
        ("Bob", "bob@a.test", True),
        ("Bob", "BOB+anything@A.test", True),
        ("Bob", "mine@a.test", True),
        ("Bob", "mine+x@a.test", True),
        ("Bob", "eve@a.test", False),
        ("Bob", "sales@a.test", False),  # not his alone
        ("Bob", "both@a.test", False),  # goes elsewhere too
        ("Bob", "nobody@a.test", False),
        ("Bob", "friend@else.where", False),
        ("Bob", "", False),
        ("zoe", "anybody@b.test", False),  # a catch-all is no ownership
        ("zoe", "over@a.test", True),
        ("Bob", "postmaster@a.test", False),
        ("eve", "ring3@a.test", True),
    ],
)
def test_a_sender_owns_its_address_or_does_not(account: str, address: str, may: bool) -> None:
    assert may_send_as(WORLD, AccountId(account), address) is may


@pytest.mark.parametrize(
    ("login", "account"),
    [
        ("bob@a.test", "Bob"),
        ("Bob+x@a.test", "Bob"),
        ("sales@a.test", None),
        ("nobody@b.test", None),
        ("postmaster@a.test", None),
        ("../admin", None),
        ("a" * 300, None),
        ("bob@a.test\0", None),
    ],
)
def test_a_login_finds_its_account_and_no_other(login: str, account: str | None) -> None:
    found = find_account(WORLD, login)
    assert (found.id if found else None) == account
