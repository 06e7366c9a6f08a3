"""Whether a reader that was written from docs/mailbox-log.md finds in the store what merpati shows, byte for byte.

Nothing here needs to be changed when the code is: if the two differ, either the code or the page is wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from merpati.mailbox.account import MailAccount
from merpati.mailbox.state import MailState
from merpati.mailbox.views import AccountAt
from tests.second_reader.lives import ACCOUNT, Life
from tests.second_reader.reader import Folder, Mailbox, Message, read_mailbox


async def shown(account: MailAccount, state: MailState) -> Mailbox:
    """A state as merpati shows it."""
    view = AccountAt(state)
    folders = {name: await _folder(account, state, name) for name in view.folders}
    noted = {name: dict(entries) for name in ("", *view.folders) if (entries := view.metadata(name))}
    return Mailbox(view.number, False, folders, view.subscriptions, noted)


async def _folder(account: MailAccount, state: MailState, name: str) -> Folder:
    view = account.past_folder(state.find(name), state)
    info, rows = view.info, range(view.exists)
    texts = await view.summaries(rows)
    messages = [
        Message(
            view.uids[row], frozenset(view.flag_names(view.flags[row])), view.dates[row], view.modseqs[row],
            view.sizes[row], view.email_id(row), await account.body(view.body(row)),
            texts[row].envelope, texts[row].body, texts[row].structure,
        )
        for row in rows
    ]  # fmt: skip
    gone = set()
    for modseq in range(info.highestmodseq, 0, -1):
        new = {uid for first, last in view.vanished_since(modseq - 1) for uid in range(first, last + 1)}
        gone |= {(uid, modseq) for uid in new - {uid for uid, _ in gone}}
    return Folder(
        info.id, name, info.uidvalidity, info.uidnext, info.highestmodseq, info.special_use, view.keywords,
        info.exists, info.unseen, info.deleted, info.size, info.deleted_size, tuple(messages), frozenset(gone),
    )  # fmt: skip


def assert_same(read: Mailbox, expected: Mailbox) -> None:
    """Folder by folder, so that a difference can be read."""
    assert sorted(read.folders) == sorted(expected.folders)
    for name, folder in expected.folders.items():
        for mine, theirs in zip(read.folders[name].messages, folder.messages, strict=False):
            assert mine == theirs
        assert read.folders[name] == folder
    assert read == expected


@pytest.mark.parametrize("seed", range(4))
async def test_a_reader_made_from_the_page_finds_what_merpati_shows(seed: int, tmp_path: Path) -> None:
    life = Life(tmp_path, seed)

    async def check() -> None:
        account = await life.other_process()
        assert account.log.tip is not None
        assert_same(read_mailbox(tmp_path, ACCOUNT), await shown(account, account.log.tip.state))

    await life.live(40)
    await check()
    await life.account.keep_snapshot()
    await life.live(25)
    await check()
    await life.truncate()
    await life.bring_back()
    await life.bring_in()
    await life.live(25)
    await check()
    await life.clean()
    await check()
    await life.live(20)
    await check()
    await life.close()
