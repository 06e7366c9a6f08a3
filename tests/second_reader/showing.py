"""Mailboxes as merpati shows them, for the second reader to be held against; and what a log has."""

from __future__ import annotations

import msgspec

from merpati.mailbox.account import MailAccount
from merpati.mailbox.state import MailState
from merpati.mailbox.views import AccountAt
from merpati.message.summary import Summary
from tests.second_reader.log import Log
from tests.second_reader.reader import Folder, Mailbox, Message


async def shown(account: MailAccount, state: MailState) -> Mailbox:
    """A state as merpati shows it."""
    view = AccountAt(state)
    folders = {name: await _folder(account, state, name) for name in view.folders}
    noted = {name: dict(entries) for name in ("", *view.folders) if (entries := view.metadata(name))}
    return Mailbox(view.number, False, folders, view.subscriptions, noted, dict(state.causes))


async def _folder(account: MailAccount, state: MailState, name: str) -> Folder:
    view = account.past_folder(state.find(name), state)
    info, rows = view.info, range(view.exists)
    texts = await view.summaries(rows)
    messages = [
        Message(
            view.uids[row], frozenset(view.flag_names(view.flags[row])), view.dates[row], view.modseqs[row],
            view.sizes[row], view.email_id(row), await account.body(view.body(row)),
            texts[row].envelope, texts[row].body, texts[row].structure, _sorting(texts[row]),
        )
        for row in rows
    ]  # fmt: skip
    gone = set[tuple[int, int]]()
    since = state.find(name).vanished.since
    for modseq in range(info.highestmodseq, since, -1):
        new = {uid for first, last in view.vanished_since(modseq - 1) for uid in range(first, last + 1)}
        gone |= {(uid, modseq) for uid in new - {uid for uid, _ in gone}}
    return Folder(
        info.id, name, info.uidvalidity, info.uidnext, info.highestmodseq, info.special_use, view.keywords,
        info.exists, info.unseen, info.deleted, info.size, info.deleted_size, tuple(messages), frozenset(gone),
        since,
    )  # fmt: skip


def _sorting(summary: Summary) -> tuple[object, ...]:
    one, two = summary, (summary.message_id, summary.in_reply_to, list(summary.references))
    return (
        one.size, one.sent_at, one.sent_day, one.subject, one.base_subject, one.is_answer, one.author_name, one.author,
        *two,
    )  # fmt: skip


def assert_same(read: Mailbox, expected: Mailbox) -> None:
    """Folder by folder, so that a difference can be read."""
    assert sorted(read.folders) == sorted(expected.folders)
    for name, folder in expected.folders.items():
        for mine, theirs in zip(read.folders[name].messages, folder.messages, strict=False):
            assert mine == theirs
        assert read.folders[name] == folder
    assert read == expected


def letters_in(log: Log, last: int) -> set[str]:
    """The kinds of change in the commits that can still be read."""
    commits = [commit for number in range(2, last + 1) if (commit := log.commit(number)) is not None]
    parts = [changes for commit in commits for changes, _ in commit.parts]
    return {letter for changes in parts for letter, *_ in msgspec.msgpack.decode(changes)}
