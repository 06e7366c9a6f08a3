"""Archives brought into accounts in which anything has happened: all of their mail is there, once, and no UID lies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merpati.errors import Permanent
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying import bringing
from merpati.mailbox.carrying.values import Incoming
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.verbs import bring
from tests.carrying.everything import Watch, empty, from_archive, to_archive
from tests.mailbox.worlds import mail

FOLDERS = ["INBOX", "Work", "Work/Old", "Sent"]
OPERATIONS = st.one_of(
    st.tuples(st.just("import"), st.integers(0, 2)),
    st.tuples(st.just("export"), st.integers(0, 2)),
    st.tuples(st.just("append"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("expunge"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("delete"), st.sampled_from(FOLDERS[1:])),
    st.tuples(st.just("rename"), st.sampled_from(FOLDERS[1:])),
    st.tuples(st.just("create"), st.sampled_from(FOLDERS[1:])),
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of one account: at first, with more mail and a gap, and after a folder was made anew."""
    folder = tmp_path_factory.mktemp("archives")

    async def write() -> None:
        account = await empty(1_700_000_000.0)
        await account.append([Append(name, mail(f"{name} {n}")) for name in FOLDERS for n in range(3)], create=True)
        await to_archive(account, folder / "0.tar")
        await account.append([Append(name, mail(f"{name} more"), ("$k",)) for name in FOLDERS])
        await account.expunge("INBOX", [2, 4], only_deleted=False)
        await to_archive(account, folder / "1.tar")
        await account.delete("Sent")
        await account.create("Sent", "\\Sent")
        await account.append([Append("Sent", mail("Sent anew"))])
        await to_archive(account, folder / "2.tar")

    asyncio.run(write())
    return folder


async def contents(account: MailAccount) -> dict[str, list[bytes]]:
    found = {}
    for name in (await account.refresh()).folders:
        view = await account.folder(name)
        found[name] = [await account.body(view.body(row)) for row in range(view.exists)]
    return found


async def imported(account: MailAccount, archive: Path) -> None:
    """Each message that the archive adds is in its folder, and what was there stays."""
    before = await contents(account)
    carried = await from_archive(account, archive)
    after = await contents(account)
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + carried.messages
    for name, bodies in before.items():
        assert after[name][: len(bodies)] == bodies or not bodies
    assert not [name for name in after if name.startswith("Import")]
    again = await from_archive(account, archive)
    assert (again.messages, await contents(account)) == (0, after)
    if carried.messages and not carried.there:
        other = await empty()
        await from_archive(other, archive)
        for name, bodies in (await contents(other)).items():
            assert all(body in after.get(name, []) for body in bodies), name


async def done(account: MailAccount, operation: tuple[str, Any], archives: Path, number: int) -> None:
    match operation:
        case "import", which:
            await imported(account, archives / f"{which}.tar")
        case "export", which:  # its own: brought back at once, it adds nothing
            own = archives / f"own-{id(account)}-{number}-{which}.tar"
            await to_archive(account, own)
            before = await contents(account)
            assert (await from_archive(account, own)).messages == 0
            assert await contents(account) == before
        case "append", name:
            await account.append([Append(name, mail(f"own {number}"))], create=True)
        case "expunge", name:
            await account.expunge(name, [1, 2, 5], only_deleted=False)
        case "delete", name:
            await account.delete(name)
        case "rename", name:
            await account.rename(name, f"New {number}")
        case "create", name:
            await account.create(name)


async def lived(operations: list[tuple[str, Any]], archives: Path) -> None:
    """A life of an account, watched."""
    account = await empty()
    await account.refresh()
    Watch(account)
    for number, operation in enumerate(operations):
        try:
            await done(account, operation, archives, number)
        except Permanent as refused:
            assert operation[0] not in ("import", "export"), refused


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(OPERATIONS, max_size=9))
def test_whatever_happened_before_an_import_brings_each_message_once(
    archives: Path, operations: list[tuple[str, Any]]
) -> None:
    asyncio.run(lived(operations, archives))


def always_there(state: MailState, origin: bring.Origin, aside: Folder, target: Folder) -> Any:
    return bring._becoming(state, origin, aside, target, 1_800_000_000.0)


def by_name_alone(state: MailState, origin: bring.Origin) -> Folder | None:
    return state.folders.get(state.names.get(origin.aside, 0))


async def nothing_is_there(turn: bringing._Turn, message: Incoming) -> bool:
    return message.uid < turn._state.uidnext or turn._state.done


ABLATIONS: dict[str, tuple[Any, Any, list[tuple[str, Any]]]] = {
    "_uidvalidity": (
        bring,
        lambda state, origin, now: origin.uidvalidity,
        [("import", 1), ("delete", "Work"), ("import", 1)],
    ),
    "_marked": (bring, by_name_alone, [("append", "INBOX"), ("import", 0)]),
    "_merging": (bring, always_there, [("append", "INBOX"), ("import", 0)]),
    "_is_there": (bringing._Turn, nothing_is_there, [("append", "INBOX"), ("export", 0)]),
}


@pytest.mark.parametrize("name", ABLATIONS)
async def test_each_safeguard_is_needed(archives: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    owner, without, operations = ABLATIONS[name]
    await lived(operations, archives)
    monkeypatch.setattr(owner, name, without)
    with pytest.raises(AssertionError):
        await lived(operations, archives)
