"""The table of state × command: how a command's slice says when it may be used, and how the session finds it.

Adding a command is a function with `@command(Verb, states)` in a module of `commands/`; nothing else knows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, TypeVar

from access.imap.wire.commands import Verb

if TYPE_CHECKING:
    from access.imap.session import Session


class State(Flag):
    """RFC 9051 section 3."""

    GREETED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


ANY = State.GREETED | State.AUTHENTICATED | State.SELECTED
LOGGED_IN = State.AUTHENTICATED | State.SELECTED


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged response: words, a response code without brackets, OK unless said otherwise."""

    text: str
    code: bytes = b""
    status: bytes = b"OK"


class Refusal(Exception):
    """Ends a command with NO and a response code; raised where a slice's helpers cannot return the reply."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.reply = Reply(text, code, b"NO")


@dataclass(frozen=True, slots=True)
class Slice:
    """A command's place in the table."""

    states: State
    run: Callable[[Session, Any], Awaitable[Reply | None]]
    """None: the session is over and the client is told nothing more."""
    tells_expunges: Callable[[Any], bool]
    """Whether EXPUNGE may be sent before the tagged response (RFC 9051 section 7.5.1)."""


Run = TypeVar("Run", bound=Callable[..., Awaitable[Reply | None]])
TABLE: dict[type[Verb], Slice] = {}


def command(
    verb: type[Verb], states: State, *, tells_expunges: Callable[[Any], bool] = lambda verb: True
) -> Callable[[Run], Run]:
    """Put a slice into the table."""

    def enter(run: Run) -> Run:
        TABLE[verb] = Slice(states, run, tells_expunges)
        return run

    return enter
