"""Messages that are lost do not take others with them: they are counted and named, and the rest is carried."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying.leaving import _groups, carried_out, departing
from merpati.mailbox.carrying.values import Carried, Departing, Outgoing, Tally, Unwritable
from merpati.objects.memory import MemoryStore
from tests.carrying.everything import (
    OTHER,
    Hurried,
    empty,
    everything,
    from_archive,
    from_maildir,
    from_mbox,
    present,
    to_archive,
    to_maildir,
    to_mbox,
)
from tests.mailbox.worlds import mail, mailboxes

WAYS = [(to_archive, from_archive), (to_mbox, from_mbox), (to_maildir, from_maildir)]
Way = Callable[[MailAccount, Path], Awaitable[Carried]]


async def damaged() -> MailAccount:
    """Of five messages, one large one is gone and another is not what it was."""
    clock = Hurried()
    store = MemoryStore(clock)
    account = mailboxes(store, clock).account(OTHER)
    await account.append([Append("INBOX", mail(1)), Append("INBOX", mail(2, 300_000)), Append("INBOX", mail(3))])
    await account.append([Append("Work", mail(4, 300_000)), Append("Work", mail(5, 300_000))], create=True)
    gone, wrong = [info.key async for info in store.list("blobs/")][:2]
    await store.delete([gone])
    data = await store.get(wrong)
    await store.put(wrong, data[:-1] + b"y")
    return account


@pytest.mark.parametrize(("out", "into"), WAYS)
async def test_what_can_be_read_goes_out(tmp_path: Path, out: Way, into: Way) -> None:
    account = await damaged()
    went = await out(account, tmp_path / "out")
    assert (went.messages, went.lost) == (3, 2)
    assert len(went.notes) == 2 and all(note.endswith("its bytes are lost") for note in went.notes)
    other = await empty()
    came = await into(other, tmp_path / "out")
    assert came.messages == 3 and came.lost == (2 if out is to_archive else 0)
    assert sum(len(messages) for messages in (await everything(other)).values()) == 3


class Full:
    """A disk without room for the second folder."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def folder(self, folder: Departing) -> str:
        if self.said:
            raise OSError(28, "No space left on device", "out")
        self.said.append(folder.name)
        return ""

    def write(self, messages: list[Outgoing]) -> None:
        self.said.append(f"{len(messages)} messages")

    def close(self, done: Carried) -> None:
        self.said.append("closed")

    def abandon(self) -> None:
        self.said.append("abandoned")


async def test_a_full_disk_is_told_in_plain_words_and_nothing_is_left() -> None:
    account, writer = await damaged(), Full()
    state = (await present(account)).state
    with pytest.raises(Unwritable, match="No space left on device"):
        await carried_out(account, state, departing(state), writer)  # type: ignore[arg-type]
    assert writer.said[-1] == "abandoned" and "closed" not in writer.said


def test_a_report_names_only_so_many() -> None:
    tally = Tally()
    for number in range(1500):
        tally.note(f"message {number}")
    assert len(tally.carried.notes) == 1001 and tally.carried.notes[-1] == "and 500 more"


M = 1 << 20
GROUPS = [
    ([], []),
    ([1] * 250, [100, 100, 50]),
    ([M // 8] * 40, [16, 16, 8]),
    ([M] * 3, [1, 1, 1]),
    ([1, 1, M, 1], [2, 1, 1]),
]


@pytest.mark.parametrize(("sizes", "expected"), GROUPS)
def test_messages_go_together_by_number_and_size_and_a_large_one_alone(sizes: list[int], expected: list[int]) -> None:
    rows = list(_groups(sizes))
    assert [len(each) for each in rows] == expected
    assert [row for each in rows for row in each] == list(range(len(sizes)))
