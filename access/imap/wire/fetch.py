"""What FETCH asks for of each message (RFC 9051 section 6.4.5): plain items, and sections of the message.

Made by `grammar.fetching`, answered by the view.  `label` is the item's name as the response writes it.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from access.imap.wire.render import astring

Part = tuple[int, ...]
Partial = tuple[int, int]
"""(first byte, how many at most)"""


class Att(Enum):
    """Items without arguments.  The value is the name in the response."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"  # RFC 7162 section 3.1.4.2
    EMAILID = b"EMAILID"  # RFC 8474 section 5.3
    THREADID = b"THREADID"
    SAVEDATE = b"SAVEDATE"  # RFC 8514 section 4.2
    PREVIEW = b"PREVIEW"  # RFC 8970 section 3.1
    PREVIEW_LAZY = b"PREVIEW (LAZY)"
    RFC822 = b"RFC822"  # RFC 3501 section 6.4.5: like BODY[], …
    RFC822_HEADER = b"RFC822.HEADER"  # … like BODY.PEEK[HEADER], …
    RFC822_TEXT = b"RFC822.TEXT"  # … and like BODY[TEXT]

    __hash__ = object.__hash__  # members are single; Enum's own is a Python function, and items are looked up a lot

    @property
    def label(self) -> bytes:
        # RFC 8970 section 3.2: the answer to PREVIEW (LAZY) is PREVIEW
        return b"PREVIEW" if self is Att.PREVIEW_LAZY else self.value


class Section(Struct, frozen=True, gc=False):
    """BODY[…] or BODY.PEEK[…].

    `what` is empty for the whole part, else HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME.
    """

    part: Part = ()
    what: str = ""
    fields: tuple[str, ...] = ()
    partial: Partial | None = None
    peek: bool = False

    @property
    def label(self) -> bytes:
        spec = [b"%d" % number for number in self.part]
        if self.what:
            spec.append(self.what.encode())
        fields = b" (%b)" % b" ".join(astring(field.encode()) for field in self.fields) if self.fields else b""
        return b"BODY[%b%b]%b" % (b".".join(spec), fields, _origin(self.partial))


class Binary(Struct, frozen=True, gc=False):
    """BINARY[…] or BINARY.PEEK[…]: the part with its transfer encoding undone (RFC 3516)."""

    part: Part = ()
    partial: Partial | None = None
    peek: bool = False

    @property
    def label(self) -> bytes:
        return b"BINARY[%b]%b" % (_numbers(self.part), _origin(self.partial))


class BinarySize(Struct, frozen=True, gc=False):
    """BINARY.SIZE[…]."""

    part: Part = ()

    @property
    def label(self) -> bytes:
        return b"BINARY.SIZE[%b]" % _numbers(self.part)


Item = Att | Section | Binary | BinarySize

FAST = (Att.FLAGS, Att.INTERNALDATE, Att.SIZE)
ALL = (*FAST, Att.ENVELOPE)
FULL = (*ALL, Att.BODY)
"""The macros (RFC 9051 section 6.4.5)."""

SETS_SEEN = frozenset({Att.RFC822, Att.RFC822_TEXT})
"""Plain items whose fetching sets `\\Seen`; so do `Section` and `Binary` without `peek`."""


def sets_seen(item: Item) -> bool:
    """Whether fetching the item marks the message as read."""
    if isinstance(item, Section | Binary):
        return not item.peek
    return item in SETS_SEEN


def _numbers(part: Part) -> bytes:
    return b".".join(b"%d" % number for number in part)


def _origin(partial: Partial | None) -> bytes:
    # RFC 9051 section 7.5.2: the response names the first byte only
    return b"" if partial is None else b"<%d>" % partial[0]
