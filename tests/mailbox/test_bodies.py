"""The bytes of messages: small and large ones, whole and in part, and what becomes of damaged ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from merpati.clock import ManualClock
from merpati.errors import Permanent
from merpati.ids import digest_of
from merpati.log.reading import GRACE
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import MAX_INLINE, Append, BodyMissing, Large
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(ManualClock())


@pytest.fixture
async def account(store: MemoryStore) -> MailAccount:
    return await mailboxes(store).open(ACCOUNT)


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read_in_every_way(account: MailAccount, row: int) -> bytes:
    view = await account.folder("INBOX")
    ref = view.body(row)
    whole = await account.body(ref)
    assert len(whole) == view.sizes[row] == ref.size
    assert b"".join([piece async for piece in account.body_stream(ref, 1000)]) == whole
    for start, end in ((0, 10), (len(whole) - 5, len(whole) + 99), (7, 7), (0, len(whole)), (20, len(whole) // 2)):
        assert await account.body_range(ref, start, end) == whole[start:end]
    return whole


async def test_a_message_that_is_too_large_to_ride_along_is_an_object_of_its_own(
    account: MailAccount, store: MemoryStore
) -> None:
    large = mail(1, MAX_INLINE)
    await account.append([Append("INBOX", large)])
    assert await read_in_every_way(account, 0) == large
    sizes = {info.key.partition("/")[0]: info.size async for info in store.list("")}
    assert sizes["blobs"] == len(large)
    assert sizes["accounts"] < 2000
    assert (await (await account.folder("INBOX")).summaries([0]))[0].subject == "message 1"


async def test_a_large_message_comes_in_as_a_stream(account: MailAccount) -> None:
    data = mail(1) + os.urandom(6 << 20)
    large = await account.put_large(pieces(data))
    assert (large.size, large.digest) == (len(data), digest_of(data))
    await account.append([Append("INBOX", large)])
    assert await read_in_every_way(account, 0) == data


async def test_recipients_share_a_large_body_each_with_its_own_head_and_without_what_was_removed(
    store: MemoryStore,
) -> None:
    received = b"X-Spam: yes\r\n" + mail(1, 1000)
    await store.put("blobs/shared", received)
    shared = Large("blobs/shared", digest_of(received), len(received), b"Return-Path: <a@b>\r\n", ((0, 13), (20, 25)))
    account = await mailboxes(store).open(ACCOUNT)
    await account.append([Append("INBOX", shared), Append("INBOX", shared)])
    expected = b"Return-Path: <a@b>\r\n" + received[13:20] + received[25:]
    for row in range(2):
        assert await read_in_every_way(account, row) == expected
    view = await account.folder("INBOX")
    assert view.email_id(0) != view.email_id(1)
    await account.copy("INBOX", [1], "Sent")
    sent = await account.folder("Sent")
    assert await fresh(store).body(sent.body(0)) == expected
    assert sent.email_id(0) == view.email_id(0)


async def test_a_large_body_without_a_prefix_is_one_too(store: MemoryStore) -> None:
    data = mail(1)
    await store.put("blobs/x", data)
    account = await mailboxes(store).open(ACCOUNT)
    await account.append([Append("INBOX", Large("blobs/x", digest_of(data), len(data)))] * 3)
    view = await account.folder("INBOX")
    assert len({view.email_id(row) for row in range(3)}) == 3
    assert await read_in_every_way(account, 2) == data


@pytest.mark.parametrize("without", [((5, 3),), ((0, 999_999),), ((10, 20), (15, 30)), ((-1, 2),)])
async def test_ranges_that_make_no_sense_are_refused(
    account: MailAccount, without: tuple[tuple[int, int], ...]
) -> None:
    data = mail(1)
    large = await account.put_large(pieces(data))
    with pytest.raises(Permanent):
        await account.append([Append("INBOX", Large(large.key, large.digest, large.size, b"", without))])


async def test_many_messages_of_one_append_do_not_make_one_huge_commit(
    account: MailAccount, store: MemoryStore
) -> None:
    each = MAX_INLINE - 200
    await account.append([Append("INBOX", mail(number, each)) for number in range(40)])
    largest = max([info.size async for info in store.list(LAYOUT.commits)])
    assert largest < 6 << 20
    view = await account.folder("INBOX")
    assert [await account.body(view.body(row)) for row in (0, 20, 39)] == [mail(n, each) for n in (0, 20, 39)]


async def test_a_message_whose_bytes_are_damaged_is_missing_and_its_neighbours_are_not(
    account: MailAccount, store: MemoryStore
) -> None:
    await account.append(messages(1))
    await account.append(messages(2))
    key = LAYOUT.commit(3)
    spoilt = bytearray(await store.get(key))
    spoilt[40] ^= 1
    await store.put(key, bytes(spoilt))
    view = await account.folder("INBOX")
    with pytest.raises(BodyMissing) as missing:
        await account.body(view.body(0))
    assert missing.value.facts["key"] == key
    assert await account.body(view.body(1)) == mail(2)
    await store.delete([key])
    with pytest.raises(BodyMissing):
        await account.body(view.body(0))


async def test_a_large_body_that_was_changed_or_cut_in_the_store_is_missing(store: MemoryStore) -> None:
    account = await mailboxes(store).open(ACCOUNT)
    large = mail(1, MAX_INLINE)
    await account.append([Append("INBOX", large)])
    view = await account.folder("INBOX")
    (key,) = [info.key async for info in store.list("blobs/")]
    for spoilt in (large[:-1] + b"y", large[:-1], b""):
        await store.put(key, spoilt)
        with pytest.raises(BodyMissing):
            await account.body(view.body(0))
    await store.delete([key])
    with pytest.raises(BodyMissing):
        await account.body_range(view.body(0), 0, 10)


async def test_bytes_of_a_stalled_writer_are_not_taken_for_those_that_have_moved() -> None:
    """P4: under the number of a deleted commit another may stand again; a prefix has no digest that would tell."""
    clock = ManualClock(19_676 * 86_400.0)
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    body = await account.put_large(pieces(mail(1)[20:]))
    large = Append("INBOX", Large(body.key, body.digest, body.size, mail(1)[:20]))
    await account.append([large, *messages(2)])
    number = account.view().number
    sleepers = [fresh(store, clock, seed) for seed in (5, 6)]
    views = [await each.folder("INBOX") for each in sleepers]
    await account.compact()
    await clock.advance(GRACE + 1)
    await account.compact()
    await store.create(LAYOUT.commit(number), b"x" * 1000)
    for row, (sleeper, view) in enumerate(zip(sleepers, views, strict=True)):
        assert await sleeper.body(view.body(row)) == mail(row + 1)
