"""Retries, the meter, the disk cache and the probe, each over a store in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Misconfigured, Unavailable, Unknown
from merpati.ids import SeededDice
from merpati.objects.api import Exists, NotFound, ObjectStore
from merpati.objects.cache import CachedStore, immutable
from merpati.objects.location import s3_location
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore
from merpati.objects.open import open_store
from merpati.objects.probe import probe
from merpati.objects.retry import RetryingStore
from merpati.objects.wrapped import WrappedStore
from tests.objects.faulty import Faults, FaultyStore


class Counted:
    """What a meter was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, operation: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((operation, outcome))


class FailsFirst(WrappedStore):
    """Every get and create fails a number of times."""

    def __init__(self, inner: ObjectStore, error: Exception, times: int) -> None:
        super().__init__(inner)
        self.error, self.left = error, times

    async def get(self, key: str) -> bytes:
        self._fail()
        return await super().get(key)

    async def create(self, key: str, data: bytes) -> None:
        self._fail()
        await super().create(key, data)

    def _fail(self) -> None:
        if self.left:
            self.left -= 1
            raise self.error


async def with_time(clock: ManualClock, work: asyncio.Task[object]) -> None:
    while not work.done():
        await clock.advance(0.1)


RETRIES = [  # method, error, times it fails, whether the caller notices
    ("get", Unavailable("503"), 3, False),
    ("get", Unavailable("503"), 4, True),
    ("get", Unknown("no answer"), 3, False),
    ("get", NotFound("404"), 1, True),
    ("get", Unavailable("full", lasting=True), 1, True),
    ("create", Unavailable("503"), 3, False),
    ("create", Unknown("no answer"), 1, True),  # PROTOCOL.md rule C4: the caller looks first
    ("create", Exists("412"), 1, True),
]


@pytest.mark.parametrize(("method", "error", "times", "noticed"), RETRIES)
async def test_what_may_be_tried_again_is(method: str, error: Exception, times: int, noticed: bool) -> None:
    clock = ManualClock()
    inner = MemoryStore(clock)
    await inner.put("there", b"x")
    store = RetryingStore(FailsFirst(inner, error, times), clock, SeededDice(1))
    work = asyncio.ensure_future(store.get("there") if method == "get" else store.create("new", b"y"))
    await with_time(clock, work)
    assert (work.exception() is error) == noticed


async def test_a_listing_goes_on_where_it_broke() -> None:
    clock = ManualClock()
    inner = MemoryStore(clock)
    for number in range(50):
        await inner.put(f"k/{number:03}", b"")

    class Breaking(WrappedStore):
        async def list(self, prefix, *, after="", limit=None):  # type: ignore[no-untyped-def, override]
            given = 0
            async for info in self._inner.list(prefix, after=after, limit=limit):
                if given == 7:
                    raise Unavailable("503")
                given += 1
                yield info

    store = RetryingStore(Breaking(inner), clock, SeededDice(1))

    async def listed(limit: int | None) -> list[str]:
        return [info.key async for info in store.list("k/", limit=limit)]

    for limit in (None, 20):
        work = asyncio.ensure_future(listed(limit))
        await with_time(clock, work)
        assert work.result() == [f"k/{number:03}" for number in range(limit or 50)]


async def test_the_meter_sees_each_request_and_how_it_ended() -> None:
    seen = Counted()
    store = MeteredStore(MemoryStore(ManualClock()), ManualClock(), seen)
    await store.create("a", b"1")
    with pytest.raises(Exists):
        await store.create("a", b"1")
    with pytest.raises(NotFound):
        await store.get("b")
    assert [piece async for piece in store.get_stream("a")] == [b"1"]
    assert [info.key async for info in store.list("")] == ["a"]
    assert [info.key async for info in store.list("z")] == []
    assert seen.seen == [
        ("create", "ok"),
        ("create", "exists"),
        ("get", "notfound"),
        ("get_stream", "ok"),
        ("list", "ok"),
        ("list", "ok"),
    ]


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name not in ("sweep.lock", "looked")]


IMMUTABLE = "accounts/a/log/00000000000000000002"


async def test_an_immutable_object_is_read_once_by_all_processes_of_a_node(tmp_path: Path) -> None:
    seen = Counted()
    inner = MeteredStore(MemoryStore(ManualClock()), ManualClock(), seen)
    await inner.create(IMMUTABLE, b"commit" * 100)
    hits: list[bool] = []
    stores = [CachedStore(inner, tmp_path, 1 << 20, ManualClock(), observe=hits.append) for _ in range(2)]
    for store in stores * 2:
        assert await store.get(IMMUTABLE) == b"commit" * 100
        assert await store.get_range(IMMUTABLE, 3, 9) == b"mitcom"
    assert seen.seen[1:] == [("get", "ok")]
    with pytest.raises(NotFound):
        await stores[0].get(f"{IMMUTABLE}9")
    assert hits == [False, *[True] * 7]


async def test_what_is_not_there_is_not_remembered_as_missing(tmp_path: Path) -> None:
    store = CachedStore(MemoryStore(ManualClock()), tmp_path, 1 << 20, ManualClock())
    with pytest.raises(NotFound):
        await store.get(IMMUTABLE)
    await store.create(IMMUTABLE, b"now")
    assert await store.get(IMMUTABLE) == b"now"


