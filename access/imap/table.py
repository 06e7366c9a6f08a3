"""The table of state × command: how a command's slice says when it may be used, and how the session finds it.

Adding a command is a function with `@command(Verb, states)` in a module of `commands/`; nothing else knows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True, slots=True)
class Slice:
    """A command's place in the table."""

    states: State
    run: Callable[[Session, Any], Awaitable[Reply]]
    tells_expunges: Callable[[Any], bool]
    """Whether EXPUNGE may be sent before the tagged response (RFC 9051 section 7.5.1)."""


TABLE: dict[type[Verb], Slice] = {}


def command(
    verb: type[Verb], states: State, *, tells_expunges: Callable[[Any], bool] = lambda verb: True
) -> Callable[[Callable[[Session, Any], Awaitable[Reply]]], Callable[[Session, Any], Awaitable[Reply]]]:
    """Put a slice into the table."""

    def enter(run: Callable[[Session, Any], Awaitable[Reply]]) -> Callable[[Session, Any], Awaitable[Reply]]:
        TABLE[verb] = Slice(states, run, tells_expunges)
        return run

    return enter
