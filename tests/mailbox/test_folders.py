"""Folders: made, renamed, removed, subscribed, annotated, over a store that works."""

from __future__ import annotations

import pytest

from merpati.clock import ManualClock
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import (
    BadName,
    FolderExists,
    Forbidden,
    MailboxLimits,
    NoSuchFolder,
    TooMany,
)
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, inbox, mail, mailboxes, messages


async def test_a_folder_is_made_with_those_above_it(account: MailAccount) -> None:
    await account.create("a/b/c")
    assert {"a", "a/b", "a/b/c"} <= set(account.view().folders)
    with pytest.raises(FolderExists):
        await account.create("a/b")
    with pytest.raises(FolderExists):
        await account.create("inbox")


async def test_a_deleted_folder_leaves_those_below_it_and_its_subscription(account: MailAccount) -> None:
    await account.create("a/b")
    await account.subscribe("a")
    await account.append(messages(1, folder="a"))
    await account.delete("a")
    view = account.view()
    assert "a" not in view.folders
    assert "a/b" in view.folders
    assert "a" in view.subscriptions
    assert view.messages == 0
    with pytest.raises(NoSuchFolder):
        await account.folder("a")
    with pytest.raises(NoSuchFolder):
        await account.delete("a")
    with pytest.raises(Forbidden):
        await account.delete("INBOX")


async def test_a_folder_made_again_has_a_greater_uidvalidity_and_another_id(account: MailAccount) -> None:
    seen: list[tuple[int, str]] = []
    for _ in range(3):
        await account.create("x")
        info = account.view().folders["x"]
        seen.append((info.uidvalidity, info.mailbox_id))
        await account.delete("x")
    assert seen == sorted(set(seen))
    assert len({mailbox_id for _, mailbox_id in seen}) == 3


async def test_a_renamed_tree_keeps_its_messages_uids_and_ids(account: MailAccount) -> None:
    await account.create("a/b/c")
    await account.append(messages(1, folder="a/b"))
    before = account.view().folders
    await account.rename("a", "x/y")
    after = account.view().folders
    assert {"x", "x/y", "x/y/b", "x/y/b/c"} <= set(after)
    assert not {"a", "a/b", "a/b/c"} & set(after)
    for old, new in (("a", "x/y"), ("a/b", "x/y/b"), ("a/b/c", "x/y/b/c")):
        assert (after[new].id, after[new].uidvalidity) == (before[old].id, before[old].uidvalidity)
    assert after["x/y/b"].exists == 1


async def test_a_name_that_has_only_folders_below_it_is_renamed_with_them(account: MailAccount) -> None:
    await account.create("a/b/c")
    await account.append(messages(1, folder="a/b"))
    await account.subscribe("a/b")
    await account.delete("a")
    await account.rename("a/", "x/y")
    view = account.view()
    assert {name for name in view.folders if name[0] in "ax"} == {"x", "x/y/b", "x/y/b/c"}
    assert view.folders["x/y/b"].exists == 1
    assert view.subscriptions >= {"a/b", "x/y/b"}
    for old, new, refusal in (("a", "z", NoSuchFolder), ("x/y", "x/y/b/d", BadName), ("x/y", "x", FolderExists)):
        with pytest.raises(refusal):
            await account.rename(old, new)
    await account.create("x/y")
    await account.rename("x/y/b", "b")
    await account.rename("x", "INBOX/x")
    assert {"INBOX/x", "INBOX/x/y", "b", "b/c"} <= set(account.view().folders)


async def test_a_name_never_shows_an_older_uidvalidity_than_before(account: MailAccount) -> None:
    await account.create("old")
    await account.create("new")
    newer = account.view().folders["new"].uidvalidity
    await account.delete("new")
    await account.rename("old", "new")
    assert account.view().folders["new"].uidvalidity > newer


async def test_renaming_inbox_moves_its_messages_and_leaves_it_as_it_was(account: MailAccount) -> None:
    await account.append(messages(1, 2, flags=("$k",)))
    before = account.view().folders["INBOX"]
    await account.rename("INBOX", "saved/mail")
    after = account.view().folders
    assert (after["INBOX"].id, after["INBOX"].uidvalidity) == (before.id, before.uidvalidity)
    assert (after["INBOX"].exists, after["INBOX"].uidnext, after["saved/mail"].exists) == (0, 3, 2)
    view = await inbox(account, "saved/mail")
    assert await account.body(view.body(1)) == mail(2)
    assert view.flag_names(view.flags[0]) == ("$k",)


BAD_RENAMES = [
    ("nowhere", "x", NoSuchFolder),
    ("a", "a/b", FolderExists),
    ("a", "a/x/y", BadName),  # below itself
    ("a", "Sent", FolderExists),
    ("a", "inbox", FolderExists),
    ("a", "x//y", BadName),
]


@pytest.mark.parametrize(("old", "new", "error"), BAD_RENAMES)
async def test_a_rename_that_cannot_be_changes_nothing(
    account: MailAccount, old: str, new: str, error: type[Exception]
) -> None:
    await account.create("a/b")
    before = account.view()
    with pytest.raises(error):
        await account.rename(old, new)
    assert account.view().folders == before.folders


async def test_a_folder_is_found_by_its_id_after_a_rename_elsewhere(account: MailAccount, store: MemoryStore) -> None:
    folder = await account.create("a")
    await account.append(messages(1, folder="a"))
    await fresh(store).rename("a", "b")
    assert (await account.store(folder, [1], ["\\Seen"])).changed == (1,)
    assert (await account.folder(folder, fresh=True)).info.name == "b"


async def test_subscriptions_need_no_folder(account: MailAccount) -> None:
    await account.subscribe("not/there/yet")
    await account.subscribe("not/there/yet")
    assert "not/there/yet" in account.view().subscriptions
    await account.unsubscribe("not/there/yet")
    await account.unsubscribe("not/there/yet")
    assert "not/there/yet" not in account.view().subscriptions


async def test_annotations_are_kept_changed_removed_and_bounded(store: MemoryStore, clock: ManualClock) -> None:
    account = await mailboxes(store, clock, limits=MailboxLimits(max_metadata=100)).open(ACCOUNT)
    await account.set_metadata("Sent", {"/private/comment": b"mine", "/shared/comment": b"ours"})
    await account.set_metadata("", {"/private/x": b"account"})
    await account.set_metadata("Sent", {"/shared/comment": None, "/never": None})
    assert account.view().metadata("Sent") == {"/private/comment": b"mine"}
    assert account.view().metadata("") == {"/private/x": b"account"}
    with pytest.raises(TooMany):
        await account.set_metadata("Sent", {"/private/long": b"x" * 100})
    with pytest.raises(NoSuchFolder):
        await account.set_metadata("nowhere", {"/private/x": b""})
    await account.delete("Sent")
    await account.create("Sent")
    assert account.view().metadata("Sent") == {}


async def test_folders_have_a_limit(store: MemoryStore, clock: ManualClock) -> None:
    account = await mailboxes(store, clock, limits=MailboxLimits(max_folders=8)).open(ACCOUNT)
    await account.create("a/b")
    with pytest.raises(TooMany):
        await account.create("c")


async def test_a_special_use_is_given_once(account: MailAccount) -> None:
    with pytest.raises(Forbidden):
        await account.create("Gesendet", "\\Sent")
    await account.delete("Sent")
    await account.create("Gesendet", "\\Sent")
    assert account.view().folders["Gesendet"].special_use == "\\Sent"
