"""Events on the wire: what is written is read again, old samples stay readable, the unknown is told and not guessed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from merpati.bus.api import Record
from merpati.clock import ManualClock
from merpati.events import (
    TOPICS,
    Body,
    Changed,
    Client,
    Dead,
    Envelope,
    Event,
    Happened,
    Local,
    Outbound,
    Received,
    Recipient,
    Unreadable,
    What,
    decode,
    encode,
    retry_topic,
    topic_specs,
)
from merpati.ids import (
    AccountId,
    Digest,
    EventId,
    MessageId,
    SeededDice,
    derived_event_id,
    derived_message_id,
    new_account_id,
    new_message_id,
    time_of,
)

SAMPLES = Path(__file__).parents[1] / "samples" / "events"
PEOPLE = (Recipient("b@x.test", ("FAILURE",), "rfc822;b@x.test"),)
ENVELOPE = Envelope("a@x.test", PEOPLE, Client("192.0.2.1", "mx", "", "TLSv1.3", "a@x.test"), "submission", True)
ID, MESSAGE, BODY = EventId("e" * 32), MessageId("01890000-0000-7000-8000-000000000000"), Body(3, Digest("d"), "k")
EVENTS: list[Event] = [
    Received(ID, MESSAGE, 1.5, ENVELOPE, BODY, "Received: x\r\n", ("t",), (("p", "said"),)),
    Local(
        ID, MESSAGE, 1.5, AccountId("acc"), PEOPLE[0], ENVELOPE, BODY, "P\r\n", ((3, 9),), "Work", ("\\Seen",), 5, 1.0
    ),
    Outbound(ID, MESSAGE, 1.5, "x.test", PEOPLE, ENVELOPE, BODY, tries=3, not_before=9.0),
    Happened(ID, MESSAGE, 1.5, What.STORED, "delivery/local", "mx", ("b@x.test",), "a@x.test", {"uid": "1"}, 0.1),
    Changed(ID, AccountId("acc"), 1.5, 7),
    Dead(ID, "", 1.5, "mail.local", 1, 2, "why", "delivery", "k", "h"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_is_written_is_read_again(event: Event) -> None:
    record = encode(event, b"raw bytes")
    assert decode(record) == event and record.value == b"raw bytes"
    assert record.topic == TOPICS[type(event)].name


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_samples_of_the_first_version_stay_readable(event: Event) -> None:
    sample = (SAMPLES / f"v1-{type(event).__name__.lower()}.json").read_bytes()
    assert decode(Record("t", b"", b"", (("merpati", sample),))) == event


UNREADABLE = [
    ((), "no header at all"),
    ((("other", b"{}"),), "another's header"),
    ((("merpati", b""),), "nothing"),
    ((("merpati", b"\xff\xfe"),), "no UTF-8"),
    ((("merpati", b'{"kind":"tomorrow"}'),), "a kind of a later version"),
    ((("merpati", b'{"kind":"received"}'),), "fields missing"),
    ((("merpati", b'{"kind":"changed","id":1,"account":"a","at":1,"number":1}'),), "a field of another type"),
    ((("merpati", b"[" * 5000),), "nesting"),
]


@pytest.mark.parametrize(("headers", "reason"), UNREADABLE, ids=[reason for _, reason in UNREADABLE])
def test_what_is_no_event_is_unreadable_and_nothing_else(headers: tuple[tuple[str, bytes], ...], reason: str) -> None:
    with pytest.raises(Unreadable):
        decode(Record("t", b"", b"", headers))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    header = msgspec.json.encode({**msgspec.to_builtins(EVENTS[4]), "kind": "changed", "new": 1})
    assert decode(Record("t", b"", b"", (("merpati", header),))) == EVENTS[4]


def test_every_topic_is_in_the_table_once_and_retries_outlive_their_tier() -> None:
    specs = topic_specs(4, [("5m", 300.0)])
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names) == len(TOPICS) + 1
    assert next(spec for spec in specs if spec.name == retry_topic("5m")).keeps > 300.0


def test_a_message_id_carries_its_time_and_derived_ones_do_too() -> None:
    clock, dice = ManualClock(1_700_000_000.123), SeededDice(3)
    message = new_message_id(clock, dice)
    assert time_of(message) == 1_700_000_000.123
    bounce = derived_message_id(message, "bounce")
    assert time_of(bounce) == time_of(message) and bounce != message == message.lower()
    assert bounce == derived_message_id(message, "bounce") != derived_message_id(message, "other")
    with pytest.raises(ValueError, match="UUID"):
        time_of(MessageId("0f3e1a8c-0000-4000-8000-000000000000"))


def test_derived_ids_depend_on_every_label() -> None:
    ids = {
        derived_event_id("c"),
        derived_event_id("c", "a"),
        derived_event_id("c", "a", "b"),
        derived_event_id("c", "ab"),
    }
    assert len(ids) == 4 and all(len(one) == 32 for one in ids)


def test_account_ids_are_safe_in_every_store() -> None:
    one = new_account_id(SeededDice(1))
    assert len(one) == 26 and one.isalnum() and one == one.lower()
