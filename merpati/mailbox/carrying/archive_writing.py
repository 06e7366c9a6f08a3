"""Writing an archive, batch by batch.  Handed to `leaving`; a file has its name only when it is whole."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from merpati.errors import Permanent
from merpati.mailbox.carrying.archive_format import (
    BLOCK,
    END,
    FOLDERS,
    HEAD,
    LEVEL,
    End,
    FolderLine,
    Head,
    MessageLine,
    folder_line,
    lines,
    member,
    padding,
)
from merpati.mailbox.carrying.values import Carried, Departing, Outgoing

_GZIP_WINDOW = 31


class ArchiveWriter:
    """`target`: a file to be made, compressed unless its name ends in `.tar`; or an open file, compressed."""

    def __init__(self, target: Path | IO[bytes], head: Head, folders: Sequence[Departing]) -> None:
        self._target = target
        self._part: Path | None = None
        plain = isinstance(target, Path) and target.suffix == ".tar"
        self._zip = None if plain else zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        if isinstance(target, Path):
            if target.exists():
                raise Permanent(f"{target} is there already")
            self._part = target.with_name(target.name + ".part")
            self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._part.unlink(missing_ok=True)
            self._file: IO[bytes] = open(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115
        else:
            self._file = target
        self._lines = {folder.number: folder_line(folder) for folder in folders}
        self._here: FolderLine | None = None
        self._indexes = 0
        self._put_member(HEAD, lines([head]), head.at)
        self._put_member(FOLDERS, lines(self._lines.values()), head.at)

    def folder(self, folder: Departing) -> str:
        self._here, self._indexes = self._lines[folder.number], 0
        return ""

    def write(self, messages: Sequence[Outgoing]) -> None:
        assert self._here is not None
        self._indexes += 1
        index = f"{self._here.path}/index-{self._indexes:06}.jsonl"
        self._put_member(index, lines(_line(message) for message in messages), messages[0].date)
        for message in messages:
            if message.content is not None:
                size = message.content.size
                self._put(member(f"{self._here.path}/{_file(message)}", size, message.date))
                for piece in message.content.pieces():
                    self._put(piece)
                self._put(padding(size))

    def close(self, done: Carried) -> None:
        self._put_member(END, lines([End(done.folders, done.messages, done.lost, done.size)]), 0)
        self._put(b"\0" * (2 * BLOCK))
        if self._zip is not None:
            self._file.write(self._zip.flush())
        self._file.flush()
        if self._part is not None and isinstance(self._target, Path):
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.rename(self._target)

    def abandon(self) -> None:
        if self._part is not None:
            with suppress(OSError):  # on a full disk what is left in the buffer cannot be written either
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _put_member(self, name: str, data: bytes, date: float) -> None:
        self._put(member(name, len(data), date) + data + padding(len(data)))

    def _put(self, data: bytes) -> None:
        self._file.write(data if self._zip is None else self._zip.compress(data))


def _file(message: Outgoing) -> str:
    return f"{message.uid:010}.eml"


def _line(message: Outgoing) -> MessageLine:
    if message.content is None:
        return MessageLine(message.uid, message.size, message.date, message.flags, message.modseq, lost=True)
    mix = hashlib.sha256()
    for piece in message.content.pieces():
        mix.update(piece)
    return MessageLine(
        message.uid,
        message.content.size,
        message.date,
        message.flags,
        message.modseq,
        _file(message),
        mix.hexdigest(),
    )
