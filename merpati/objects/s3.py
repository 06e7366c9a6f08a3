"""An object store in an S3 bucket: the one door of obstore.  Called through `open_store`; knows no retries of its own.

Correctness rests on `If-None-Match: *` alone (PUT mode "create"): If-Match has had bugs in more than one store.
Every error of obstore is mapped here to NotFound, Exists, Unavailable (nothing was done) or Unknown (perhaps it was).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store as _Bucket

from merpati.errors import Unavailable, Unknown
from merpati.objects.api import Exists, Full, NotFound, ObjectInfo
from merpati.objects.keys import checked, checked_prefix
from merpati.objects.location import S3Location

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 20.0
"""Seconds for one request of up to PART bytes; a write that takes longer has an unknown end."""
PART = 8 << 20
"""Bytes of a part of a streamed object."""
DELETE_BATCH = 1000
"""Keys one DeleteObjects request may name."""

_FULL = re.compile(r"status code: 507 |<Code>(?:[A-Za-z]*QuotaExceeded|XMinioStorageFull|InsufficientStorage)</Code>")
"""How stores say that a bucket, or all of them, has no room: MinIO, Ceph, SeaweedFS and WebDAV's word for it."""

T = TypeVar("T")


class _BeyondTheEnd(Unavailable):
    """A range of which the object has no byte (416)."""


class BucketStore:
    """Objects in one bucket."""

    def __init__(self, location: S3Location) -> None:
        self._where = f"S3 bucket {location.bucket} at {location.endpoint or 'AWS'}"
        self._bucket = _Bucket(
            location.bucket,
            config=_config(location),
            client_options={
                "timeout": timedelta(seconds=REQUEST_TIMEOUT),
                "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
                "allow_http": location.endpoint.startswith("http://"),
            },
            # one door retries (`retry`); a second loop below it would multiply the waits
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=REQUEST_TIMEOUT)},
        )

    async def get(self, key: str) -> bytes:
        answer = await _read(key, obstore.get_async(self._bucket, checked(key)))
        return bytes(await _read(key, answer.bytes_async()))

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        try:
            return bytes(await _read(key, obstore.get_range_async(self._bucket, checked(key), start=start, end=end)))
        except _BeyondTheEnd:
            return b""

    async def get_stream(self, key: str, chunk: int = 1 << 20) -> AsyncIterator[bytes]:
        # one request for each piece: a slow reader would run a single request into its timeout
        options: Any = {"range": (0, chunk)}
        try:
            answer = await _read(key, obstore.get_async(self._bucket, checked(key), options=options))
        except _BeyondTheEnd:
            return
        size = answer.meta["size"]
        yield bytes(await _read(key, answer.bytes_async()))
        for start in range(chunk, size, chunk):
            yield await self.get_range(key, start, min(start + chunk, size))

    async def head(self, key: str) -> ObjectInfo:
        return _info(await _read(key, obstore.head_async(self._bucket, checked(key))))

    async def create(self, key: str, data: bytes) -> None:
        await _write(key, obstore.put_async(self._bucket, checked(key), data, mode="create", use_multipart=False))

    async def put(self, key: str, data: bytes) -> None:
        await _write(key, obstore.put_async(self._bucket, checked(key), data, use_multipart=False))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        # two parts of PART bytes at once: what a stream costs in memory
        await _write(
            key,
            obstore.put_async(
                self._bucket, checked(key), chunks, use_multipart=True, chunk_size=PART, max_concurrency=2
            ),
        )

    async def delete(self, keys: Iterable[str]) -> None:
        waiting = [checked(key) for key in keys]
        for start in range(0, len(waiting), DELETE_BATCH):
            batch = waiting[start : start + DELETE_BATCH]
            try:
                await _write(batch[0], obstore.delete_async(self._bucket, batch))
            except NotFound:
                # some stores answer 404 for a key that is gone, and may then have stopped
                await self._delete_singly(batch)

    async def _delete_singly(self, keys: list[str]) -> None:
        for key in keys:
            try:
                await _write(key, obstore.delete_async(self._bucket, key))
            except NotFound:
                pass

    async def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncIterator[ObjectInfo]:
        folder, _, rest = checked_prefix(prefix).rpartition("/")
        pages = aiter(obstore.list(self._bucket, folder or None, offset=_offset(prefix, rest, after), chunk_size=1000))
        given = 0
        while given != limit and (page := await _read(prefix, _next(pages))) is not None:
            for item in page:
                if given == limit or (item["path"] > prefix and not item["path"].startswith(prefix)):
                    return
                if item["path"].startswith(prefix) and item["path"] > after:
                    given += 1
                    yield _info(item)

    async def check(self) -> str:
        async for _ in self.list("", limit=1):
            break
        return self._where

    async def close(self) -> None:
        """Connections belong to obstore and close with the store."""


def _config(location: S3Location) -> dict[str, Any]:
    config: dict[str, Any] = {"region": location.region, "virtual_hosted_style_request": not location.path_style}
    if location.endpoint:
        config["endpoint"] = location.endpoint
    if location.access_key:
        config["access_key_id"] = location.access_key
        config["secret_access_key"] = location.secret_key
    if location.session_token:
        config["session_token"] = location.session_token
    return config


def _offset(prefix: str, rest: str, after: str) -> str | None:
    """Where a listing may begin: the store only knows prefixes that are whole folders."""
    begin = prefix[:-1] + chr(ord(prefix[-1]) - 1) + "~" if rest else ""
    return max(begin, after) or None


async def _next(pages: Any) -> Any:
    return await anext(pages, None)


async def _read(key: str, request: Awaitable[T]) -> T:
    try:
        return await request
    except (TimeoutError, BaseError, OSError) as error:
        raise _mapped(error, key, writing=False) from error


async def _write(key: str, request: Awaitable[T]) -> T:
    try:
        return await request
    except (TimeoutError, BaseError, OSError) as error:
        raise _mapped(error, key, writing=True) from error


def _info(item: Any) -> ObjectInfo:
    return ObjectInfo(item["path"], item["size"], item["last_modified"].timestamp())


def _mapped(error: Exception, key: str, *, writing: bool) -> Exception:
    # obstore reports 409 (a conflict under way) as it reports 412 (taken): PROTOCOL.md rule C4 reads the key after both
    if isinstance(error, AlreadyExistsError | PreconditionError):
        return Exists("object exists", key=key)
    if isinstance(error, NotFoundError | FileNotFoundError):
        return NotFound("no such object", key=key)
    reason = " ".join(str(error).split())[:500]
    if writing and _FULL.search(reason):
        return Full("the mail store is full", key=key, reason=reason, lasting=True)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return Unavailable("the mail store refuses us", key=key, reason=reason, lasting=True)
    if not writing and "InvalidRange" in reason:
        return _BeyondTheEnd("no such range", key=key)
    if writing and not _never_sent(reason):
        return Unknown("the mail store gave no clear answer", key=key, reason=reason)
    return Unavailable("the mail store cannot be reached", key=key, reason=reason)


def _never_sent(reason: str) -> bool:
    return "Connection refused" in reason or "dns error" in reason or "tcp connect error" in reason
