"""Snapshots: the state at a commit, so that nobody has to fold the whole log.  Written by compaction, read at opening.

A snapshot object holds the fold's head and says which chunks it needs; chunks are named by their digest, so a new
snapshot writes only those that changed (rules S1 to S4).  Never decides when to write one.

A chunk's name is its digest and a throw of the dice: the same bytes written again later are another object, so that the
vacuum, which may be about to remove the old one, cannot remove the new one with it (rule S2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from merpati.errors import Temporary
from merpati.ids import Dice, Digest, digest_of
from merpati.log.api import Damaged, Fold, Parted, Tip
from merpati.log.compress import compressed, decompressed
from merpati.log.frame import PREAMBLE, Kind, check_preamble, head_of, sealed
from merpati.log.layout import Layout
from merpati.log.storetime import store_time
from merpati.objects.api import NotFound, ObjectStore

S = TypeVar("S")


class TooLate(Temporary):
    """A snapshot took so long that what it builds upon may be gone; nothing was done, and the next one will do it."""


RELIED_UPON = 1800.0
"""G/2: seconds after which a vacuum may have removed older snapshots because of a newer one (V2)."""

_SIZE = 8
"""Bytes of the uncompressed length that stands behind a chunk's preamble."""


class PackEntry(msgspec.Struct, array_like=True, frozen=True):
    """A pack and the commits whose attachments are in it."""

    name: str
    first: int
    last: int
    size: int
    """Bytes of the whole object."""
    head: int
    """Bytes of its head: the index."""


