"""Traces: put together from events in any order, each once; found by sender and recipient; over a real bus."""

from __future__ import annotations

from merpati.bus.api import Record
from merpati.bus.memory import MemoryBus
from merpati.clock import ManualClock
from merpati.events import Happened, What, encode, topic_specs
from merpati.ids import MessageId, SeededDice, derived_event_id, new_message_id
from merpati.tracing import assemble, find, trace

CLOCK, DICE = ManualClock(), SeededDice(7)


def hop(message: MessageId, at: float, what: What, to: str = "b@x.test", **detail: str) -> Happened:
    return Happened(
        derived_event_id(message, what, to),
        message,
        at,
        what,
        "test",
        recipients=(to,),
        sender="a@x.test",
        detail=detail,
    )


def test_hops_are_in_the_order_of_time_and_each_once() -> None:
    message = new_message_id(CLOCK, DICE)
    first, last = hop(message, 10.0, What.ACCEPTED), hop(message, 10.5, What.STORED)
    found = assemble(message, [last, first, last, hop(new_message_id(CLOCK, DICE), 1.0, What.STORED)])
    assert [(one.after, one.event) for one in found.hops] == [(0.0, first), (0.5, last)]
    assert found.ends == {"b@x.test": What.STORED}


def test_a_bounce_is_related() -> None:
    message, bounce = new_message_id(CLOCK, DICE), new_message_id(CLOCK, DICE)
    found = assemble(message, [hop(message, 1.0, What.BOUNCED, bounce=bounce)])
    assert found.related == (bounce,)


async def test_a_trace_is_read_from_the_bus_and_junk_is_passed_over() -> None:
    bus = MemoryBus(CLOCK, DICE)
    await bus.start()
    await bus.ensure_topics(topic_specs(4, ()))
    mine, other = new_message_id(CLOCK, DICE), new_message_id(CLOCK, DICE)
    now = CLOCK.time()
    events = [
        hop(mine, now, What.ACCEPTED),
        hop(other, now, What.ACCEPTED, "c@x.test"),
        hop(mine, now + 1, What.STORED),
    ]
    await bus.publish([Record("mail.events", mine.encode(), b"junk"), *(encode(event) for event in events)])
    assert [one.event.what for one in (await trace(bus, mine)).hops] == [What.ACCEPTED, What.STORED]
    assert [one.message for one in await find(bus, since=now - 60, recipient="C@X.test")] == [other]
    assert [one.message for one in await find(bus, since=now - 60, sender="nobody@x.test")] == []
    await bus.close()
