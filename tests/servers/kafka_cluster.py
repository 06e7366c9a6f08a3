"""Apache Kafka in KRaft mode for the tests: one node, or three with everything replicated thrice.

Called by tests through `kafka(tmp)` and by tests/servers/shared.py. Creates no topic: the project does that itself, and
the broker is told not to make topics that nobody asked for.
"""

import base64
import contextlib
import pathlib
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.servers.installed import Missing, cached, versions
from tests.servers.ports import free_port
from tests.servers.process import Server

# A lone broker writes each batch to the disk before it answers; three trust in each other, as in production.
FLUSH_ALONE = "log.flush.interval.messages=1"

PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={home}
auto.create.topics.enable=false
num.partitions=4
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
background.threads=4
{flush}
"""

LOGGING = """
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %m (%c{1})%n
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Running brokers. `url` is what Merpati's settings take, `bootstrap` what Kafka's clients take."""

    nodes: Sequence[Server]
    ports: Sequence[int]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    @property
    def pid(self) -> int:
        return self.nodes[0].pid

    def kill(self, node: int = 0) -> None:
        self.nodes[node].kill()

    def pause(self, node: int = 0) -> None:
        self.nodes[node].pause()

    def resume(self, node: int = 0) -> None:
        self.nodes[node].resume()

    def restart(self, node: int = 0) -> None:
        self.nodes[node].restart()

    def stop(self, node: int = 0) -> None:
        self.nodes[node].stop()


def _java() -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise Missing("Java is not installed: run make servers")
    jars = cached("Kafka", f"kafka-{versions()['KAFKA_VERSION']}")
    # Serial collection and a shared class archive: less memory and a quicker start for brokers that live for minutes.
    return [java, "-XX:+UseSerialGC", "-Xshare:auto", "-cp", f"{jars}/*"]


def _format(home: pathlib.Path, cluster_id: str, properties: pathlib.Path) -> None:
    command = [*_java(), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"]
    # With `=`, since one id in 64 begins with a dash.
    command += [f"--cluster-id={cluster_id}", f"--config={properties}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"Kafka could not format {home}:\n{done.stdout}{done.stderr}")


def _node(tmp: pathlib.Path, number: int, text: str, cluster_id: str, port: int, megabytes: int) -> Server:
    home = tmp / f"kafka-{number}"
    properties, logging = tmp / f"kafka-{number}.properties", tmp / "kafka-log4j2.properties"
    properties.write_text(text)
    logging.write_text(LOGGING)
    _format(home, cluster_id, properties)
    command = [*_java(), f"-Xmx{megabytes}m", f"-Dlog4j2.configurationFile={logging}", "kafka.Kafka", str(properties)]

    def ready() -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return "Kafka Server started" in server.log_since_start()

    server = Server(f"kafka-{number}", command, tmp / f"kafka-{number}.log", ready, start_seconds=90)
    return server


def _configure(tmp: pathlib.Path, nodes: int) -> Cluster:
    ports = [free_port() for _ in range(nodes)]
    controllers = [free_port() for _ in range(nodes)]
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    servers = []
    for number, (port, controller) in enumerate(zip(ports, controllers, strict=True), start=1):
        text = PROPERTIES.format(
            node=number,
            voters=",".join(f"{n}@127.0.0.1:{c}" for n, c in enumerate(controllers, start=1)),
            port=port,
            controller=controller,
            home=tmp / f"kafka-{number}",
            replicas=min(nodes, 3),
            in_sync=2 if nodes > 2 else 1,
            flush=FLUSH_ALONE if nodes == 1 else "",
        )
        servers.append(_node(tmp, number, text, cluster_id, port, 512 if nodes == 1 else 384))
    return Cluster(servers, ports)


@contextlib.contextmanager
def kafka(tmp: pathlib.Path, nodes: int = 1) -> Iterator[Cluster]:
    """A cluster of 1 or 3 nodes that keeps its data, logs and settings in `tmp`. Raises Missing."""
    cluster = _configure(tmp, nodes)
    try:
        for node in cluster.nodes:
            node.launch()
        for node in cluster.nodes:
            node.wait_ready()
        yield cluster
    finally:
        # Nobody reads the data again, and a node that lost its quorum would wait for it in vain.
        for node in cluster.nodes:
            node.kill()
