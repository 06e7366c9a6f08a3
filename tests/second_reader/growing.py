"""A bucket as a later writer of the same version could leave it: arrays have one element more, at their end.

What may grow is what docs/mailbox-log.md says may: heads, parts, frames, entries of packs and pasts, changes, rows,
`large`, states, folders, trees, places of large bodies and summaries.  Nothing here comes from merpati.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cramjam
import msgspec

from tests.second_reader.objects import digest, opened, unpacked

NEW = "later"


def grow(account: Path) -> int:
    """Let the objects of one mailbox's log grow; how many there were."""
    sizes = {path.name: _pack(path) for path in _in(account, "pack")}
    pasts = {path.name: _past(path) for path in _in(account, "past")}
    commits = [_write(path, b"C", _commit(_head(path, b"C"))) for path in _in(account, "log")]
    snapshots = [_snapshot(account, path, sizes, pasts) for path in _in(account, "snap")]
    return len(sizes) + len(pasts) + len(commits) + len(snapshots)


def _in(account: Path, kind: str) -> list[Path]:
    return sorted(path for path in (account / kind).iterdir() if not path.name.startswith("."))


def _head(path: Path, kind: bytes) -> Any:
    return opened(str(path), path.read_bytes(), kind)


def _write(path: Path, kind: bytes, head: Any, payload: bytes | None = None) -> tuple[int, int]:
    """The object with another head; its bytes, and those of the head."""
    data = path.read_bytes()
    if payload is None:
        payload = data[16 : len(data) - 36 - int.from_bytes(data[-36:-32], "big")]
    packed = msgspec.msgpack.encode(head)
    end = packed + len(packed).to_bytes(4, "big")
    path.write_bytes(data[:16] + payload + end + digest(data[:16] + end))
    return path.stat().st_size, len(packed)


def _commit(head: list[Any]) -> list[Any]:
    *before, parts = head
    grown = [[_changes(changes), attachments, NEW] for changes, attachments in parts]
    return [*before, grown, NEW]


def _changes(packed: bytes) -> bytes:
    changes = msgspec.msgpack.decode(packed)
    for change in changes:
        if change[0] in "ac":
            change[2] = [_row(change[0], row) for row in change[2]]
        change.append(NEW)
    return msgspec.msgpack.encode(changes)


def _row(letter: str, row: list[Any]) -> list[Any]:
    at = 3 if letter == "a" else 7
    row[at] = _summary(row[at])
    if letter == "a" and row[5] is not None:
        row[5] = [*row[5], NEW]
    if letter == "c" and row[8] is not None:
        row[8][2] = [*row[8][2], NEW]
    return [*row, NEW]


def _summary(packed: bytes) -> bytes:
    if not packed:
        return packed
    rest = 12 + sum(int.from_bytes(packed[at : at + 4], "big") for at in (0, 4, 8))
    return packed[:rest] + msgspec.msgpack.encode([*msgspec.msgpack.decode(packed[rest:]), NEW])


def _pack(path: Path) -> tuple[int, int]:
    return _write(path, b"P", [[*frame, NEW] for frame in _head(path, b"P")])


def _past(path: Path) -> int:
    """Its bytes."""
    first, last, lengths, *_ = _head(path, b"H")
    data = path.read_bytes()
    joined, heads = unpacked(data[16 : len(data) - 36 - int.from_bytes(data[-36:-32], "big")]), []
    for length in lengths:
        head, joined = joined[:length], joined[length:]
        heads.append(msgspec.msgpack.encode(_commit(msgspec.msgpack.decode(head))))
    payload = bytes(cramjam.zstd.compress(b"".join(heads)))
    return _write(path, b"H", [first, last, list(map(len, heads)), digest(payload).hex(), NEW], payload)[0]


def _snapshot(account: Path, path: Path, packs: dict[str, tuple[int, int]], pasts: dict[str, int]) -> None:
    number, id, at, kind, packed, chunks, *entries = _head(path, b"S")
    known = [[name, first, last, *packs[name], NEW] for name, first, last, *_ in entries[0]]
    past = [[name, first, last, pasts[name], since, NEW] for name, first, last, _, since, *_ in entries[1]]
    state = msgspec.msgpack.decode(packed)
    state[1] = [[*folder, NEW] for folder in state[1]]
    state[2] = _chunk(account, state[2], chunks, lambda tree: [*tree, NEW])
    state[5] = [_chunk(account, name, chunks, lambda places: [_place(place) for place in places]) for name in state[5]]
    _write(path, b"S", [number, id, at, kind, msgspec.msgpack.encode([*state, NEW]), chunks, known, past, NEW])


def _place(place: list[Any]) -> list[Any]:
    return [*place[:4], [*place[4], NEW], NEW]


def _chunk(account: Path, name: str, chunks: list[str], grown: Any) -> str:
    """Another chunk in the place of one; its name."""
    data = (account / "chunk" / name).read_bytes()
    plain = msgspec.msgpack.encode(grown(msgspec.msgpack.decode(unpacked(data[24:]))))
    new = data[:16] + len(plain).to_bytes(8, "big") + bytes(cramjam.zstd.compress(plain))
    renamed = f"{digest(new).hex()}_{name[-8:]}"
    (account / "chunk" / renamed).write_bytes(new)
    chunks[chunks.index(name)] = renamed
    return renamed
