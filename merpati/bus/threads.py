"""Living with the interpreter lock: how an event loop that is never idle is made to let the bus's threads run.

Called by the engines that have threads, when they start.
"""

from __future__ import annotations

import sys

SWITCH_SECONDS = 0.0005
"""How long a thread that wants the interpreter waits before it demands it."""


def let_threads_in() -> None:
    """Shorten the interpreter's switch interval, for the whole process.

    A busy event loop gives the interpreter lock away for an instant in each round: too short for a thread to wake and
    take it, yet enough to make that thread wait its whole patience again.  With rounds shorter than the interval (5 ms
    unless changed) a thread can then wait without end: a publish was seen to take 17 s, with this 0.05 s.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
