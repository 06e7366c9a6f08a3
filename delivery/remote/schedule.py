"""What to do after an attempt at relaying: pure, decided from the event, the answers and the time.

Called by the worker, which performs the step.  Nothing here sends, waits or reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from merpati.events import Attempt, Outbound, Recipient
from merpati.ids import derived_event_id

MAX_ATTEMPTS_CARRIED = 10
EXPIRED = "4.4.7"
"""RFC 3463 section 3.5: delivery time expired."""


class End(Enum):
    """How the peer answered for a recipient."""

    RELAYED = "relayed"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one recipient in one attempt."""

    recipient: Recipient
    end: End
    host: str = ""
    """The peer, or empty if none was reached."""
    reply: str = ""
    """Its reply, or our reason, one line."""
    status: str = ""
    """Enhanced status code (RFC 3463), from the reply or of our own."""
    tls: str = ""
    dsn_passed_on: bool = False
    """Whether the peer took over the duty of RFC 3461 section 5.2.1."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to try again, when to tell, when to give up.  Tiers are (name, seconds)."""

    tiers: tuple[tuple[str, float], ...]
    warn: float
    give_up: float


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done now: retry, reports to the sender, and nothing for the rest."""

    retry: Outbound | None = None
    tier: str = ""
    failed: tuple[Answer, ...] = ()
    """To be bounced, whatever the sender wished to hear."""
    late: tuple[Answer, ...] = ()
    """To be told of as delayed, once."""
    relayed: tuple[Answer, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether a report to the sender may follow."""
        return bool(self.failed or self.late or any("SUCCESS" in one.recipient.notify for one in self.relayed))


def next_step(event: Outbound, answers: tuple[Answer, ...], now: float, policy: Policy) -> Step:
    """Sort the answers into relayed, failed and to be tried again on the next tier.

    RFC 5321 section 4.5.4.1: give up after days, not after a count of tries.
    """
    relayed = tuple(answer for answer in answers if answer.end is End.RELAYED)
    failed = tuple(answer for answer in answers if answer.end is End.REFUSED)
    later = tuple(answer for answer in answers if answer.end is End.LATER)
    age = now - event.accepted_at
    if later and age >= policy.give_up:
        return Step(failed=failed + tuple(_expired(answer) for answer in later), relayed=relayed)
    if not later:
        return Step(failed=failed, relayed=relayed)
    tell = age >= policy.warn and not event.delay_told
    tier, wait = policy.tiers[min(event.tries, len(policy.tiers) - 1)]
    wait = min(wait, max(1.0, policy.give_up - age))  # the last attempt falls on the deadline, not a tier beyond it
    retry = msgspec.structs.replace(
        event,
        id=derived_event_id(event.id, "retry", str(event.tries + 1)),
        at=now,
        recipients=tuple(answer.recipient for answer in later),
        attempts=(*event.attempts, _attempt(later[-1], now))[-MAX_ATTEMPTS_CARRIED:],
        tries=event.tries + 1,
        not_before=now + wait,
        delay_told=event.delay_told or tell,
    )
    return Step(retry=retry, tier=tier, failed=failed, late=later if tell else (), relayed=relayed)


def due(event: Outbound, now: float) -> Outbound:
    """The event as it goes from its tier back to `mail.outbound`; the same input gives the same id."""
    return msgspec.structs.replace(event, id=derived_event_id(event.id, "due"), at=now, not_before=0.0)


def wants(recipient: Recipient, what: str) -> bool:
    """Whether the sender wants a report of `what` (SUCCESS, FAILURE, DELAY) for this recipient.

    RFC 3461 section 4.1: without NOTIFY, reports of failure and delay are sent.
    """
    notify = recipient.notify or ("FAILURE", "DELAY")
    return what in notify


def _expired(answer: Answer) -> Answer:
    reply = f"not delivered in time; the last answer was: {answer.reply}" if answer.reply else "not delivered in time"
    return Answer(answer.recipient, End.REFUSED, answer.host, reply, EXPIRED)


def _attempt(answer: Answer, now: float) -> Attempt:
    return Attempt(at=now, host=answer.host, reply=answer.reply[:500])
