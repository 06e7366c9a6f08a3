"""What only an S3 server can show: refusals, absences, and setting a bucket up."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from merpati.errors import Misconfigured, Unavailable, Unknown
from merpati.objects.admin import BucketAdmin
from merpati.objects.location import S3Location, s3_location
from merpati.objects.s3 import BucketStore

pytestmark = pytest.mark.live


@pytest.fixture(params=["s3_url", "seaweed_url"])
def location(request: pytest.FixtureRequest) -> S3Location:
    return s3_location(request.getfixturevalue(request.param), os.environ)


async def test_a_missing_bucket_is_made_once(location: S3Location) -> None:
    admin = BucketAdmin(replace(location, bucket=location.bucket + "-new"))
    assert await admin.ensure_bucket() is True
    assert await admin.ensure_bucket() is False
    assert await admin.versioned() is False
    await admin.abort_incomplete_uploads()
    await BucketStore(replace(location, bucket=location.bucket + "-new")).create("a", b"1")


async def test_wrong_keys_are_told_apart_from_an_absent_store(location: S3Location) -> None:
    wrong = replace(location, secret_key="not-the-secret")
    with pytest.raises(Misconfigured, match=r"store\.url"):
        await BucketAdmin(wrong).ensure_bucket()
    with pytest.raises(Unavailable) as refused:
        await BucketStore(wrong).create("a", b"1")
    assert refused.value.facts["lasting"]
    assert "not-the-secret" not in str(refused.value)


async def test_a_store_that_is_away_is_unavailable_and_nothing_is_unknown() -> None:
    with socket.socket() as port:  # bound, not listening: refused
        port.bind(("127.0.0.1", 0))
        away = S3Location("bucket", f"http://127.0.0.1:{port.getsockname()[1]}", access_key="a", secret_key="b")
        for request in (BucketStore(away).get("a"), BucketStore(away).create("a", b"1"), BucketAdmin(away).versioned()):
            with pytest.raises(Unavailable):
                await request


async def test_a_store_that_hangs_up_in_the_middle_leaves_a_write_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = S3Location("bucket", f"http://127.0.0.1:{server.getsockname()[1]}", access_key="a", secret_key="b")

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        with pytest.raises(Unknown):
            await BucketStore(where).create("a", b"x" * 1000)
        thread.join(5)


async def test_a_stream_of_many_parts_is_one_object(location: S3Location) -> None:
    store = BucketStore(location)

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(19):
            yield bytes([number]) * (1 << 20)

    await store.put_stream("many", pieces())
    assert (await store.head("many")).size == 19 << 20
    assert await store.get_range("many", (18 << 20) - 2, (18 << 20) + 2) == b"\x11\x11\x12\x12"
