"""What every store promises, asked of each of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from merpati.ids import SystemDice
from merpati.objects.api import Exists, NotFound, ObjectStore
from merpati.objects.probe import probe

BAD_KEYS = [
    "",  # nothing
    "/a",  # the same as "a" on some stores
    "a/",  # a folder
    "a//b",  # an empty component
    "../a",  # climbs
    "a/../b",
    "a/./b",
    ".tmp/a",  # hidden: the files engine's own
    "a/.b",
    "a b",
    "a-b",  # sorts before a/b or after it, as the store likes
    "a.b",
    "ä",
    "a\0b",
    "a\nb",
    "a%2fb",
    "x" * 256,  # a component of more than 255 bytes
    "/".join(["x" * 200] * 6),  # more than S3 takes
]


async def in_pieces(data: bytes, size: int = 3) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def keys_of(store: ObjectStore, prefix: str, after: str = "", limit: int | None = None) -> list[str]:
    return [info.key async for info in store.list(prefix, after=after, limit=limit)]


async def test_what_was_created_is_read_whole_in_ranges_and_in_pieces(store: ObjectStore) -> None:
    data = os.urandom(100_000)
    await store.create("a/b/c", data)
    assert await store.get("a/b/c") == data
    assert await store.get_range("a/b/c", 10, 20) == data[10:20]
    assert await store.get_range("a/b/c", 99_990, 200_000) == data[99_990:]
    assert await store.get_range("a/b/c", 5, 5) == b""
    assert await store.get_range("a/b/c", 100_000, 100_001) == b""
    assert b"".join([piece async for piece in store.get_stream("a/b/c", 30_000)]) == data
    assert (await store.head("a/b/c")).size == len(data)


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.create("empty", b"")
    assert await store.get("empty") == b""
    assert [piece async for piece in store.get_stream("empty")] in ([], [b""])
    assert await keys_of(store, "") == ["empty"]


async def test_create_leaves_what_is_there_alone(store: ObjectStore) -> None:
    await store.create("k", b"first")
    with pytest.raises(Exists):
        await store.create("k", b"second")
    with pytest.raises(Exists):
        await store.create("k", b"first")  # equal bytes prove nothing
    assert await store.get("k") == b"first"


async def test_one_of_many_writers_makes_a_key(store: ObjectStore) -> None:
    async def write(key: str, who: int) -> int | None:
        try:
            await store.create(key, b"%d" % who)
            return who
        except Exists:
            return None

    for round_ in range(5):
        key = f"race/{round_}"
        won = [who for who in await asyncio.gather(*(write(key, n) for n in range(8))) if who is not None]
        assert len(won) == 1
        assert await store.get(key) == b"%d" % won[0]


async def test_put_replaces(store: ObjectStore) -> None:
    await store.put("k", b"one")
    await store.put("k", b"two")
    assert await store.get("k") == b"two"
    await store.put_stream("k", in_pieces(b"three and more"))
    assert await store.get("k") == b"three and more"


async def test_a_large_object_goes_in_and_out_as_a_stream(store: ObjectStore) -> None:
    data = os.urandom(20 << 20)
    await store.put_stream("large", in_pieces(data, 1 << 20))
    size = 0
    async for piece in store.get_stream("large", 1 << 20):
        assert piece == data[size : size + len(piece)]
        size += len(piece)
    assert size == len(data)


async def test_a_stream_that_breaks_leaves_nothing(store: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.put_stream("torn", broken())
    with pytest.raises(NotFound):
        await store.get("torn")


async def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    for request in (store.get("no"), store.head("no/such"), store.get_range("no", 0, 1)):
        with pytest.raises(NotFound):
            await request
    with pytest.raises(NotFound):
        async for _ in store.get_stream("no"):
            pass


async def test_delete_takes_many_and_those_that_are_gone(store: ObjectStore) -> None:
    names = [f"d/{n:04}" for n in range(30)]
    await asyncio.gather(*(store.put(name, b"x") for name in names))
    await store.delete([*names[:20], "d/never", "nowhere/at/all"])
    await store.delete(names[:20])
    await store.delete([])
    assert await keys_of(store, "d/") == names[20:]


async def test_a_key_can_be_made_again_after_its_folder_was_emptied(store: ObjectStore) -> None:
    for _ in range(3):
        await store.create("x/y/z", b"1")
        await store.delete(["x/y/z"])
    assert await keys_of(store, "") == []


async def test_a_listing_is_in_the_order_of_the_bytes_of_the_keys(store: ObjectStore) -> None:
    written = ["aXb", "a/b1/d", "a/b/c", "a_b", "a0", "A", "b", "a/a", "a/b0", "a/b00/x", "0/9", "a/b/C"]
    for name in written:
        await store.put(name, name.encode())
    assert await keys_of(store, "") == sorted(written)
    assert await keys_of(store, "a/") == sorted(n for n in written if n.startswith("a/"))
    assert await keys_of(store, "a/b") == sorted(n for n in written if n.startswith("a/b"))
    assert await keys_of(store, "a") == sorted(n for n in written if n.startswith("a"))
    for after in ("a/b1/d", "a/b/X", "a/zzz", "a/b0", "0/0", "b"):
        assert await keys_of(store, "", after) == [name for name in sorted(written) if name > after]
    assert await keys_of(store, "a/", "a/a", 2) == ["a/b/C", "a/b/c"]
    assert await keys_of(store, "a/", limit=0) == []
    assert await keys_of(store, "nothing/") == []


async def test_a_long_listing_is_whole(store: ObjectStore) -> None:
    names = [f"many/{n:05}" for n in range(1203)]
    for start in range(0, len(names), 100):
        await asyncio.gather(*(store.put(name, b"x") for name in names[start : start + 100]))
    assert await keys_of(store, "many/") == names
    assert await keys_of(store, "many/", after=names[600], limit=500) == names[601:1101]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_key_that_is_none_of_ours_is_a_bug(store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError):
        await store.create(key, b"x")


async def test_the_probe_believes_a_good_store_and_leaves_nothing(store: ObjectStore) -> None:
    await probe(store, SystemDice())
    assert await keys_of(store, "") == []


async def test_it_says_what_it_is(store: ObjectStore) -> None:
    assert await store.check()
