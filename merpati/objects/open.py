"""Builds the store that the settings name, with its decorators in their order.  Called by `components` and the tests.

From the outside in: the disk cache (S3 only), the retries, the meter, the store itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.ids import Dice
from merpati.objects.api import ObjectStore
from merpati.objects.cache import CachedStore
from merpati.objects.files import FilesStore
from merpati.objects.location import S3Location, s3_location
from merpati.objects.memory import MemoryStore
from merpati.objects.metered import MeteredStore, Observe
from merpati.objects.retry import RetryingStore
from merpati.objects.s3 import BucketStore


def open_store(
    url: str,
    *,
    data: Path,
    clock: Clock,
    dice: Dice,
    observe: Observe | None = None,
    cache: int = 0,
    cache_at: Path | None = None,
    cached: Callable[[bool], None] | None = None,
    sound: Callable[[str, bytes], bool] = lambda key, data: True,
    environment: Mapping[str, str] = os.environ,
) -> ObjectStore:
    """The store of `[store] url`.  `data` holds `objects` (for `file:`) and `cache` (`cache` bytes of it, for S3;
    in the folder `cache_at` instead, if that is given).

    `observe` is told of every request (see `metered`), `cached` of every read by the cache, `sound` is asked what that
    may keep.  Raises `Misconfigured`; reaches nothing yet but the folder.
    """
    store = _engine(url, data, clock, environment)
    if observe is not None:
        store = MeteredStore(store, clock, observe)
    store = RetryingStore(store, clock, dice)
    if cache and url.startswith("s3:"):
        folder = cache_at or data / "cache" / _of_bucket(s3_location(url, environment))
        store = CachedStore(store, folder, cache, clock, sound=sound, observe=cached)
    return store


def _of_bucket(place: S3Location) -> str:
    """A folder for each bucket: the logs of a directory have the same keys in all."""
    return hashlib.blake2b(f"{place.endpoint} {place.bucket}".encode(), digest_size=8).hexdigest()


def _engine(url: str, data: Path, clock: Clock, environment: Mapping[str, str]) -> ObjectStore:
    match url.partition(":")[0]:
        case "file" if url == "file:":
            return FilesStore(data / "objects", clock)
        case "file" if url.startswith("file:/"):
            return FilesStore(Path("/" + url.removeprefix("file:").lstrip("/")), clock)
        case "memory" if url == "memory:":
            return MemoryStore(clock)
        case "s3":
            return BucketStore(s3_location(url, environment))
    raise Misconfigured("store.url: there are `file:` and `s3://bucket?endpoint=http://host:port`")
