"""An account's first commit: INBOX and the folders with a special use, made with whatever is done first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from merpati.log.api import Decision
from merpati.mailbox.changes import Born, Change
from merpati.mailbox.state import MailState, apply_to_tree, must_live

R = TypeVar("R")

FOLDERS = (
    ("INBOX", ""),
    ("Drafts", "\\Drafts"),
    ("Sent", "\\Sent"),
    ("Junk", "\\Junk"),
    ("Trash", "\\Trash"),
    ("Archive", "\\Archive"),
)
"""What a client expects to find (RFC 6154), made and subscribed at once: else each makes a `Sent Items` of its own."""

Decider = Callable[[MailState], Decision[Change, R]]


def born(now: float) -> Decider[None]:
    """Makes the first folders, if they are not there."""
    return with_birth(lambda state: Decision(None), now)


def with_birth(decide: Decider[R], now: float) -> Decider[R]:
    """The decider, on an account that has its first folders: in the same commit if it is new.

    RFC 9051 section 2.3.1.1: UIDVALIDITY begins with the time, so that an account made anew under an old address never
    shows one that its clients have seen.
    """

    def decide_born(state: MailState) -> Decision[Change, R]:
        must_live(state)  # D2: nor is it born again
        state.check_writable()
        if state.born:
            return decide(state)
        first = birth(state, now)
        decision = decide(apply_to_tree(state, first, state.number + 1))
        return Decision(decision.answer, [first, *decision.changes], decision.attachments)

    return decide_born


def birth(state: MailState, now: float) -> Born:
    """The change that makes the first folders."""
    first = state.new_uidvalidity(now)
    return Born(tuple((name, use, first + count) for count, (name, use) in enumerate(FOLDERS)))
