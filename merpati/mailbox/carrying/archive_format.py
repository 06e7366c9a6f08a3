"""The archive that loses nothing: what its members are called and what stands in them.  Pure.

A tar (ustar), compressed with gzip, so that whatever machine it comes to has a program that opens it.  In this order:
`merpati-archive.json` (`Head`), `folders.jsonl` (`FolderLine`s), and for each folder indexes (`MessageLine`s), each
followed by the messages it lists; last `end.json` (`End`), without which an archive is not whole.  Whoever reads it
needs to keep no more than one index.  docs/mailbox-log.md explains it from the outside.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from merpati.ids import digest_of
from merpati.log.api import Tip
from merpati.mailbox.carrying.values import Departing, Unreadable
from merpati.mailbox.state import MailState

FORMAT = "merpati-mailbox"
VERSION = 1
HEAD = "merpati-archive.json"
FOLDERS = "folders.jsonl"
END = "end.json"
INDEX = re.compile(r"(folders/[0-9A-Za-z_-]{1,60})/index-[0-9]{6,}\.jsonl\Z")
GZIP = b"\x1f\x8b"
LEVEL = 1
"""Of gzip.  On mail of which half is base64: 45 MB/s and 71 % here, 30 MB/s and 69 % at level 6; zstd is five times as
quick, but the `tar` of many a system does not open it."""
BLOCK = tarfile.BLOCKSIZE
MAX_HEAD = 32 << 20
"""Bytes of `merpati-archive.json` and of `folders.jsonl` that are read."""
MAX_INDEX = 8 << 20
"""Bytes of an index."""
MAX_FOLDERS = 10_000

S = TypeVar("S", bound=msgspec.Struct)


class Head(msgspec.Struct, frozen=True):
    """What the archive is, and what belongs to the account as a whole."""

    format: str
    version: int
    id: str
    """32 hexadecimal digits: equal for archives of the same folders at the same commit."""
    address: str = ""
    account: str = ""
    commit: int = 0
    """The commit of the account that the archive shows."""
    at: float = 0.0
    """When that was made, seconds since 1970."""
    complete: bool = True
    """All folders, not some."""
    subscriptions: tuple[str, ...] = ()
    """Names; some may have no folder."""
    annotations: dict[str, bytes] = {}
    """RFC 5464, of the account; base64."""


class FolderLine(msgspec.Struct, frozen=True):
    """A folder."""

    path: str
    """Where its members are."""
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int = 0
    messages: int = 0
    size: int = 0
    """Bytes of its messages."""
    special_use: str = ""
    subscribed: bool = False
    keywords: tuple[str, ...] = ()
    """In the folder's own order."""
    annotations: dict[str, bytes] = {}


class MessageLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message; one that is `lost` has no file."""

    uid: int
    size: int
    date: int
    """INTERNALDATE, seconds since 1970."""
    flags: tuple[str, ...] = ()
    modseq: int = 0
    """As it was; not to be had again."""
    file: str = ""
    """Name within the folder's path."""
    sha256: str = ""
    lost: bool = False


class End(msgspec.Struct, frozen=True):
    """The archive is whole."""

    folders: int
    messages: int
    lost: int
    size: int
    """Bytes of its messages."""


def head_of(address: str, account: str, tip: Tip[MailState], folders: Iterable[Departing], *, complete: bool) -> Head:
    """The head of an archive; the same for the same folders at the same commit."""
    named = "\0".join(folder.name for folder in folders)
    archive = digest_of(f"{account} {tip.number} {complete} {named}".encode())[:32]
    subscriptions = tuple(sorted(tip.state.subscriptions)) if complete else ()
    annotations = dict(tip.state.metadata.get(0, {})) if complete else {}
    return Head(FORMAT, VERSION, archive, address, account, tip.number, tip.at, complete, subscriptions, annotations)


def folder_line(folder: Departing) -> FolderLine:
    """A folder's line, and its path: a number, and what of its name is safe everywhere."""
    plain = re.sub(r"[^0-9A-Za-z]+", "_", folder.name).strip("_")[:40]
    return FolderLine(
        f"folders/{folder.number:04}-{plain}",
        folder.name,
        folder.uidvalidity,
        folder.uidnext,
        folder.highestmodseq,
        folder.messages,
        folder.size,
        folder.special_use,
        folder.subscribed,
        folder.keywords,
        dict(folder.annotations),
    )


def member(name: str, size: int, date: float = 0) -> bytes:
    """The block that stands before a member's bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(min(max(date, 0), (1 << 33) - 1))
    return info.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """What fills the last block of a member."""
    return b"\0" * (-size % BLOCK)


def lines(structs: Iterable[msgspec.Struct]) -> bytes:
    """JSON, a line each."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in structs)


def decoded(data: bytes, kind: type[S], name: str) -> S:
    """A JSON document of the archive.  Raises `Unreadable`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"{name} in the archive is not what it should be: {_plain(error)}") from None


def decoded_lines(data: bytes, kind: type[S], name: str) -> list[S]:
    """The lines of a member.  Raises `Unreadable`."""
    try:
        return msgspec.json.Decoder(kind).decode_lines(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(f"{name} in the archive is not what it should be: {_plain(error)}") from None


def _plain(error: Exception) -> str:
    return str(error).encode("ascii", "replace").decode()[:200]
