"""What one writer has tried and what it was promised, in a file that outlives its process.

Written by `writers` as it goes, line by line, each in one system call: a kill leaves whole lines, and what is written
before an attempt begins is there when the attempt is judged.
"""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """One writer's; `appends` and `counts` are numbered from 1."""

    appends: set[int] = field(default_factory=set)
    """Tried."""
    appended: dict[int, int] = field(default_factory=dict)
    """Acknowledged, with the UID that was told."""
    counts: int = 0
    """Increments tried."""
    counted: list[int] = field(default_factory=list)
    """What acknowledged increments had made of this writer's own count."""
    refused: list[str] = field(default_factory=list)
    """Kinds of errors that were met."""
    longest: float = 0.0
    """Seconds that the slowest acknowledged attempt took."""


class LedgerFile:
    """The file, to be written."""

    def __init__(self, path: pathlib.Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def read_ledger(path: pathlib.Path) -> Ledger:
    """What stands in the file; nothing if there is none."""
    ledger = Ledger()
    for line in path.read_text().splitlines() if path.exists() else ():
        match line.split(" "):
            case ["try", "append", number]:
                ledger.appends.add(int(number))
            case ["done", "append", number, uid, seconds]:
                ledger.appended[int(number)] = int(uid)
                ledger.longest = max(ledger.longest, float(seconds))
            case ["try", "count"]:
                ledger.counts += 1
            case ["done", "count", value, seconds]:
                ledger.counted.append(int(value))
                ledger.longest = max(ledger.longest, float(seconds))
            case ["failed", kind]:
                ledger.refused.append(kind)
            case _:
                raise ValueError(f"{path}: {line!r}")
    return ledger
