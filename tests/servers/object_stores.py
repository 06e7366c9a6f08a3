"""MinIO and SeaweedFS for the tests: two S3 servers that answer the same questions in their own way.

Called by tests through `minio(tmp)` and `seaweedfs(tmp)` and by tests/servers/shared.py. Both take the same keys, so
that one pair in the environment opens either.
"""

import contextlib
import json
import pathlib
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error

from tests.servers.installed import cached, versions
from tests.servers.ports import free_port
from tests.servers.process import Server

ACCESS_KEY = "merpati-tests"
SECRET_KEY = "only-on-loopback"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@dataclass(frozen=True, slots=True)
class ObjectStoreServer:
    """A running S3 server and its endpoint, `http://127.0.0.1:port`."""

    server: Server
    endpoint: str

    @property
    def pid(self) -> int:
        return self.server.pid

    def bucket_url(self, name: str | None = None) -> str:
        """Make a bucket (a new name unless one is given); its URL as Merpati's settings take it."""
        return new_bucket(self.endpoint, name)

    def kill(self) -> None:
        self.server.kill()

    def pause(self) -> None:
        self.server.pause()

    def resume(self) -> None:
        self.server.resume()

    def restart(self) -> None:
        self.server.restart()

    def stop(self) -> None:
        self.server.stop()


def client(endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Minio:
    where = urlsplit(endpoint)
    return Minio(where.netloc, access_key=access_key, secret_key=secret_key, secure=where.scheme == "https")


def new_bucket(
    endpoint: str, name: str | None = None, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY
) -> str:
    """Make a bucket at the endpoint and give its URL, `s3://bucket?endpoint=…`."""
    name = name or f"t-{uuid.uuid4().hex[:12]}"
    client(endpoint, access_key, secret_key).make_bucket(name)
    return f"s3://{name}?endpoint={endpoint}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def minio_program() -> pathlib.Path:
    return cached("MinIO", f"minio-{versions()['MINIO_VERSION']}/minio")


@contextlib.contextmanager
def minio(tmp: pathlib.Path) -> Iterator[ObjectStoreServer]:
    """MinIO with its data and log in `tmp`. Raises Missing."""
    program = minio_program()
    endpoint, console = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command: list[str | pathlib.Path] = [program, "server", "--address", endpoint, "--console-address", console]
    command += ["--certs-dir", tmp / "minio-certificates", tmp / "minio"]
    server = Server(
        "minio",
        command,
        tmp / "minio.log",
        lambda: _answers(f"http://{endpoint}/minio/health/ready"),
        environment={"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_BROWSER": "off"},
    )
    try:
        server.start()
        yield ObjectStoreServer(server, f"http://{endpoint}")
    finally:
        server.kill()


# Each role listens twice; unnamed gRPC ports are the named ones plus 10,000, which may be taken.
SEAWEED_PORTS = tuple(f"{role}.port{twin}" for role in ("master", "volume", "filer", "s3") for twin in ("", ".grpc"))


def _seaweed_command(tmp: pathlib.Path, ports: Mapping[str, int]) -> list[str | pathlib.Path]:
    program = cached("SeaweedFS", f"seaweedfs-{versions()['SEAWEEDFS_VERSION']}/bin/weed")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    settings = tmp / "seaweedfs-s3.json"
    settings.write_text(json.dumps({"identities": [identity]}))
    (tmp / "seaweedfs").mkdir(exist_ok=True)
    command: list[str | pathlib.Path] = [program, "-logtostderr", "server", f"-dir={tmp / 'seaweedfs'}", "-s3"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={settings}"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=0", "-master.volumeSizeLimitMB=64"]
    # A lone master elects itself; by default it takes up to twenty seconds to think about it.
    return [*command, "-master.electionTimeout=1s"]


@contextlib.contextmanager
def seaweedfs(tmp: pathlib.Path) -> Iterator[ObjectStoreServer]:
    """SeaweedFS (master, volume, filer and S3 in one process) with its data and log in `tmp`. Raises Missing."""
    ports = {name: free_port() for name in SEAWEED_PORTS}
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"

    def ready() -> bool:
        # The volume server reports to the master after the port is open: up is when a bucket can be written to.
        if not _answers(f"{endpoint}/healthz"):
            return False
        return _takes_an_object(endpoint)

    server = Server("seaweedfs", _seaweed_command(tmp, ports), tmp / "seaweedfs.log", ready)
    try:
        server.start()
        yield ObjectStoreServer(server, endpoint)
    finally:
        server.kill()
        # It listens on sockets in /tmp besides, and leaves them there.
        for port in ports.values():
            for socket in pathlib.Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)


def _takes_an_object(endpoint: str) -> bool:
    probe = "probe-at-start"
    store = client(endpoint)
    try:
        if not store.bucket_exists(probe):
            store.make_bucket(probe)
        store.fput_object(probe, "probe", __file__)
    except S3Error:
        return False
    return True
