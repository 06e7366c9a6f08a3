"""The real servers themselves: that they start, come back after a kill with what they had, and outlive nobody."""

import os
import pathlib
import smtplib
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from tests.servers import Missing, kafka, minio, postfix, seaweedfs, shared
from tests.servers.installed import ROOT
from tests.servers.object_stores import client, minio_program

pytestmark = pytest.mark.live

MESSAGE = b"From: anna@home.test\r\nTo: bert@foreign.test\r\nSubject: hello\r\n\r\nThe pigeon has landed.\r\n"


def make_topic(bootstrap: str, name: str, replicas: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(name, 1, replicas)])
    finally:
        admin.close()


def send(bootstrap: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", retries=20)
    try:
        producer.send(topic, value).get(30)
    finally:
        producer.close(5)


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    try:
        found: list[bytes] = []
        until = time.monotonic() + 30
        while len(found) < count and time.monotonic() < until:
            for records in consumer.poll(timeout_ms=500).values():
                found += [record.value for record in records]
        return found
    finally:
        consumer.close()


def test_the_shared_kafka_answers(kafka_url: str, unique: str) -> None:
    bootstrap = kafka_url.removeprefix("kafka://")
    make_topic(bootstrap, unique)
    send(bootstrap, unique, b"one")
    assert read(bootstrap, unique, 1) == [b"one"]


def test_the_shared_kafka_makes_no_topic_that_nobody_asked_for(kafka_url: str, unique: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_url.removeprefix("kafka://"))
    try:
        consumer = KafkaConsumer(unique, bootstrap_servers=kafka_url.removeprefix("kafka://"))
        consumer.poll(timeout_ms=500)
        consumer.close()
        assert unique not in admin.list_topics()
    finally:
        admin.close()


@pytest.mark.slow
def test_a_killed_broker_comes_back_with_what_it_acknowledged(tmp_path: pathlib.Path) -> None:
    with kafka(tmp_path) as cluster:
        make_topic(cluster.bootstrap, "kept")
        send(cluster.bootstrap, "kept", b"before")
        cluster.kill()
        assert not cluster.nodes[0].alive
        cluster.restart()
        send(cluster.bootstrap, "kept", b"after")
        assert read(cluster.bootstrap, "kept", 2) == [b"before", b"after"]


@pytest.mark.slow
def test_of_three_brokers_one_may_be_killed(tmp_path: pathlib.Path) -> None:
    with kafka(tmp_path, nodes=3) as cluster:
        make_topic(cluster.bootstrap, "kept", replicas=3)
        send(cluster.bootstrap, "kept", b"before")
        cluster.kill(1)
        send(cluster.bootstrap, "kept", b"after")
        assert read(cluster.bootstrap, "kept", 2) == [b"before", b"after"]


STORES = [pytest.param(minio, id="minio"), pytest.param(seaweedfs, id="seaweedfs")]


@pytest.mark.parametrize("start", STORES)
def test_a_killed_store_comes_back_with_its_objects(start: Callable, tmp_path: pathlib.Path) -> None:
    with start(tmp_path) as store:
        bucket = store.bucket_url().partition("?")[0].removeprefix("s3://")
        client(store.endpoint).fput_object(bucket, "kept", __file__)
        store.kill()
        store.restart()
        assert client(store.endpoint).stat_object(bucket, "kept").size == pathlib.Path(__file__).stat().st_size


def test_each_test_has_a_bucket_of_its_own(s3_url: str, new_s3_url: Callable[[], str], seaweed_url: str) -> None:
    assert len({s3_url, new_s3_url(), new_s3_url(), seaweed_url}) == 4
    for url in (s3_url, seaweed_url):
        bucket, _, endpoint = url.removeprefix("s3://").partition("?endpoint=")
        assert client(endpoint).bucket_exists(bucket)


@pytest.mark.parametrize("url", ["minio_endpoint", "seaweed_endpoint"])
def test_a_store_does_not_open_without_the_keys(url: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request.getfixturevalue(url), timeout=5)


def test_postfix_delivers_refuses_and_relays(tmp_path: pathlib.Path) -> None:
    beyond = tmp_path / "beyond"
    beyond.mkdir()
    with (
        postfix(beyond, domain="beyond.test") as next_hop,
        postfix(tmp_path, routes={"beyond.test": next_hop.port}) as foreign,
    ):
        foreign.send("anna@home.test", ["bert@foreign.test", "cleo@beyond.test"], MESSAGE, starttls=True)
        assert foreign.wait_for("bert")[0].endswith(b"\n\nThe pigeon has landed.\n")
        assert b"with ESMTPS" in next_hop.wait_for("cleo")[0]
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="User unknown"):
            foreign.send("anna@home.test", ["nobody1@foreign.test"], MESSAGE)
        assert foreign.queue() == []


def test_postfix_keeps_what_it_cannot_hand_on_and_tries_again(tmp_path: pathlib.Path) -> None:
    beyond = tmp_path / "beyond"
    beyond.mkdir()
    with (
        postfix(beyond, domain="beyond.test") as next_hop,
        postfix(tmp_path, routes={"beyond.test": next_hop.port}) as foreign,
    ):
        next_hop.kill()
        foreign.send("anna@home.test", ["cleo@beyond.test"], MESSAGE)
        assert [entry["sender"] for entry in foreign.queue()] == ["anna@home.test"]
        next_hop.restart()
        assert len(next_hop.wait_for("cleo")) == 1


def is_running(pid: int) -> bool:
    """False for a zombie too: it has ended, and only nobody has asked how."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_soon(pid: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_running(pid)


def run_python_with_minio(code: str, folder: pathlib.Path) -> subprocess.Popen[str]:
    """Runs the code in a process of its own, which prints process ids. Raises Missing."""
    minio_program()
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_number(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_a_server_does_not_outlive_a_killed_test(tmp_path: pathlib.Path) -> None:
    code = """
        import pathlib, sys, time
        from tests.servers import minio
        with minio(pathlib.Path(sys.argv[1])) as store:
            print(store.pid, flush=True)
            time.sleep(60)
    """
    with run_python_with_minio(code, tmp_path) as test:
        pid = first_number(test)
        assert is_running(pid)
        test.kill()
    assert ends_soon(pid)


def test_a_shared_server_does_not_outlive_a_killed_run(tmp_path: pathlib.Path) -> None:
    code = """
        import json, os, pathlib, time
        from tests.servers import shared
        del os.environ[shared.RUN]
        assert shared.begin()
        shared.where("minio")
        run = pathlib.Path(os.environ[shared.RUN])
        print(json.loads((run / "minio.json").read_text())["pid"], run, sep="\\n", flush=True)
        time.sleep(60)
    """
    with run_python_with_minio(code, tmp_path) as test:
        keeper = first_number(test)
        assert test.stdout is not None
        folder = pathlib.Path(test.stdout.readline().strip())
        assert is_running(keeper)
        test.kill()
    assert ends_soon(keeper)
    assert not folder.exists()


def test_a_part_that_is_not_there_is_told_in_words(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERPATI_DEV_CACHE", str(tmp_path))
    with pytest.raises(Missing, match=r"MinIO is not installed .*: run make servers"), minio(tmp_path):
        pass
    run = tmp_path / "run"
    run.mkdir()
    (run / "pid").write_text(str(os.getpid()))
    monkeypatch.setenv(shared.RUN, str(run))
    # The keeper passes the words on, and the second who asks is not kept waiting.
    for _ in range(2):
        with pytest.raises(Missing, match="SeaweedFS is not installed"):
            shared.where("seaweedfs")
