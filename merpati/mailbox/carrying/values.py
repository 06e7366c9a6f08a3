"""The values between a mailbox and a form that it is carried out to or in from.  Used by everything in this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from merpati.errors import Permanent
from merpati.mailbox.carrying.spooling import Content
from merpati.mailbox.values import MAX_INLINE

BATCH = 100
"""Messages that are carried together, one commit of an import …"""
BATCH_BYTES = 2 << 20
"""… and bytes of them: what is in memory at once.  One above `SMALL` is a batch of its own, in a temporary file."""
SMALL = MAX_INLINE
MAX_MESSAGE = 1 << 28
"""Bytes of a message that is taken in."""
MAX_NAMED = 1000
"""Messages that a report names one by one."""


class Unwritable(Permanent):
    """What is exported cannot be written there."""


class Unreadable(Permanent):
    """What is to be imported is not what it should be, or ends too early; what came before it is kept."""


@dataclass(frozen=True, slots=True)
class Departing:
    """A folder that goes out."""

    number: int
    """From 1, in the order they go out."""
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: int
    size: int
    subscribed: bool
    special_use: str = ""
    keywords: tuple[str, ...] = ()
    annotations: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that goes out; without a content its bytes are lost."""

    uid: int
    flags: tuple[str, ...]
    date: int
    modseq: int
    size: int
    content: Content | None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that comes in.  `place` names it for the operator; `cause` as in `Append`."""

    folder: str
    content: Content
    flags: tuple[str, ...] = ()
    date: float | None = None
    cause: str = ""
    place: str = ""
    refused: str = ""
    """Why it cannot be taken, if it cannot."""
    lost: bool = False
    """Its bytes are not what they were."""
    uid: int = 0
    """0 if there is none that could be kept."""


class Writer(Protocol):
    """A form that mailboxes go out to.  Runs in a thread."""

    def folder(self, folder: Departing) -> str:
        """What follows is in this folder; says what of it this form cannot hold, if there is anything."""
        ...

    def write(self, messages: Sequence[Outgoing]) -> None: ...
    def close(self, done: Carried) -> None:
        """All has been written: make it durable, and seen."""
        ...

    def abandon(self) -> None:
        """It has come to nothing."""
        ...


class Reader(Protocol):
    """A form that mailboxes come in from.  Runs in a thread."""

    def folders(self) -> Sequence[str]:
        """Names of folders, those without messages too; what is read later may have more."""
        ...

    def messages(self) -> Iterator[Incoming]:
        """Folder by folder, in the order they came.  A content that is not small holds good until the next one."""
        ...


class Carried(msgspec.Struct, frozen=True):
    """What an export or import did."""

    folders: int = 0
    messages: int = 0
    there: int = 0
    """Messages that were there already, from an earlier import."""
    renumbered: int = 0
    """Messages whose UIDs could not be kept."""
    lost: int = 0
    """Messages whose bytes cannot be read."""
    refused: int = 0
    """Messages that a mailbox cannot hold."""
    failed: int = 0
    """Accounts that could not be carried at all, or not up to their last commit."""
    size: int = 0
    """Bytes of the messages."""
    notes: tuple[str, ...] = ()
    """What is to be known by name: what was lost, refused, renumbered."""

    def with_account(self, address: str, one: Carried) -> Carried:
        """This, and what was done to one account."""
        sums = {name: getattr(self, name) + getattr(one, name) for name in COUNTS}
        return Carried(**sums, notes=(*self.notes, *(f"{address}: {note}" for note in one.notes)))


COUNTS = tuple(name for name in Carried.__struct_fields__ if name != "notes")


class Tally:
    """A `Carried` in the making."""

    def __init__(self) -> None:
        self.folders = self.messages = self.there = self.renumbered = self.lost = self.refused = self.size = 0
        self._notes: list[str] = []
        self._more = 0

    def note(self, words: str) -> None:
        """Name something in the report; the name of a file need not be UTF-8, what is said is."""
        if len(self._notes) < MAX_NAMED:
            self._notes.append(words.encode("utf-8", "backslashreplace").decode())
        else:
            self._more += 1

    @property
    def carried(self) -> Carried:
        more = (f"and {self._more} more",) if self._more else ()
        return Carried(
            self.folders,
            self.messages,
            self.there,
            self.renumbered,
            self.lost,
            self.refused,
            size=self.size,
            notes=(*self._notes, *more),
        )
