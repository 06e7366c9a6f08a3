"""Reading an archive as a stream, one index and one message at a time.  Handed to `bringing`.

Everything in it is measured before it is believed: what may be long has a limit, each message its digest, and an
archive that ends early is told from one that is whole.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from merpati.mailbox.carrying.archive_format import (
    BLOCK,
    END,
    FOLDERS,
    FORMAT,
    GZIP,
    HEAD,
    INDEX,
    MAX_FOLDERS,
    MAX_HEAD,
    MAX_INDEX,
    VERSION,
    End,
    FolderLine,
    Head,
    MessageLine,
    decoded,
    decoded_lines,
)
from merpati.mailbox.carrying.spooling import PIECE, Content
from merpati.mailbox.carrying.values import MAX_MESSAGE, Incoming, Unreadable

MAX_UID = (1 << 32) - 1
FIRST_DATE, LAST_DATE = -62_135_596_800, 253_402_300_799
"""Seconds since 1970 of the years 1 to 9999."""
ZSTD = b"\x28\xb5\x2f\xfd"
MAX_TAIL = 1 << 20
"""Bytes that may stand behind the last member."""
_GZIP_WINDOW = 31
# RFC 5464 section 3.2: what goes into answers of IMAP later must not hold anything else
_ANNOTATION = re.compile(r"/(?:private|shared)/[!-$&-)+-~]{1,1000}\Z")
_SPECIAL_USE = re.compile(r"(?:\\[A-Za-z]{1,50})?\Z")


class Unzipped:
    """The bytes of a file, which may be compressed with gzip, some at a time.  Raises `Unreadable`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._raw = file.read(PIECE)
        self._zip = zlib.decompressobj(_GZIP_WINDOW) if self._raw.startswith(GZIP) else None
        self._pending = False
        """Whether zlib may have more without being given any."""
        self._ended = False
        self._ready, self._at = b"", 0
        if self._raw.startswith(ZSTD):
            raise Unreadable("this is compressed with zstd: unpack it with zstd -dc first")

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; nothing at the end."""
        while self._at == len(self._ready) and not self._ended:
            self._ready, self._at = self._filled(), 0
        data = self._ready[self._at : self._at + size]
        self._at += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """`size` bytes.  Raises `Unreadable` if it ends before."""
        pieces, left = [], size
        while left:
            piece = self.read(left)
            if not piece:
                raise Unreadable("the archive ends in the middle")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Read to the end, for what was unpacked is only checked there.  Raises `Unreadable`."""
        for _ in range(MAX_TAIL // BLOCK):
            if not self.read(BLOCK):
                break
        if self._zip is not None:
            raise Unreadable("the archive ends in the middle")

    def _filled(self) -> bytes:
        if not self._raw and not self._pending:
            self._raw = self._file.read(PIECE)
            self._ended = not self._raw
        if self._zip is None or self._ended:
            data, self._raw = self._raw, b""
            return data
        try:
            data = self._zip.decompress(self._raw, PIECE)
        except zlib.error:
            raise Unreadable("the archive is damaged: from here on it cannot be unpacked") from None
        self._raw, self._pending = self._zip.unconsumed_tail, len(data) == PIECE
        if self._zip.eof:
            self._raw = self._zip.unused_data or self._file.read(PIECE)
            self._pending = False
            # several files of gzip one after another are one; what else follows is padding
            self._ended = not self._raw.startswith(GZIP)
            self._zip = None if self._ended else zlib.decompressobj(_GZIP_WINDOW)
        return data


class ArchiveReader:
    """An archive.  `only`: the one folder that is wanted."""

    def __init__(self, source: Path | IO[bytes], only: str = "") -> None:
        self.only = only
        self._file = open(source, "rb") if isinstance(source, Path) else source  # noqa: SIM115
        self._place = str(source) if isinstance(source, Path) else "standard input"
        self._bytes = Unzipped(self._file)
        name, size = self._first()
        if name != HEAD:
            raise Unreadable(f"{self._place} is no archive of a mailbox: it does not begin with {HEAD}")
        self.head = _checked_head(decoded(self._member(name, size, MAX_HEAD), Head, name))
        name, size = self._next() or ("", 0)
        if name != FOLDERS:
            raise Unreadable(f"the members of the archive are not in their order: {FOLDERS} is not the second")
        found = decoded_lines(self._member(name, size, MAX_HEAD), FolderLine, name)
        _check_folders(found)
        self.lines = [line for line in found if not only or line.name == only]
        if only and not self.lines:
            raise Unreadable(f"there is no folder {only} in the archive")
        self._paths = {line.path: line for line in found}
        self.numbers = {line.path: number for number, line in enumerate(found, 1)}
        self._wanted = {line.path for line in self.lines}

    def messages(self) -> Iterator[Incoming]:
        """The messages of the folders that are wanted, folder by folder.  Raises `Unreadable` if there is no end."""
        here, last, left = "", 0, set[str]()
        while (found := self._next()) is not None:
            name, size = found
            if name == END:
                decoded(self._member(name, size, MAX_INDEX), End, name)
                self._bytes.finish()
                return
            index = INDEX.match(name)
            if index is None or index[1] not in self._paths:
                raise Unreadable("the members of the archive are not in their order", member=name)
            if index[1] != here:
                if index[1] in left:
                    raise Unreadable("the folders of the archive are not one after another", member=name)
                left.add(here)
                here, last = index[1], 0
            listed = decoded_lines(self._member(name, size, MAX_INDEX), MessageLine, name)
            for line in listed:
                if not last < line.uid < min(self._paths[here].uidnext, MAX_UID + 1):
                    raise Unreadable("UIDs in the archive do not ascend", member=name, uid=line.uid)
                if not FIRST_DATE <= line.date <= LAST_DATE:
                    raise Unreadable("a date in the archive is none", member=name, uid=line.uid)
                last = line.uid
                yield from self._message(self._paths[here], line)
        raise Unreadable("the archive ends in the middle")

    def close(self) -> None:
        self._file.close()

    def _message(self, folder: FolderLine, line: MessageLine) -> Iterator[Incoming]:
        content, mix, wanted = Content(), hashlib.sha256(), folder.path in self._wanted
        lost = line.lost
        if not lost:
            name, size = self._next() or ("", 0)
            if name != f"{folder.path}/{line.file}":
                raise Unreadable("the members of the archive are not in their order", member=name)
            for piece in self._pieces(size):
                mix.update(piece)
                if wanted and content.size <= MAX_MESSAGE:
                    content.add(piece)
            lost = mix.hexdigest() != line.sha256
        if wanted:
            place = f"{folder.name} UID {line.uid}"
            yield Incoming(folder.name, content, line.flags, line.date, "", place, "", lost, line.uid)

    def _first(self) -> tuple[str, int]:
        try:
            return self._next() or ("", 0)
        except Unreadable:  # whatever it is, no archive
            return "", 0

    def _next(self) -> tuple[str, int] | None:
        """Name and size of the next member that is a file; None at the end."""
        while True:
            block = self._bytes.exactly(BLOCK)
            if not block.strip(b"\0"):
                return None
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
            except tarfile.HeaderError:
                raise Unreadable("the archive is damaged: from here on it is no tar") from None
            if info.size < 0:
                raise Unreadable("the archive is damaged: a member of less than no bytes")
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                return info.name.removeprefix("./"), info.size
            for _ in self._pieces(info.size):  # a folder, or what a program that packed it again adds
                pass

    def _member(self, name: str, size: int, limit: int) -> bytes:
        if size > limit:
            raise Unreadable(f"{name} in the archive has more than {limit} bytes")
        return b"".join(self._pieces(size))

    def _pieces(self, size: int) -> Iterator[bytes]:
        """The bytes of a member, and past what fills its last block."""
        left = size
        while left:
            piece = self._bytes.read(min(left, PIECE))
            if not piece:
                raise Unreadable("the archive ends in the middle")
            left -= len(piece)
            yield piece
        self._bytes.exactly(-size % BLOCK)


def _checked_head(head: Head) -> Head:
    if head.format != FORMAT:
        raise Unreadable("this is no archive of a mailbox")
    if head.version > VERSION:
        raise Unreadable(f"the archive has version {head.version} of its format: upgrade to read it")
    if len(head.id) != 32 or head.id.strip("0123456789abcdef"):
        raise Unreadable("the archive's id is not 32 hexadecimal digits")
    _check_annotations(head.annotations)
    return head


def _check_annotations(annotations: Iterable[str]) -> None:
    for name in annotations:
        if not _ANNOTATION.match(name):
            raise Unreadable("the name of an annotation in the archive is none", annotation=name)


def _check_folders(found: list[FolderLine]) -> None:
    if len(found) > MAX_FOLDERS:
        raise Unreadable(f"the archive has more than {MAX_FOLDERS} folders")
    if len({line.name for line in found}) < len(found) or len({line.path for line in found}) < len(found):
        raise Unreadable("a folder is in the archive twice")
    for line in found:
        if not (0 < line.uidvalidity <= MAX_UID and 0 < line.uidnext <= MAX_UID):
            raise Unreadable("a UIDVALIDITY or UIDNEXT in the archive is none", folder=line.name)
        if not _SPECIAL_USE.match(line.special_use):
            raise Unreadable("a special use in the archive is none", folder=line.name)
        _check_annotations(line.annotations)
