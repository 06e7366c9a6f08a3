"""Files of mbox, written and read: one a folder, or one alone.  Handed to `leaving` and `arriving`.

Written as mboxrd with LF at the ends of lines, as RFC 4155 has it, and with the fields of `status`; the CRLF comes back
when it is read.  A file that is not finished has a name that ends in `.part`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from merpati.errors import Permanent
from merpati.mailbox.carrying import status
from merpati.mailbox.carrying.mbox_lines import Begin, Event, Piece, Splitter, from_line, quoting
from merpati.mailbox.carrying.paths import checked, quoted, unquoted
from merpati.mailbox.carrying.spooling import PIECE, Content
from merpati.mailbox.carrying.values import MAX_MESSAGE, Carried, Departing, Incoming, Outgoing, Unreadable
from merpati.mailbox.names import INBOX
from merpati.mailbox.values import DELIMITER

SUFFIX = ".mbox"
MAX_DEPTH = 50
"""Folders of files within each other that are looked into."""
MAX_LEADING = 1000
"""Bytes of blank lines that may stand before the first message."""

_SENDER = re.compile(rb"\AReturn-Path:[ \t]*<([!-~]{1,320})>[ \t]*\r?\n", re.IGNORECASE)
_LONE_LF = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"^Content-Length:[ \t]*([0-9]{1,12})[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)


def folder_path(name: str) -> str:
    """Where a folder's file is.  Raises `Permanent` if the name is too long for a file."""
    levels = [quoted(level) for level in name.split(DELIMITER)]
    # a folder `a.mbox` and the file of a folder `a` would be one
    levels = [re.sub(r"\.(mbox|sbd)\Z", r"%2E\1", level) for level in levels]
    levels[-1] += SUFFIX
    return "/".join(checked(level, name) for level in levels)


def folder_name(path: str) -> str:
    """The folder whose file is there: `a/b.mbox`, Thunderbird's `a.sbd/b` or Apple's `a/b.mbox/mbox`."""
    levels = path.split("/")
    if len(levels) > 1 and levels[-1] == "mbox" and levels[-2].endswith(SUFFIX):
        del levels[-1]
    levels[-1] = levels[-1].removesuffix(SUFFIX)
    name = DELIMITER.join(unquoted(level.removesuffix(".sbd")) for level in levels)
    return INBOX if name.upper() == INBOX else name


class MboxWriter:
    """`target`: a folder to be made, or a file to be made if `single`, or an open file."""

    def __init__(self, target: Path | IO[bytes], *, single: bool) -> None:
        if isinstance(target, Path) and target.exists() and (single or not target.is_dir() or any(target.iterdir())):
            raise Permanent(f"{target} is not empty" if target.is_dir() else f"{target} is there already")
        self._target = target
        self._single = single
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._base = ""

    def folder(self, folder: Departing) -> str:
        self._finish()
        # as c-client and Dovecot read it: the keywords that are not named here are nobody's
        self._base = f"{folder.uidvalidity} {folder.uidnext - 1:010} {' '.join(folder.keywords)}".strip()
        if not isinstance(self._target, Path):
            self._file = self._target
            return ""
        self._path = self._target if self._single else self._target / folder_path(folder.name)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path.exists():
            raise Permanent("two folders would have one file: this file system does not tell their names apart")
        self._file = open(_part(self._path), "xb")  # noqa: SIM115
        os.chmod(self._file.fileno(), 0o600)
        return ""

    def write(self, messages: Sequence[Outgoing]) -> None:
        assert self._file is not None
        for message in messages:
            if message.content is not None:
                self._file.writelines(_lines(message, message.content, self._base))
                self._base = ""

    def close(self, done: Carried) -> None:
        self._finish()
        if not isinstance(self._target, Path):
            self._target.flush()

    def abandon(self) -> None:
        if self._path is not None and self._file is not None:
            with suppress(OSError):  # on a full disk what is left in the buffer cannot be written either
                self._file.close()
            _part(self._path).unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._path is not None and self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            _part(self._path).rename(self._path)
        self._file = None


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _lines(message: Outgoing, content: Content, base: str) -> Iterator[bytes]:
    """One message with its From line, its fields, and the blank line behind it."""
    head = content.head(status.MAX_HEADER)
    whole = len(head) == content.size
    kept = not all(_crlf_alone(piece) for piece in _whole_lines(content.pieces()))
    marks = [status.KEPT] if kept else []
    last = content.tail(1)
    if last != b"\n":
        marks.append(status.UNENDED)
    sender = _SENDER.match(head)
    yield from_line(sender[1] if sender else b"MAILER-DAEMON", message.date)
    yield status.written(message.uid, message.flags, marks, base)
    yield from quoting(_with_lf(_body(content, head, whole), kept))
    yield b"\n" if last == b"\n" else b"\n\n"


