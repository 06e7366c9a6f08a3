"""Giving up on a record: the letter says where it came from and why, and the same record gives the same letter."""

from __future__ import annotations

from merpati.bus.api import Consumed
from merpati.clock import ManualClock
from merpati.dead import dead_letter
from merpati.events import Body, Dead, Envelope, Happened, Received, What, decode, encode
from merpati.ids import Digest, EventId, SeededDice, new_message_id

CLOCK = ManualClock()
MESSAGE = new_message_id(CLOCK, SeededDice(1))


def consumed(headers: tuple[tuple[str, bytes], ...], value: bytes = b"v") -> Consumed:
    return Consumed("mail.received", 3, 41, 1.0, b"\xffkey", value, headers)


def test_junk_is_kept_byte_for_byte_with_its_place_and_reason() -> None:
    (letter,) = dead_letter(consumed((("merpati", b"{\xff"),), b"\x00junk"), "r" * 5000, "test", CLOCK)
    dead = decode(letter)
    assert isinstance(dead, Dead) and letter.value == b"\x00junk"
    assert (dead.topic, dead.partition, dead.offset) == ("mail.received", 3, 41)
    assert dead.header.encode("latin-1") == b"{\xff" and dead.key.encode("latin-1") == b"\xffkey"
    assert len(dead.reason) == 1000


def test_a_message_that_is_known_is_told_of_in_its_trace() -> None:
    event = Received(EventId("e"), MESSAGE, 1.0, Envelope("", ()), Body(1, Digest("d")))
    record = consumed(encode(event, b"v").headers)
    letter, parked = (decode(one) for one in dead_letter(record, "why", "test", CLOCK))
    assert isinstance(letter, Dead) and letter.message == MESSAGE
    assert isinstance(parked, Happened) and parked.what is What.PARKED and parked.detail["reason"] == "why"


def test_the_same_record_gives_the_same_ids() -> None:
    one, two = (decode(dead_letter(consumed(()), reason, "test", CLOCK)[0]) for reason in ("a", "b"))
    assert one.id == two.id  # type: ignore[union-attr]
