"""Setting a bucket up and asking what it can do: the one door of the minio library.  Called by `check` and `serve`.

It never touches an object of the mailbox log.  The library blocks, so everything runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import InvalidResponseError, S3Error, ServerError
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule

from merpati.errors import Misconfigured, Unavailable
from merpati.objects.location import S3Location

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds for one request."""
ABORT_AFTER_DAYS = 7
"""When the pieces of a streamed object whose writer died are removed by the store."""


class BucketAdmin:
    """One bucket, as an administrator sees it."""

    def __init__(self, location: S3Location) -> None:
        self._location = location
        where = urlsplit(location.endpoint or f"https://s3.{location.region}.amazonaws.com")
        self._client = Minio(
            where.netloc,
            access_key=location.access_key or None,
            secret_key=location.secret_key or None,
            session_token=location.session_token or None,
            secure=where.scheme == "https",
            region=location.region,
            http_client=urllib3.PoolManager(timeout=TIMEOUT, retries=urllib3.Retry(2, backoff_factor=0.2)),
        )

    async def ensure_bucket(self) -> bool:
        """Make the bucket if it is missing; whether it was.  Raises `Unavailable`, or `Misconfigured` if refused."""
        return await self._run(self._ensure_bucket)

    async def versioned(self) -> bool:
        """Whether the bucket keeps old versions: then a vacuum frees nothing by itself."""
        status = await self._run(lambda: self._client.get_bucket_versioning(self._location.bucket).status)
        return status == ENABLED

    async def abort_incomplete_uploads(self) -> bool:
        """Let the store remove uploads that were begun and never ended; False if it has no such rule."""
        rule = Rule(
            ENABLED,
            rule_filter=Filter(prefix=""),
            rule_id="merpati-incomplete-uploads",
            abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=ABORT_AFTER_DAYS),
        )
        try:
            await self._run(lambda: self._client.set_bucket_lifecycle(self._location.bucket, LifecycleConfig([rule])))
        except Misconfigured:
            return False
        return True

    def _ensure_bucket(self) -> bool:
        if self._client.bucket_exists(self._location.bucket):
            return False
        try:
            self._client.make_bucket(self._location.bucket)
        except S3Error as error:
            if error.code in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):  # another node was quicker
                return False
            raise
        return True

    async def _run(self, action: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(action)
        except S3Error as error:
            if error.response.status >= 500:
                raise Unavailable("the mail store is not ready", reason=error.code) from error
            raise Misconfigured(
                f"store.url: bucket {self._location.bucket}: {error.code}: {error.message}", code_of_store=error.code
            ) from error
        except (urllib3.exceptions.HTTPError, ServerError, InvalidResponseError, OSError) as error:
            raise Unavailable("the mail store cannot be reached", reason=str(error)) from error
