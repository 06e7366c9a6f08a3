"""What a commit log is: the values that go in and out, and what whoever keeps state in one has to bring (`Fold`).

A log lives under one prefix of the object store (`accounts/<id>`); PROTOCOL.md numbers its rules.  `CommitLog` in
`commit_log` is the one implementation; the mailbox and the directory each bring a `Fold` and say `commit(decide)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from merpati.errors import Temporary
from merpati.ids import Digest

S = TypeVar("S")
"""The state folded from a log: immutable as far as its readers can see."""
C = TypeVar("C")
"""A change: what a commit is made of."""
R = TypeVar("R")
"""What a decision answers to whoever asked for it."""

EMPTY = 1
"""The number of the empty state, which is never written: the first commit is 2.

RFC 7162 section 3.1.2.1: a HIGHESTMODSEQ is at least 1, and a message appended to an empty folder must be above it.
"""


class Damaged(Temporary):
    """An object of the log is missing, torn, foreign or contradicts another.  Facts: `key` and `rule` of PROTOCOL.md.

    Temporary, for `restore` can mend it; nothing is overwritten meanwhile.
    """


class NewerFormat(Temporary):
    """An object was written by a newer version than this one; upgrade this node.  Facts: `key`, `rule`.

    Nothing is lost or damaged, and nobody mends it.
    """


class UnknownChange(ValueError):
    """A change of a kind that this version does not know: a newer one wrote it, and nobody may pass it over (B3)."""


class Contended(Temporary):
    """Other writers were first until the time was up."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes that ride inside a commit object, at [offset, offset + length) of it, and their BLAKE2b-256 (32 bytes)."""

    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Part(Generic[C]):
    """What one decision put into a commit.  A change names an attachment by its index in its own part."""

    changes: tuple[C, ...]
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit(Generic[C]):
    """One step of a log."""

    number: int
    """One more than the commit before; the account's MODSEQ."""
    id: bytes
    """16 random bytes: how a writer recognises its own commit after a lost answer."""
    after: bytes
    """The `id` of the commit before; empty after the empty state."""
    at: float
    """Seconds since 1970 by the writer's clock, but never less than the commit before."""
    parts: tuple[Part[C], ...]
    writer: str = ""
    """Who wrote it: `role@host`, or empty.  For people, and for courtesy between writers."""


@dataclass(frozen=True, slots=True)
class Tip(Generic[S]):
    """The state at a commit."""

    state: S
    number: int = EMPTY
    id: bytes = b""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision(Generic[C, R]):
    """What `decide` says: the answer for its caller, and what has to be written for the answer to be true.

    No changes: nothing is written and the answer holds already.
    """

    answer: R
    changes: Sequence[C] = ()
    attachments: Sequence[bytes] = ()
    always: bool = False
    """Write a commit even without changes: compaction needs a number of its own."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """The answer of a decision that is durable now, and the number of the commit that made it so.

    If the decision was empty, `number` is that of the state it was taken on.
    """

    answer: R
    number: int


class Chunks(Protocol):
    """Where a fold keeps immutable pieces of its snapshots (`<prefix>/chunk/<digest>`)."""

    async def get(self, digest: Digest) -> bytes:
        """The chunk, its digest checked.  Raises `Damaged` if it is missing or is not what its name says."""
        ...

    async def put(self, data: bytes) -> Digest:
        """Keep a chunk, and its name; costs nothing if the snapshot before had it."""
        ...

    def keep(self, digest: Digest) -> bool:
        """Say that a chunk of the snapshot before is needed again, without having its bytes.

        False if that snapshot has no such chunk: then it may be gone, and must be put again.
        """
        ...

    def settled(self, then: Callable[[], None]) -> None:
        """Call `then` once the snapshot stands that these chunks are put for; never if it does not come to be."""
        ...


class Fold(Protocol[S, C]):
    """What makes a state out of a log; one for each kind of log.  All but `load` and `dump` are pure and quick."""

    name: str
    """`mailbox` or `directory`: the label in metrics and in `Changed.log`."""

    def empty(self) -> S:
        """The state before the first commit."""
        ...

    def apply(self, state: S, commit: Commit[C]) -> S:
        """The state after `commit`; `state` itself must still read as it did.

        Applying the parts one at a time, each in a commit of the same number, must give the same state.  Raises
        ValueError if the commit cannot follow `state`.
        """
        ...

    def encode(self, changes: Sequence[C]) -> bytes:
        """The changes as bytes."""
        ...

    def decode(self, data: bytes) -> Sequence[C]:
        """The changes again; `UnknownChange` if one is of a kind that is not known, ValueError if these are none."""
        ...

    async def dump(self, state: S, chunks: Chunks) -> bytes:
        """The state as a small head that names chunks."""
        ...

    async def load(self, head: bytes, chunks: Chunks) -> S:
        """The state of such a head; may leave chunks to be loaded when they are asked for."""
        ...


@runtime_checkable
class Parted(Protocol):
    """A fold whose states have parts, some of which can be had without the others.  `S` is its state."""

    async def load_around(self, head: bytes, chunks: Chunks) -> Any:
        """As `load`, but parts whose chunks are damaged are shut: whoever asks for one is told why (rule R6)."""
        ...

    def check_whole(self, state: Any) -> None:
        """Raises `Damaged` if a part of the state is shut: nothing is to be built upon it."""
        ...

    def differences(self, one: Any, other: Any) -> list[str]:
        """In what two states differ, in words; for `verify`."""
        ...


Decide = Callable[[S], Decision[C, R]]
"""Pure: called again on a newer state whenever another writer was first.  It may raise a MerpatiError to refuse."""

Committed = Callable[[int, float, bytes], None]
"""Told of every commit of this process, once it is durable: number, time, the commit object's bytes.  Must not wait."""


class Log(Protocol[S, C]):
    """One log, as one process sees it."""

    @property
    def tip(self) -> Tip[S] | None:
        """The newest state this process knows, or None before the first read.  Costs nothing."""
        ...

    @property
    def damage(self) -> Damaged | None:
        """Why the log cannot be read beyond `tip`, if that is so."""
        ...

    async def read(self) -> Tip[S]:
        """A strong read: at least as new as the moment of the call.

        One GET of a missing key when nothing happened (and, in a while, a look at the floor: rule F3).  Raises
        `Unavailable`, `Damaged`, `NewerFormat`.
        """
        ...

    async def commit(self, decide: Decide[S, C, R]) -> Outcome[R]:
        """Decide, and write the changes as the log's next commit, durable on return.

        Decisions that wait at the same time go into one commit, each deciding on what those before it decided.  Raises
        what `decide` raises; `Unavailable` if the store refuses; `Unknown` if it gave no answer and cannot be asked;
        `Contended` if others were first for too long.  After `Unknown` the change may have happened: ask again with a
        decision that can tell.
        """
        ...

    def feed(self, data: bytes) -> bool:
        """Take a commit object that another process has written, if it is the next one.

        False if commits between are missing (whoever cares reads then), if it is old, or if it is no commit.
        """
        ...

    async def changed(self, after: int) -> Tip[S]:
        """Wait until this process knows a commit with a greater number than `after`; reads nothing by itself."""
        ...
