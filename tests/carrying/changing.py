"""Archives with other members: how the tests make bad ones of good ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def changed(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with other members; None leaves one out."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for info in old:
            file = old.extractfile(info)
            data = change(info.name, file.read() if file else b"")
            if data is not None:
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return target


def without(part: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, data: None if part in name else data


def with_json(part: str, **values: Any) -> Callable[[str, bytes], bytes]:
    """Each line of a member has other values."""

    def change(name: str, data: bytes) -> bytes:
        if part not in name:
            return data
        return b"".join(json.dumps({**json.loads(line), **values}).encode() + b"\n" for line in data.splitlines())

    return change
