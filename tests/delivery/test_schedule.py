"""What follows an attempt at relaying, as a table: answers and times in, one step out."""

from __future__ import annotations

import pytest

from delivery.remote.schedule import Answer, End, Policy, due, next_step, wants
from merpati.events import Body, Envelope, Outbound, Recipient
from merpati.ids import Digest, EventId, MessageId

POLICY = Policy(tiers=(("1m", 60.0), ("1h", 3600.0)), warn=4 * 3600.0, give_up=5 * 86_400.0)
A, B = Recipient("a@far.test"), Recipient("b@far.test")


def event(tries: int = 0, told: bool = False) -> Outbound:
    return Outbound(
        id=EventId("e" * 32),
        message=MessageId("m"),
        at=0.0,
        domain="far.test",
        recipients=(A, B),
        envelope=Envelope("s@here.test", (A, B)),
        body=Body(3, Digest("d")),
        accepted_at=0.0,
        tries=tries,
        delay_told=told,
    )


def answer(recipient: Recipient, end: End, reply: str = "words") -> Answer:
    return Answer(recipient, end, "mx.far.test", reply)


def test_each_recipient_goes_its_own_way() -> None:
    step = next_step(event(), (answer(A, End.RELAYED), answer(B, End.LATER)), 10.0, POLICY)
    assert [one.recipient for one in step.relayed] == [A]
    assert step.retry is not None and step.retry.recipients == (B,)
    assert (step.tier, step.retry.not_before, step.retry.tries) == ("1m", 70.0, 1)
    assert step.failed == () and step.late == ()


@pytest.mark.parametrize(("tries", "tier"), [(0, "1m"), (1, "1h"), (2, "1h"), (50, "1h")])
def test_the_last_tier_repeats(tries: int, tier: str) -> None:
    assert next_step(event(tries), (answer(A, End.LATER),), 100.0, POLICY).tier == tier


def test_after_the_last_moment_it_is_given_up_with_the_last_answer() -> None:
    step = next_step(event(9), (answer(A, End.LATER, "451 busy"),), POLICY.give_up, POLICY)
    assert step.retry is None
    assert [(one.end, one.status) for one in step.failed] == [(End.REFUSED, "4.4.7")]
    assert "451 busy" in step.failed[0].reply


def test_the_last_attempt_is_not_a_tier_beyond_the_deadline() -> None:
    now = POLICY.give_up - 600
    step = next_step(event(9), (answer(A, End.LATER),), now, POLICY)
    assert step.retry is not None and step.retry.not_before == POLICY.give_up


def test_the_sender_is_told_of_a_delay_once() -> None:
    late = next_step(event(3), (answer(A, End.LATER),), POLICY.warn, POLICY)
    assert [one.recipient for one in late.late] == [A]
    assert late.retry is not None and late.retry.delay_told
    again = next_step(event(4, told=True), (answer(A, End.LATER),), POLICY.warn + 9, POLICY)
    assert again.late == ()


def test_a_refusal_is_final_at_once() -> None:
    step = next_step(event(), (answer(A, End.REFUSED), answer(B, End.REFUSED)), 1.0, POLICY)
    assert step.retry is None and len(step.failed) == 2


def test_the_same_input_gives_the_same_ids() -> None:
    one, two = (next_step(event(), (answer(A, End.LATER),), now, POLICY).retry for now in (10.0, 20.0))
    assert one is not None and two is not None and one.id == two.id != event().id
    assert due(one, 70.0).id == due(one, 99.0).id != one.id
    assert due(one, 70.0).not_before == 0.0


def test_only_ten_attempts_are_carried() -> None:
    going = event()
    for n in range(25):
        step = next_step(going, (answer(A, End.LATER, f"451 try {n}"),), float(n), POLICY)
        assert step.retry is not None
        going = step.retry
    assert len(going.attempts) == 10 and going.attempts[-1].reply == "451 try 24" and going.tries == 25


@pytest.mark.parametrize(
    ("notify", "what", "wanted"),
    [
        ((), "FAILURE", True),
        ((), "DELAY", True),
        ((), "SUCCESS", False),
        (("NEVER",), "FAILURE", False),
        (("SUCCESS",), "FAILURE", False),
        (("SUCCESS", "FAILURE"), "SUCCESS", True),
    ],
)
def test_notify_decides_what_is_reported(notify: tuple[str, ...], what: str, wanted: bool) -> None:
    assert wants(Recipient("a@b.test", notify), what) is wanted
