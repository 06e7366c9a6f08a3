"""The table of POP3 commands: which states a command is for, and how the session finds what obeys it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, TypeVar

from access.pop3.wire import Verb

if TYPE_CHECKING:
    from access.pop3.session import Session


class State(Flag):
    """RFC 1939 section 3; UPDATE is what QUIT does."""

    AUTHORIZATION = auto()
    TRANSACTION = auto()


ANY = State.AUTHORIZATION | State.TRANSACTION


@dataclass(frozen=True, slots=True)
class Sorry:
    """-ERR, with an extended response code (RFC 2449 section 8) or none."""

    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A command's place: it writes its +OK itself and returns None, or says what is wrong."""

    states: State
    run: Callable[[Session, Any], Awaitable[Sorry | None]]


Run = TypeVar("Run", bound=Callable[..., Awaitable[Sorry | None]])
TABLE: dict[type[Verb], Slice] = {}


def command(verb: type[Verb], states: State) -> Callable[[Run], Run]:
    """Put a slice into the table."""

    def enter(run: Run) -> Run:
        TABLE[verb] = Slice(states, run)
        return run

    return enter
