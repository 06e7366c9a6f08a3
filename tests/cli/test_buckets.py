"""The commands on a bucket: what this node's disk remembers of it is neither proof nor another bucket's."""

import io
import pathlib
from collections.abc import Callable

import msgspec
import pytest

from merpati.cli.progress import requests_in
from merpati.components import Components
from merpati.settings import Settings, StoreSettings
from tests.cli.test_commands import PASSWORD, Shell
from tests.servers.object_stores import client


@pytest.fixture
def shell(tmp_path: pathlib.Path, s3_url: str) -> Shell:
    shell = Shell(tmp_path)
    shell.settings(f'[store]\nurl = "{s3_url}"\n')
    shell.good("domain add here.test")
    shell.good("account add ann@here.test", PASSWORD)
    (tmp_path / "In.mbox").write_text("From a@b.test Sun Sep 13 12:26:40 2020\nSubject: one\n\nwords\n")
    shell.good("mailbox import ann@here.test In.mbox --folder INBOX")
    for line in ("show ann@here.test --folder INBOX", "export ann@here.test out.tar.gz"):
        shell.good(f"mailbox {line}")
    return shell


def test_verify_reads_the_bucket_and_not_this_node_s_copies(shell: Shell, s3_url: str) -> None:
    assert "1 message read and right\n" in shell.good("mailbox verify ann@here.test")
    account, bucket = shell.json("account show ann@here.test")["id"], s3_url[5:].partition("?")[0]
    minio = client(s3_url.partition("endpoint=")[2])
    commits = sorted(one.object_name for one in minio.list_objects(bucket, f"accounts/{account}/log/", recursive=True))
    spoiled = minio.get_object(bucket, commits[-1]).data[:-1] + b"?"
    minio.put_object(bucket, commits[-1], io.BytesIO(spoiled), len(spoiled))
    told = shell.run("mailbox verify ann@here.test")
    assert told.returncode == 1 and commits[-1] in told.stdout


def test_another_bucket_has_nothing_of_the_first(shell: Shell, new_s3_url: Callable[[], str]) -> None:
    shell.settings(f'[store]\nurl = "{new_s3_url()}"\n')
    assert shell.json("account list") == [] and shell.json("domain list") == []


async def test_what_was_just_read_of_the_bucket_is_not_read_again(s3_url: str, tmp_path: pathlib.Path) -> None:
    wanted = msgspec.structs.replace(Settings(data=str(tmp_path)), store=StoreSettings(url=s3_url))
    key = "accounts/a/log/00000000000000000002"
    async with Components(wanted).on_store() as parts:
        await parts.store.put(key, b"x" * 1000)
        assert await parts.store.get(key) == b"x" * 1000
    asked = []
    async with Components(wanted).on_store(cached=False) as parts:
        for _ in range(3):
            assert await parts.store.get_range(key, 10, 20) == b"x" * 10
            asked.append(requests_in(parts.metrics))
    assert asked == ["1 request to the store"] * 3