def _crlf_alone(data: bytes) -> bool:
    """Whether each CR and LF belongs to a CRLF."""
    return data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")


def _body(content: Content, head: bytes, whole: bool) -> Iterator[bytes]:
    yield status.without_fields(head, whole=whole)
    yield from content.pieces(len(head))


def _with_lf(pieces: Iterator[bytes], kept: bool) -> Iterator[bytes]:
    return pieces if kept else (piece.replace(b"\r\n", b"\n") for piece in _whole_lines(pieces))


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, no CRLF cut in two."""
    rest = b""
    for piece in pieces:
        piece = rest + piece
        rest = piece[-1:] if piece[-1:] == b"\r" else b""
        yield piece[: len(piece) - len(rest)]
    yield rest


class MboxReader:
    """`source`: a folder of files, a file, or an open file that cannot be sought in; `only`: as the command says."""

    def __init__(self, source: Path | IO[bytes], only: str = "") -> None:
        self._files: list[tuple[str, Path | IO[bytes]]]
        self._empty: list[str] = []
        if not isinstance(source, Path):
            self._files = [(only or INBOX, source)]
        elif source.is_file():
            self._files = [(only or folder_name(source.name), source)]
        else:
            self._files = [(name, path) for name, path in self._found(source) if not only or name == only]
            if not self._files and only not in self._empty:
                raise Unreadable(f"there is no mbox {only} in {source}".replace("  ", " "))

    def folders(self) -> Sequence[str]:
        return [*(name for name, _ in self._files), *self._empty]

    def messages(self) -> Iterator[Incoming]:
        for folder, source in self._files:
            if isinstance(source, Path):
                with open(source, "rb") as file:
                    yield from _messages(folder, file, str(source), seekable=True)
            else:
                yield from _messages(folder, source, "standard input", seekable=False)

    def _found(self, source: Path) -> Iterator[tuple[str, Path]]:
        for path in sorted(_walk(source, 0)):
            name = folder_name(path.relative_to(source).as_posix())
            if path.stat().st_size == 0:
                self._empty += [name] if path.suffix == SUFFIX else []
            elif begins_as_mbox(path):
                yield name, path


def begins_as_mbox(path: Path) -> bool:
    """Whether a file begins like an mbox."""
    with open(path, "rb") as file:
        return _first_line(file.read(MAX_LEADING)) >= 0


def _walk(source: Path, depth: int) -> Iterator[Path]:
    for path in source.iterdir() if depth < MAX_DEPTH else ():
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _walk(path, depth + 1)
        elif path.is_file() and not path.name.endswith(".part"):
            yield path


def _first_line(data: bytes) -> int:
    """Where the first message begins, blank lines and a byte-order mark passed over; -1 if this is no mbox."""
    start = len(data) - len(data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))
    return start if data[start : start + 5] == b"From " else -1


def _messages(folder: str, file: IO[bytes], place: str, *, seekable: bool) -> Iterator[Incoming]:
    data = file.read(PIECE)
    if not data:
        return
    start = _first_line(data)
    if start < 0:
        raise Unreadable(f"{place} is no mbox: it does not begin with a line `From `")
    splitter = Splitter(start, _end_of(file.fileno()) if seekable else None)
    letters = _Letters(folder, place)
    data = data[start:]
    while data:
        yield from letters.take(splitter.feed(data))
        data = file.read(PIECE)
    yield from letters.take(splitter.finish())


def _end_of(descriptor: int) -> Callable[[int], int]:
    """Looks up where a message ends by its Content-Length: 0 unless the file ends there or another message begins."""
    size = os.fstat(descriptor).st_size

    def end_of(start: int) -> int:
        head = os.pread(descriptor, 4096, start)
        blank = status.header_end(head, whole=False)
        length = _LENGTH.search(head, 0, blank) if blank > 0 else None
        if length is None:
            return 0
        end = start + blank + (1 if head[blank : blank + 1] == b"\n" else 2) + int(length[1])
        behind = os.pread(descriptor, 8, end) if end < size else b""
        return end if end == size or behind.lstrip(b"\r\n").startswith(b"From ") else 0

    return end_of


class _Letters:
    """Puts messages together of what the splitter finds."""

    def __init__(self, folder: str, place: str) -> None:
        self._folder = folder
        self._place = place
        self._count = 0
        self._begin = Begin(b"", 0, 0)
        self._letter = _Letter()

    def take(self, events: Sequence[Event]) -> Iterator[Incoming]:
        for event in events:
            if isinstance(event, Begin):
                self._begin, self._letter = event, _Letter()
                self._count += 1
            elif isinstance(event, Piece):
                self._letter.add(event.data)
            elif (letter := self._letter.end()) is not None:
                cause = f"mbox {self._folder} {self._count} {self._letter.digest}"
                place = f"{self._place} message {self._count}"
                yield Incoming(self._folder, letter, self._letter.status.flags, self._begin.date or None, cause, place)


class _Letter:
    """One message in the making: its header is kept until its fields can be taken out."""

    def __init__(self) -> None:
        self.status = status.Status()
        self._content = Content()
        self._head: bytes | None = b""
        self._mix = hashlib.blake2b(digest_size=16)
        self._crlf = False
        self._after_cr = False

    @property
    def digest(self) -> str:
        return self._mix.hexdigest()

    def add(self, data: bytes) -> None:
        if self._head is None:
            self._put(data)
            return
        self._head += data
        if len(self._head) > 2 * status.MAX_HEADER or status.header_end(self._head, whole=False) >= 0:
            self._end_head(whole=False)

    def end(self) -> Content | None:
        """The message; None if it only waits to be cleared away."""
        if self._head is not None:
            self._end_head(whole=True)
        if status.UNENDED in self.status.lines:
            end = b"\r\n" if self._crlf else b"\n"
            if self._content.tail(len(end)) == end:
                self._content.cut(self._content.size - len(end))
        return None if self.status.expunged else self._content

    def _end_head(self, *, whole: bool) -> None:
        assert self._head is not None
        head, self._head = self._head, None
        head, self.status = status.read(head, whole=whole)
        end = max(0, status.header_end(head, whole=whole))
        # a file with CRLF in its headers has them everywhere
        self._crlf = status.KEPT not in self.status.lines and b"\r\n" not in head[: end + 2]
        self._put(head)

    def _put(self, data: bytes) -> None:
        self._mix.update(data)
        if self._crlf:
            start = self._after_cr and data[:1] == b"\n"
            self._after_cr = data[-1:] == b"\r"
            data = b"\n" + _crlf(data[1:]) if start else _crlf(data)
        if self._content.size <= MAX_MESSAGE:
            self._content.add(data)


def _crlf(data: bytes) -> bytes:
    return _LONE_LF.sub(b"\r\n", data) if b"\r" in data else data.replace(b"\n", b"\r\n")