class PastEntry(msgspec.Struct, array_like=True, frozen=True):
    """An object that holds the heads of commits `first` to `last`."""

    name: str
    first: int
    last: int
    size: int
    since: float
    """The time of commit `first`."""


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """The head of a snapshot object.  Fields are only ever added at the end."""

    number: int
    id: bytes
    """The id of commit `number`."""
    at: float
    fold: str
    """Which kind of log it is."""
    state: bytes
    """What the fold dumped."""
    chunks: tuple[Digest, ...] = ()
    """Every chunk that `state` names: what keeps them from the vacuum."""
    packs: tuple[PackEntry, ...] = ()
    pasts: tuple[PastEntry, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


class ChunkStore:
    """`Chunks` over the store.  Remembers what it put and got: that is what the snapshot needs."""

    def __init__(self, store: ObjectStore, layout: Layout, dice: Dice, known: Iterable[Digest] = ()) -> None:
        self._store = store
        self._layout = layout
        self._dice = dice
        self._known = {_digest_in(name): name for name in known}
        self._then: list[Callable[[], None]] = []
        self.used: dict[Digest, None] = {}
        """The chunks that the new snapshot needs, in order."""
        self.written: list[Digest] = []

    async def get(self, digest: Digest) -> bytes:
        key = self._layout.chunk(digest)
        try:
            data = await self._store.get(key)
        except NotFound:
            raise Damaged("a chunk is missing", key=key, rule="S3") from None
        if digest_of(data) != _digest_in(digest):
            raise Damaged("a chunk is not what its name says", key=key, rule="S3")
        check_preamble(Kind.CHUNK, data[:PREAMBLE], key)
        size = int.from_bytes(data[PREAMBLE : PREAMBLE + _SIZE], "big")
        try:
            return await _maybe_in_thread(decompressed, data[PREAMBLE + _SIZE :], size)
        except ValueError as error:
            raise Damaged("a chunk cannot be read", key=key, rule="S3", reason=str(error)) from error

    async def put(self, data: bytes) -> Digest:
        frame = await _maybe_in_thread(compressed, data)
        whole = b"".join((Kind.CHUNK.preamble, len(data).to_bytes(_SIZE, "big"), frame))
        digest = digest_of(whole)
        name = self._known.get(digest)
        if name is None:
            name = Digest(f"{digest}_{self._dice.bytes(4).hex()}")
            await self._store.put(self._layout.chunk(name), whole)
            self._known[digest] = name
            self.written.append(name)
        self.used[name] = None
        return name

    def keep(self, digest: Digest) -> bool:
        if self._known.get(_digest_in(digest)) != digest:
            return False
        self.used[digest] = None
        return True

    def settled(self, then: Callable[[], None]) -> None:
        self._then.append(then)

    def settle(self) -> None:
        """The snapshot stands."""
        for then in self._then:
            then()
        self._then.clear()


def _digest_in(name: Digest) -> Digest:
    return Digest(name.partition("_")[0])


async def _maybe_in_thread(action: Any, data: bytes, *rest: int) -> bytes:
    """A large chunk takes milliseconds: not in the event loop."""
    if len(data) < 64 * 1024:
        return bytes(action(data, *rest))
    return bytes(await asyncio.to_thread(action, data, *rest))


async def read_snapshot(store: ObjectStore, layout: Layout, number: int) -> Snapshot:
    """The snapshot at commit `number`.  Raises `NotFound`, `Damaged`, `NewerFormat`."""
    key = layout.snapshot(number)
    head = head_of(Kind.SNAPSHOT, await store.get(key), key)
    try:
        snapshot = _decoder.decode(head)
    except msgspec.DecodeError as error:
        raise Damaged("a snapshot that cannot be read", key=key, rule="S1", reason=str(error)) from error
    if snapshot.number != number:
        raise Damaged("a snapshot of another commit", key=key, rule="S1", commit=snapshot.number)
    return snapshot


async def tip_of(
    store: ObjectStore, layout: Layout, fold: Fold[S, Any], dice: Dice, snapshot: Snapshot, *, around: bool = False
) -> Tip[S]:
    """The state that a snapshot holds; `around`: without what is damaged, if the fold can (R6).  Raises `Damaged`."""
    key = layout.snapshot(snapshot.number)
    if snapshot.fold != fold.name:
        raise Damaged(f"a snapshot of a {snapshot.fold}, not of a {fold.name}", key=key, rule="S1")
    chunks = ChunkStore(store, layout, dice)
    try:
        load = fold.load_around if around and isinstance(fold, Parted) else fold.load
        state = await load(snapshot.state, chunks)
    except ValueError as error:
        raise Damaged("a snapshot that cannot be read", key=key, rule="S1", reason=str(error)) from error
    return Tip(state, snapshot.number, snapshot.id, snapshot.at)


async def write_snapshot(
    store: ObjectStore,
    layout: Layout,
    fold: Fold[S, Any],
    tip: Tip[S],
    dice: Dice,
    before: Snapshot | None = None,
    packs: tuple[PackEntry, ...] | None = None,
    pasts: tuple[PastEntry, ...] | None = None,
    timely: Callable[[], bool] = lambda: True,
) -> Snapshot:
    """Write the state at `tip`.  Raises `Exists` if somebody wrote one at this number already (theirs stands, rule S4).

    `before` is the snapshot whose chunks need not be written again; packs and pasts are its own unless given.  `timely`
    says whether what `before` named can still be relied upon (S5); if not, `TooLate`.
    """
    chunks = ChunkStore(store, layout, dice, await _there(store, layout, before))
    state = await fold.dump(tip.state, chunks)
    snapshot = Snapshot(
        number=tip.number,
        id=tip.id,
        at=tip.at,
        fold=fold.name,
        state=state,
        chunks=tuple(chunks.used),
        packs=packs if packs is not None else before.packs if before else (),
        pasts=pasts if pasts is not None else before.pasts if before else (),
    )
    if not timely():
        raise TooLate("this snapshot took too long", key=layout.snapshot(tip.number))
    # S1: chunks first, the snapshot last: who can read a snapshot can read all of it
    await store.create(layout.snapshot(tip.number), sealed(Kind.SNAPSHOT, _encoder.encode(snapshot)))
    if not timely() and not await _stays(store, layout, dice, snapshot):
        raise TooLate("this snapshot took too long", key=layout.snapshot(tip.number))
    chunks.settle()
    return snapshot


async def _there(store: ObjectStore, layout: Layout, before: Snapshot | None) -> list[Digest]:
    """S2: the chunks of a snapshot that are there: who wrote it may have died before it could withdraw it (S5)."""
    if before is None or not before.chunks:
        return []
    listed = {info.key async for info in store.list(layout.chunks)}
    return [name for name in before.chunks if layout.chunk(name) in listed]


async def _stays(store: ObjectStore, layout: Layout, dice: Dice, snapshot: Snapshot) -> bool:
    """S5: whoever was paused on the way removes its snapshot, unless others have come to rely on it meanwhile."""
    key = layout.snapshot(snapshot.number)
    try:
        there_for = await store_time(store, layout, dice) - (await store.head(key)).modified
        if there_for > RELIED_UPON and await _whole(store, layout, snapshot):
            return True
    except NotFound:  # a vacuum was quicker
        return False
    # the vacuum may have taken our chunks for left-overs before this could be seen
    await store.delete([key])
    return False


def named_by(layout: Layout, snapshot: Snapshot) -> set[str]:
    """The keys of all that a snapshot names."""
    return {
        *(layout.chunk(name) for name in snapshot.chunks),
        *(layout.pack(entry.name) for entry in snapshot.packs),
        *(layout.past(entry.name) for entry in snapshot.pasts),
    }


async def _whole(store: ObjectStore, layout: Layout, snapshot: Snapshot) -> bool:
    """Whether all is there that a snapshot names."""
    for key in sorted(named_by(layout, snapshot)):
        try:
            await store.head(key)
        except NotFound:
            return False
    return True
