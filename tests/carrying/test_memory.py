"""A mailbox is never in memory as a whole, whichever way it goes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append
from merpati.mailbox.carrying.values import Carried
from merpati.objects.files import FilesStore
from tests.carrying.everything import (
    OTHER,
    Hurried,
    from_archive,
    from_maildir,
    from_mbox,
    to_archive,
    to_maildir,
    to_mbox,
)
from tests.mailbox.worlds import mail, mailboxes

SMALL, LARGE = 12_000, 6
MOST = 60 << 20
"""Bytes: two batches, one large message being looked at, and what the state of so many messages takes."""


def account(folder: Path) -> MailAccount:
    clock = Hurried()
    return mailboxes(FilesStore(folder, clock), clock).account(OTHER)


async def filled(folder: Path) -> MailAccount:
    """200 MB of mail, most of it small."""
    made, dice = account(folder), random.Random(7)
    for start in range(0, SMALL, 200):
        letters = [mail(number) + _text(dice, 12_000) for number in range(start, start + 200)]
        await made.append([Append(("INBOX", "Work")[start % 400 // 200], letter) for letter in letters], create=True)
    for number in range(LARGE):
        await made.append([Append("Work", mail(f"large {number}") + _text(dice, 10_000_000))])
    return made


def _text(dice: random.Random, size: int) -> bytes:
    return dice.randbytes(size // 2).hex().encode() + b"\r\n"


WAYS = [(to_archive, from_archive, "a.tar.gz"), (to_mbox, from_mbox, "mbox"), (to_maildir, from_maildir, "maildir")]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_hundred_megabytes_of_mail_go_out_and_in_within_sixty(tmp_path: Path) -> None:
    await filled(tmp_path / "store")

    async def carried(work: Callable[[MailAccount, Path], Awaitable[Carried]], store: str, place: str) -> Carried:
        tracemalloc.start()
        try:
            done = await work(account(tmp_path / store), tmp_path / place)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert done.size > 200_000_000 and most < MOST, (work, most)
        return done

    for out, into, place in WAYS:
        went = await carried(out, "store", place)
        came = await carried(into, f"new-{place}", place)
        assert went.messages == came.messages == SMALL + LARGE
