"""Ending an account's log for good: what the purge of a removed account begins with (PROTOCOL.md rule D2)."""

from __future__ import annotations

from merpati.log.api import Decision
from merpati.mailbox.changes import Change, Closed
from merpati.mailbox.state import MailState
from merpati.mailbox.verbs.born import Decider


def close(now: float) -> Decider[None]:
    """No commit follows; a log that has ended already, or was never begun, is no exception."""

    def decide(state: MailState) -> Decision[Change, None]:
        return Decision(None) if state.closed else Decision(None, [Closed(max(now, 1.0))])

    return decide