@pytest.mark.parametrize("spoil", [b"", b"x", None])
async def test_a_torn_or_foreign_cache_file_is_a_miss(tmp_path: Path, spoil: bytes | None) -> None:
    inner = MemoryStore(ManualClock())
    await inner.create(IMMUTABLE, b"the commit")
    store = CachedStore(inner, tmp_path, 1 << 20, ManualClock())
    await store.get(IMMUTABLE)
    (file,) = entries(tmp_path)
    file.write_bytes(file.read_bytes()[:-3] if spoil is None else spoil)
    assert await store.get(IMMUTABLE) == b"the commit"


async def test_the_cache_stays_under_its_limit_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    inner = MemoryStore(ManualClock())
    limit = 100_000
    names = [f"accounts/a/log/{number:020}" for number in range(100)]
    for name in names:
        await inner.create(name, b"x" * 5000)
    store = CachedStore(inner, tmp_path, limit, ManualClock())
    for name in names:
        await store.get(name)
        await store.get(names[0])
    used = sum(path.stat().st_size for path in entries(tmp_path))
    assert used <= limit * 1.1
    await inner.delete(names)
    assert await store.get(names[0]) == b"x" * 5000
    assert await store.get(names[-1]) == b"x" * 5000
    with pytest.raises(NotFound):
        await store.get(names[1])


async def test_what_is_deleted_through_the_cache_is_gone_from_it(tmp_path: Path) -> None:
    store = CachedStore(MemoryStore(ManualClock()), tmp_path, 1 << 20, ManualClock())
    await store.create(IMMUTABLE, b"1")
    await store.get(IMMUTABLE)
    await store.delete([IMMUTABLE])
    with pytest.raises(NotFound):
        await store.get(IMMUTABLE)


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (IMMUTABLE, True),
        ("accounts/a/snap/1", True),
        ("accounts/a/chunk/ff", True),
        ("accounts/a/pack/1", True),
        ("blobs/ff", True),
        ("accounts/a/floor/1", False),  # raised, not rewritten, but never read twice
        ("probe/1", False),
        ("other/log/1", False),
    ],
)
def test_only_what_never_changes_is_kept(key: str, kept: bool) -> None:
    assert immutable(key) == kept


class Overwriting(WrappedStore):
    """A store that ignores If-None-Match, as some S3 look-alikes do."""

    async def create(self, key: str, data: bytes) -> None:
        await self._inner.put(key, data)


class Forgetting(WrappedStore):
    """A store that takes everything and keeps nothing."""

    async def create(self, key: str, data: bytes) -> None:
        pass


class CheckThenPut(WrappedStore):
    """A store that looks whether the key is free and then writes: two writers may both see it free."""

    async def create(self, key: str, data: bytes) -> None:
        try:
            await self._inner.head(key)
        except NotFound:
            await asyncio.sleep(0)
            return await self._inner.put(key, data)
        raise Exists("taken", key=key)


@pytest.mark.parametrize("broken", [Overwriting, Forgetting, CheckThenPut])
async def test_the_probe_refuses_a_store_that_breaks_its_word(broken: type[WrappedStore]) -> None:
    with pytest.raises(Misconfigured, match=r"store\.url"):
        await probe(broken(MemoryStore(ManualClock())), SeededDice(1))


async def test_the_probe_is_not_fooled_by_lost_answers() -> None:
    clock = SystemClock()
    for seed in range(20):
        await probe(FaultyStore(MemoryStore(clock), clock, SeededDice(seed), Faults(lose=0.5)), SeededDice(seed))


GOOD_URLS = [  # url, environment, (bucket, endpoint, region, path style, access key)
    ("s3://mail", {}, ("mail", "", "us-east-1", False, "")),
    (
        "s3://mail?endpoint=http://127.0.0.1:9000",
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        ("mail", "http://127.0.0.1:9000", "us-east-1", True, "a"),
    ),
    (
        "s3://mail?endpoint=https://s3.example/&region=eu-west-1&path_style=false",
        {"AWS_REGION": "x"},
        ("mail", "https://s3.example", "eu-west-1", False, ""),
    ),
]


@pytest.mark.parametrize(("url", "environment", "expected"), GOOD_URLS)
def test_an_s3_url_is_read(url: str, environment: dict[str, str], expected: tuple[object, ...]) -> None:
    where = s3_location(url, environment)
    assert (where.bucket, where.endpoint, where.region, where.path_style, where.access_key) == expected


BAD_URLS = [
    "s3:",  # no bucket
    "s3://",
    "s3://UPPER",
    "s3://key:secret@bucket",  # secrets do not belong in a URL
    "s3://mail/folder",
    "s3://mail?endpont=http://x",  # a misspelt option
    "s3://mail?endpoint=127.0.0.1:9000",  # no scheme
    "http://mail",
    "files:",
    "file:relative",
    "memory:x",
    "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_mistaken_url_is_refused_in_words_without_secrets(url: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        open_store(url, data=tmp_path, clock=ManualClock(), dice=SeededDice(1), environment={})
    assert "store.url" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_keys_come_from_files_and_never_show(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("canary-id\n")
    (tmp_path / "secret").write_text("canary-secret\n")
    environment = {
        "AWS_ACCESS_KEY_ID_FILE": str(tmp_path / "key"),
        "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
    }
    where = s3_location("s3://mail", environment)
    assert (where.access_key, where.secret_key) == ("canary-id", "canary-secret")
    assert "canary" not in repr(where)
    with pytest.raises(Misconfigured, match="AWS_SECRET_ACCESS_KEY_FILE"):
        s3_location("s3://mail", {**environment, "AWS_SECRET_ACCESS_KEY_FILE": "/no/such"})
