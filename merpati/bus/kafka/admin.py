"""Topics, their settings, their ends, and the positions of groups, through kafka-python's admin client.

Called by the bus.  The client blocks, so it lives in a thread; one that has failed is thrown away and the next call
makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec, OffsetTimestamp
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NoError,
    NotCoordinatorError,
    NotLeaderForPartitionError,
    TopicAlreadyExistsError,
)

from merpati.bus.kafka.errors import door
from merpati.bus.kafka.options import ClientOptions
from merpati.bus.kafka.reach import reach
from merpati.bus.kafka.topics import OVERHEAD_BYTES, KnownTopic, Plan, TopicPlan, plan
from merpati.errors import Temporary, Unavailable

if TYPE_CHECKING:
    from merpati.events.topics import TopicSpec

T = TypeVar("T")
BOOTSTRAP_MS = 15_000
CALL_SECONDS = 30.0
"""After which whoever asked is told that Kafka cannot be reached."""
SETTLING = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    LeaderNotAvailableError,
    NotCoordinatorError,
    NotLeaderForPartitionError,
)
"""Answers of brokers that are up and are still agreeing on who does what."""
SETTLING_TRIES = 40
SETTLING_SECONDS = 0.25


class Admin:
    """Not started until it is first asked something."""

    def __init__(self, addresses: Sequence[str], options: ClientOptions) -> None:
        self._addresses = list(addresses)
        self._parameters = {"bootstrap_servers": list(addresses), "bootstrap_timeout_ms": BOOTSTRAP_MS, **options.both}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-admin")
        self._stopped = threading.Event()
        self._client: Any = None

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def brokers(self) -> int:
        """How many brokers are up."""
        cluster = await self._run(lambda client: client.describe_cluster())
        return sum(not broker.get("is_fenced") for broker in cluster["brokers"])

    async def topics(self) -> dict[str, KnownTopic]:
        """All topics by name."""
        return await self._run(_topics)

    async def ensure(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, bring settings into line."""
        brokers = await self.brokers()
        known = await self.topics()
        present = [spec.name for spec in specs if spec.name in known]
        settings = await self._run(lambda client: _settings(client, present)) if present else {}
        step = plan(specs, known, settings, brokers)
        await self._run(lambda client: _carry_out(client, step))

    async def max_record(self, topic: str) -> int:
        """Bytes that a record of a topic may have, as far as the brokers tell."""
        settings = await self._run(lambda client: _settings(client, [topic]))
        return int(settings[topic]["max.message.bytes"]) - OVERHEAD_BYTES

    async def ends(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """The first offset that is kept and the one after the last, of each partition."""
        wanted = [TopicPartition(*partition) for partition in partitions]

        def ask(client: Any) -> dict[tuple[str, int], tuple[int, int]]:
            first = client.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.EARLIEST))
            last = client.list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.LATEST))
            return {tuple(one): (first[one].offset, last[one].offset) for one in wanted}

        return await self._run(ask)

    async def positions(self, group: str) -> dict[tuple[str, int], int]:
        """What a group has committed; a group nobody knows has committed nothing."""
        found = (await self._run(lambda client: client.list_group_offsets([group]))).get(group, {})
        return {tuple(one): committed.offset for one, committed in found.items() if committed.offset >= 0}

    async def rewind(self, group: str, partitions: Iterable[tuple[str, int]], since: float) -> None:
        """Set a group's positions to a time; raises `Temporary` while it has members."""
        targets = {TopicPartition(*one): OffsetTimestamp(max(0, int(since * 1000))) for one in partitions}
        described = await self._run(lambda client: client.describe_groups([group]))
        if any(one.get("members") for one in described.values()):
            raise Temporary("the group has members", group=group)
        answers = await self._run(lambda client: client.reset_group_offsets(group, dict(targets)))
        errors = {answer["error"].__name__ for answer in answers.values() if answer["error"] is not NoError}
        if errors:
            raise Temporary("the group's position could not be set", group=group, errors=sorted(errors))

    async def _run(self, call: Callable[[Any], T]) -> T:
        with door():
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._call(call))

    # From here on in the admin thread.

    def _call(self, call: Callable[[Any], T]) -> T:
        for _ in range(SETTLING_TRIES):
            used = self._client is not None
            try:
                return self._try(call)
            except SETTLING:
                self._stopped.wait(SETTLING_SECONDS)
            except (KafkaError, Unavailable):
                # Brokers may have come and gone since the client was last asked; a new one knows better.
                if not used:
                    raise
        return self._try(call)

    def _try(self, call: Callable[[Any], T]) -> T:
        try:
            if self._client is None:
                self._client = self._connect()
            return call(self._client)
        except (KafkaError, OSError, RuntimeError) as error:
            # RuntimeError is how this client says that it has been closed or finds no controller.
            self._discard()
            if isinstance(error, RuntimeError):
                raise Unavailable("Kafka cannot be used", says=str(error)) from error
            raise

    def _connect(self) -> Any:
        reach(self._addresses)
        try:
            return KafkaAdminClient(**self._parameters)
        except KafkaTimeoutError as error:
            raise Unavailable(
                "somebody listens at the brokers' addresses, but no Kafka answers: are security.protocol, sasl.* and"
                " ssl.* in [bus.kafka] right?",
                addresses=self._addresses,
            ) from error

    def _discard(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaError, OSError, RuntimeError):
                client.close()

    def _close(self) -> None:
        self._stopped.set()
        self._thread.submit(self._discard)
        self._thread.shutdown(wait=True)


def _topics(client: Any) -> dict[str, KnownTopic]:
    known = {}
    for topic in client.describe_topics():
        if topic["error_code"] == 0 and topic["partitions"]:
            replicas = min(len(partition["replica_nodes"]) for partition in topic["partitions"])
            known[topic["name"]] = KnownTopic(topic["name"], len(topic["partitions"]), replicas)
    return known


def _settings(client: Any, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    found = client.describe_configs([ConfigResource("topic", name) for name in names], config_filter="all")
    return {
        name: {setting: facts["value"] for setting, facts in settings.items()}
        for name, settings in found["topic"].items()
    }


def _carry_out(client: Any, step: Plan) -> None:
    if step.create:
        with contextlib.suppress(TopicAlreadyExistsError):  # another process was first; it made the same
            client.create_topics({topic.name: _new(topic) for topic in step.create})
        client.wait_for_topics([topic.name for topic in step.create])
    if step.alter:
        resources = [ConfigResource("topic", name, dict(settings)) for name, settings in step.alter.items()]
        answers = client.alter_configs(resources)
        for name, answer in answers.get("topic", {}).items():
            if answer != "OK":
                raise Unavailable("the settings of a topic could not be changed", topic=name, says=str(answer))


def _new(topic: TopicPlan) -> dict[str, Any]:
    return {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replicas,
        "configs": dict(topic.settings),
    }
