"""The pure parts of the Kafka engine: options, topics, errors, and the inbox between its threads."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiokafka.errors
import aiokafka.partitioner
import kafka.errors
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.partitioner.default import murmur2

from merpati.bus.api import Consumed
from merpati.bus.kafka.bus import partition_of
from merpati.bus.kafka.errors import door, mapped
from merpati.bus.kafka.inbox import Inbox
from merpati.bus.kafka.options import addresses_of, client_options
from merpati.bus.kafka.topics import KnownTopic, Plan, TopicPlan, plan, settings_of
from merpati.errors import Misconfigured, Permanent, Unavailable
from merpati.events.topics import TopicSpec
from tests.servers.certificate import self_signed

LOGIN = {"sasl.username": "u", "sasl.password": "secret-canary"}


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, {"security_protocol": "PLAINTEXT", "client_id": "merpati", "request_timeout_ms": 15_000}),
        ({"client.id": "node-1", "request.timeout.ms": "9000"}, {"client_id": "node-1", "request_timeout_ms": 9000}),
        (
            {"security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-512", **LOGIN},
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_plain_username": "u",
                "sasl_plain_password": "secret-canary",
            },
        ),
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "plain", **LOGIN},  # librdkafka's name
            {"sasl_mechanism": "PLAIN"},
        ),
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"},
            {"sasl_mechanism": "GSSAPI", "sasl_kerberos_service_name": "kafka"},
        ),
        (LOGIN, {"security_protocol": "PLAINTEXT"}),  # a login that the protocol does not ask for is not sent
    ],
)
def test_an_option_becomes_a_parameter_of_every_client(options: dict[str, str], parameters: dict[str, Any]) -> None:
    both = client_options(options).both
    assert {name: both[name] for name in parameters} == parameters
    assert set(both) <= set(KafkaConsumer.DEFAULT_CONFIG)
    assert set(both) <= set(KafkaAdminClient.DEFAULT_CONFIG)
    assert "secret-canary" not in repr(client_options(options))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"security.protokol": "SSL"}, "security.protocol"),  # the nearest known one
        ({"bootstrap.servers": "h:1"}, "bootstrap.servers"),
        ({"security.protocol": "TLS"}, "security.protocol"),
        ({"security.protocol": "SASL_SSL"}, "sasl.username"),
        ({"security.protocol": "SASL_SSL", "sasl.username": "u"}, "sasl.password"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "MD5", **LOGIN}, "sasl.mechanism"),
        (
            {"security.protocol": "SASL_SSL", "sasl.username": "u", "sasl.password.file": "/nowhere"},
            "sasl.password.file",
        ),
        ({"security.protocol": "SSL", "ssl.cafile": "/nowhere"}, "TLS"),
        ({"security.protocol": "SSL", "ssl.ciphers": "NONSENSE"}, "TLS"),
        ({"request.timeout.ms": "soon"}, "request.timeout.ms"),
        ({"request.timeout.ms": "0"}, "request.timeout.ms"),
        ({"compression.type": "zstd"}, "compression.type"),  # which kafka-python could not read
    ],
)
def test_a_mistaken_option_is_named_and_no_secret_told(options: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured) as mistake:
        client_options(options)
    assert named in str(mistake.value)
    assert "secret-canary" not in str(mistake.value)


def test_tls_takes_a_ca_a_client_certificate_and_a_password_from_a_file(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, ["localhost"])
    (tmp_path / "password").write_text("secret-canary\n")
    both = client_options(
        {
            "security.protocol": "SASL_SSL",
            "sasl.username": "u",
            "sasl.password.file": str(tmp_path / "password"),
            "ssl.ca.location": str(pair.certificate),
            "ssl.certificate.location": str(pair.certificate),
            "ssl.key.location": str(pair.key),
        }
    ).both
    assert both["sasl_plain_password"] == "secret-canary"
    context = both["ssl_context"]
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1
    lax = {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "", "ssl.cafile": str(pair.certificate)}
    assert not client_options(lax).both["ssl_context"].check_hostname


async def test_both_clients_take_the_parameters() -> None:
    both = client_options({"security.protocol": "SASL_PLAINTEXT", **LOGIN}).both
    await AIOKafkaProducer(**both).stop()
    await AIOKafkaConsumer(**both).stop()


def test_addresses_come_out_of_the_url() -> None:
    assert addresses_of("kafka://one:9092, two:9093") == ["one:9092", "two:9093"]
    assert addresses_of("kafka://[::1]:9092/") == ["[::1]:9092"]


SPEC = TopicSpec("t", 8, 3600.0, 1 << 20)
SHORT = TopicSpec("short", 4, 60.0, 1000)


def test_what_is_missing_is_created_with_as_many_copies_as_there_are_brokers_up_to_three() -> None:
    for brokers, replicas, in_sync in ((1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")):
        step = plan([SPEC], {}, {}, brokers)
        assert step == Plan([TopicPlan("t", 8, replicas, settings_of(SPEC, replicas))], {})
        assert step.create[0].settings["min.insync.replicas"] == in_sync


def test_settings_follow_the_spec() -> None:
    settings = settings_of(SPEC, 3)
    assert settings["retention.ms"] == "3600000"
    assert int(settings["max.message.bytes"]) > SPEC.max_record
    assert int(settings["segment.ms"]) == 900_000
    # a batch of small records has to pass where only small records do
    assert int(settings_of(SHORT, 3)["max.message.bytes"]) > 512 * 1024
    assert int(settings_of(SHORT, 3)["segment.ms"]) == 60_000
    # one copy is written to the disk before it is acknowledged
    assert settings_of(SPEC, 1)["flush.messages"] == "1"


def test_only_what_differs_is_changed_and_partitions_and_the_operators_settings_never_are() -> None:
    known = {"t": KnownTopic("t", 2, 1)}
    as_it_should_be = settings_of(SPEC, 1)
    assert plan([SPEC], known, {"t": as_it_should_be}, 3) == Plan([], {})
    drifted = as_it_should_be | {"retention.ms": "1", "flush.messages": "10000"}
    assert plan([SPEC], known, {"t": drifted}, 3) == Plan([], {"t": {"retention.ms": "3600000"}})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (kafka.errors.MessageSizeTooLargeError(), Permanent),
        (aiokafka.errors.MessageSizeTooLargeError(), Permanent),
        (aiokafka.errors.RecordListTooLargeError(), Permanent),
        (kafka.errors.KafkaConnectionError(), Unavailable),
        (kafka.errors.KafkaTimeoutError(), Unavailable),
        (aiokafka.errors.KafkaConnectionError(), Unavailable),
        (aiokafka.errors.NotEnoughReplicasError(), Unavailable),
        (aiokafka.errors.TopicAuthorizationFailedError(), Unavailable),  # an operator mends it: no mail is bounced
        (ConnectionRefusedError(), Unavailable),
        (TimeoutError(), Unavailable),
        (ssl.SSLError(), Unavailable),
        (KeyError("a bug"), KeyError),
    ],
)
def test_a_clients_error_is_mapped_at_the_door(error: Exception, kind: type[Exception]) -> None:
    assert type(mapped(error)) is kind
    with pytest.raises(kind), door():
        raise error


@pytest.mark.parametrize("key", [b"", b"k", b"example.org", b"01933d2e-7a10-7cc0-b6a5-1f0e2d3c4b5a", b"\xff\x00"])
def test_a_key_goes_where_both_clients_send_it(key: bytes) -> None:
    partitions = list(range(8))
    assert partition_of(key, 8) == aiokafka.partitioner.DefaultPartitioner()(key, partitions, partitions)
    assert partition_of(key, 8) == (murmur2(key) & 0x7FFFFFFF) % 8


def consumed(partition: int, offset: int, size: int = 1) -> Consumed:
    return Consumed("t", partition, offset, 0.0, b"", b"x" * size)


def test_the_inbox_says_when_it_is_full_and_when_there_is_room_again() -> None:
    inbox = Inbox(100, lambda: None)
    inbox.assign([("t", 0)])
    inbox.put([consumed(0, n, 30) for n in range(4)])
    assert not inbox.room.is_set()
    inbox.take(2)
    assert not inbox.room.is_set()  # not at once: half of it first
    inbox.take(1)
    assert inbox.room.is_set()


def test_the_inbox_hands_out_nothing_of_a_partition_that_is_not_ours() -> None:
    inbox = Inbox(100, lambda: None)
    inbox.assign([("t", 0), ("t", 1)])
    inbox.put([consumed(0, 5), consumed(1, 5), consumed(2, 5)])
    inbox.withhold({("t", 1)})
    assert [record.partition for record in inbox.take(9)] == [0]
    inbox.revoke({("t", 0)})
    inbox.finish([consumed(0, 5)])
    assert inbox.uncommitted() == {}
    assert inbox.lanes == {("t", 1)}


def test_a_partition_is_settled_once_all_that_was_taken_is_committed() -> None:
    inbox = Inbox(100, lambda: None)
    inbox.assign([("t", 0)])
    inbox.put([consumed(0, 5), consumed(0, 6)])
    assert inbox.settled({("t", 0)})
    first, second = inbox.take(2)
    assert not inbox.settled({("t", 0)})
    inbox.finish([second])
    assert inbox.uncommitted() == {}
    inbox.finish([first])
    assert inbox.uncommitted() == {("t", 0): 7}
    assert not inbox.settled({("t", 0)})
    inbox.committed({("t", 0): 7})
    assert inbox.settled({("t", 0)})


def test_a_partition_that_comes_back_begins_anew() -> None:
    inbox = Inbox(100, lambda: None)
    inbox.assign([("t", 0)])
    inbox.put([consumed(0, 5)])
    (old,) = inbox.take(1)
    inbox.revoke({("t", 0)})
    inbox.assign([("t", 0)])
    inbox.committed({("t", 0): 6})
    inbox.finish([old])
    assert inbox.uncommitted() == {}
    inbox.put([consumed(0, 5), consumed(0, 6)])
    inbox.finish(inbox.take(2))
    assert inbox.uncommitted() == {("t", 0): 7}
