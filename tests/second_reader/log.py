"""One log of a store, of a mailbox or a directory: its newest snapshot, the commits after it, and its attachments.

For the second reader, so nothing here comes from merpati: written from `docs/mailbox-log.md` and `PROTOCOL.md` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from tests.second_reader.objects import PREAMBLE, Bucket, Commit, Refused, commit_in, digest, opened, unpacked

TOP = 10**20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot says of itself."""

    number: int
    id: bytes
    at: float
    kind: str
    state: bytes
    chunks: list[str]
    packs: list[list[Any]]
    pasts: list[list[Any]]


class Log:
    """As it is while nobody writes."""

    def __init__(self, bucket: Bucket, id: str) -> None:
        self.bucket = bucket
        self.prefix = f"accounts/{id}"
        self._frames: dict[tuple[int, int], bytes] = {}
        self._packs_read: set[str] = set()
        self._heads: dict[str, dict[int, bytes]] = {}

    def chunk(self, name: str) -> bytes:
        return self.bucket.chunk(self.prefix, name)

    def snapshots(self, most: int = TOP) -> list[Snapshot]:
        """Those of commits up to `most`, the newest first; what is damaged is passed over [R1]."""
        return [snapshot for snapshot in self._snapshots if snapshot.number <= most]

    @cached_property
    def _snapshots(self) -> list[Snapshot]:
        known = []
        for key in self.bucket.list(f"{self.prefix}/snap/"):
            number = TOP - int(key[-20:])
            try:
                head, _ = self.bucket.head(key, b"S")
            except Refused:
                continue
            found, id, at, kind, state, chunks, packs, pasts, *_ = head
            if found == number:
                known.append(Snapshot(number, id, at, kind, state, chunks, packs, pasts))
        return known

    def commits(self, number: int, id: bytes, at: float, most: int = TOP) -> Iterator[Commit]:
        """The commits after `number`, whose id is `id` and whose time `at`, up to `most` or the last [R2, C2]."""
        while number < most and (commit := self.commit(number + 1)) is not None:
            if commit.before != id or commit.number != number + 1 or commit.time < at:
                raise Refused(f"commit {number + 1} does not follow [C2]")
            number, id, at = commit.number, commit.id, commit.time
            yield commit
        if most == TOP:
            floors = [TOP - int(name) for name in self._names("floor")]
            if max(floors, default=0) > number + 1:
                raise Refused(f"{self.prefix}: the commits after {number} are gone [R1, F3]")
            if max(map(int, self._names("log")), default=0) > number:
                raise Refused(f"{self.prefix}: commit {number + 1} is missing, and others follow [R7]")

    def commit(self, number: int) -> Commit | None:
        """From a past that a snapshot names [P2], else from the commit, else from any past [R5]; None: nowhere."""
        named = [name for each in self.snapshots() for name, first, last, *_ in each.pasts if first <= number <= last]
        key = f"{self.prefix}/log/{number:020}"
        if not named and (data := self.bucket.get(key)) is not None:
            return commit_in(opened(key, data, b"C"))
        for name in named or self._names("past"):
            if name not in self._heads:
                self._heads[name] = self._read_past(name)
            if number in self._heads[name]:
                if not self._heads[name][number]:
                    raise Refused(f"commit {number} was lost [P7]")
                return commit_in(msgspec.msgpack.decode(self._heads[name][number]))
        return None

    def _names(self, kind: str) -> list[str]:
        """All objects of a kind."""
        return [key.rpartition("/")[2] for key in self.bucket.list(f"{self.prefix}/{kind}/")]

    def _read_past(self, name: str) -> dict[int, bytes]:
        key = f"{self.prefix}/past/{name}"
        (first, last, lengths, expected, *_), data = self.bucket.head(key, b"H")
        stored = payload_of(data)
        if digest(stored).hex() != expected or last - first + 1 != len(lengths):
            raise Refused(f"{key} is damaged [P2]")
        joined, heads = unpacked(stored), {}
        for number, length in enumerate(lengths, first):
            heads[number], joined = joined[:length], joined[length:]
        return heads

    def attachment(self, commit: int, offset: int) -> bytes:
        """From the pack that has it, else from the commit [P4], else from a pack that no snapshot names [R5]."""
        address = commit, offset
        if address not in self._frames:
            packs = [pack for each in self.snapshots() for pack in each.packs]
            self._read_packs([name for name, first, last, *_ in packs if first <= commit <= last])
        if address not in self._frames and self.bucket.get(f"{self.prefix}/log/{commit:020}") is not None:
            self._read_commit(commit)
        if address not in self._frames:
            self._read_packs(self._names("pack"))
        if address not in self._frames:
            raise Refused(f"{self.prefix}: neither commit {commit} nor a pack has what was at {offset} [P4]")
        return self._frames[address]

    def _read_commit(self, number: int) -> None:
        key = f"{self.prefix}/log/{number:020}"
        head, data = self.bucket.head(key, b"C")
        for _, attachments in commit_in(head).parts:
            for each in attachments:
                body = data[each.offset : each.offset + each.length]
                if digest(body) != each.digest:
                    raise Refused(f"{key}: an attachment is damaged [B2]")
                self._frames[number, each.offset] = body

    def _read_packs(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._packs_read:
                self._packs_read.add(name)
                self._read_pack(name)

    def _read_pack(self, name: str) -> None:
        key, at = f"{self.prefix}/pack/{name}", 0
        frames, data = self.bucket.head(key, b"P")
        payload = payload_of(data)
        for stored, length, expected, bodies, *_ in frames:
            frame = payload[at : at + stored]
            at += stored
            plain = unpacked(frame)
            if digest(frame)[:16] != expected or len(plain) != length:
                raise Refused(f"{key}: a frame is damaged [P3]")
            begin = 0
            for commit, offset, size in bodies:
                self._frames[commit, offset] = plain[begin : begin + size]
                begin += size


def payload_of(data: bytes) -> bytes:
    """What stands between preamble and head [B1]."""
    return data[PREAMBLE : len(data) - 36 - int.from_bytes(data[-36:-32], "big")]
