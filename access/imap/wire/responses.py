"""Response lines (RFC 9051 section 7): values in, bytes out, each with its CRLF.

Called by the session and the commands; no response holds a CR or LF but those that end it or that a literal counts.
Mailbox names come as text; `utf8` says that the client enabled UTF8=ACCEPT or IMAP4rev2 (RFC 6855 section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from access.imap.wire.render import NIL, astring, flag_list, literal, nstring, paren, quoted, string
from access.imap.wire.sequence import SequenceSet
from merpati.mailbox import utf7
from merpati.mailbox.types import ModSeq, SeqNum


def tagged(tag: bytes, status: bytes, text: str, code: bytes = b"") -> bytes:
    """`a1 OK [READ-WRITE] done`.  `status` is OK, NO or BAD; `code` has no brackets."""
    return b"%b %b %b%b\r\n" % (tag, status, b"[%b] " % code if code else b"", _text(text))


def ok(text: str, code: bytes = b"") -> bytes:
    """Untagged OK; the greeting too."""
    return tagged(b"*", b"OK", text, code)


def no(text: str, code: bytes = b"") -> bytes:
    """Untagged NO: a warning."""
    return tagged(b"*", b"NO", text, code)


def bye(text: str, code: bytes = b"") -> bytes:
    return tagged(b"*", b"BYE", text, code)


def continuation(text: str = "OK") -> bytes:
    """`+ idling`; also a server's part of a SASL exchange, base64, empty as `+ ` (RFC 9051 section 7.6)."""
    return b"+ %b\r\n" % _text(text)


def capability(names: Iterable[str]) -> bytes:
    return f"* CAPABILITY {' '.join(names)}\r\n".encode()


def enabled(names: Iterable[str]) -> bytes:
    """RFC 5161 section 3.2."""
    return f"* {' '.join(('ENABLED', *names))}\r\n".encode()


def identity(fields: Mapping[str, str | None] | None) -> bytes:
    """RFC 2971 section 3.2."""
    if not fields:
        return b"* ID NIL\r\n"
    pairs = (part for name, value in fields.items() for part in (string(name.encode()), _nstring_text(value)))
    return b"* ID %b\r\n" % paren(pairs)


def exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """RFC 3501 section 7.3.2."""
    return b"* %d RECENT\r\n" % count


def expunge(number: SeqNum) -> bytes:
    return b"* %d EXPUNGE\r\n" % number


def vanished(uids: SequenceSet, *, earlier: bool = False) -> bytes:
    """RFC 7162 section 3.2.10; `earlier` for what vanished before the client looked, which renumbers nothing."""
    return b"* VANISHED %b%b\r\n" % (b"(EARLIER) " if earlier else b"", uids.render())


def flags(names: Iterable[str]) -> bytes:
    return b"* FLAGS %b\r\n" % flag_list(names)


def fetch(number: SeqNum, items: Iterable[bytes]) -> bytes:
    """`items` are names and values in turn, rendered."""
    return b"* %d FETCH (%b)\r\n" % (number, b" ".join(items))


def search(numbers: Sequence[int], modseq: ModSeq | None = None) -> bytes:
    """RFC 3501 section 7.2.5; with the highest MODSEQ found if the key asked for one (RFC 7162 section 3.1.5)."""
    tail = b"" if modseq is None else b" (MODSEQ %d)" % modseq
    return b"* SEARCH%b%b\r\n" % (_spaced(numbers), tail)


def sort(numbers: Sequence[int], modseq: ModSeq | None = None) -> bytes:
    """RFC 5256 section 4."""
    tail = b"" if modseq is None else b" (MODSEQ %d)" % modseq
    return b"* SORT%b%b\r\n" % (_spaced(numbers), tail)


def thread(threads: bytes) -> bytes:
    """`threads` is rendered: `(2)(3 6 (4 23)(44 7 96))` (RFC 5256 section 4)."""
    return b"* THREAD %b\r\n" % threads if threads else b"* THREAD\r\n"


def esearch(tag: bytes, *, uid: bool, results: Iterable[tuple[str, bytes]]) -> bytes:
    """RFC 4731 section 3.1.  `results` as `("COUNT", b"17")`; without MIN, MAX and ALL if nothing was found."""
    parts = b"".join(b" %b %b" % (name.encode(), value) for name, value in results)
    return b"* ESEARCH (TAG %b)%b%b\r\n" % (quoted(tag), b" UID" if uid else b"", parts)


def list_line(
    name: str,
    attributes: Iterable[str],
    *,
    separator: str | None = "/",
    utf8: bool = False,
    word: bytes = b"LIST",
    child_info: Iterable[str] = (),
) -> bytes:
    """LIST, or LSUB as `word`; `child_info` says why a parent is listed (RFC 5258 section 3.5)."""
    between = NIL if separator is None else quoted(separator.encode())
    reasons = [quoted(reason.encode()) for reason in child_info]
    extended = b' ("CHILDINFO" %b)' % paren(reasons) if reasons else b""
    return b"* %b %b %b %b%b\r\n" % (word, flag_list(attributes), between, mailbox(name, utf8=utf8), extended)


def status(name: str, items: Iterable[tuple[str, int | str | None]], *, utf8: bool = False) -> bytes:
    """`items` as `("MESSAGES", 3)`; text goes in parentheses (MAILBOXID, RFC 8474 section 4.3), None is NIL."""
    pairs = paren(b"%b %b" % (item.encode(), _status_value(value)) for item, value in items)
    return b"* STATUS %b %b\r\n" % (mailbox(name, utf8=utf8), pairs)


def namespace(personal: str = "", separator: str = "/") -> bytes:
    """One namespace of one's own, none of others', none shared (RFC 2342 section 5)."""
    return b"* NAMESPACE ((%b %b)) NIL NIL\r\n" % (quoted(utf7.encode(personal)), quoted(separator.encode()))


def quota(root: str, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """RFC 9208 section 4.2.1.  `resources` as (name, usage, limit); STORAGE counts in KiB."""
    triples = paren(b"%b %d %d" % (name.encode(), usage, limit) for name, usage, limit in resources)
    return b"* QUOTA %b %b\r\n" % (astring(root.encode()), triples)


def quota_root(name: str, roots: Iterable[str], *, utf8: bool = False) -> bytes:
    """RFC 9208 section 4.2.2."""
    parts = (mailbox(name, utf8=utf8), *(astring(root.encode()) for root in roots))
    return b"* QUOTAROOT %b\r\n" % b" ".join(parts)


def metadata(name: str, entries: Iterable[tuple[str, bytes | None]], *, utf8: bool = False) -> bytes:
    """RFC 5464 section 4.4.1."""
    pairs = paren(b"%b %b" % (astring(entry.encode()), nstring(value)) for entry, value in entries)
    return b"* METADATA %b %b\r\n" % (mailbox(name, utf8=utf8), pairs)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """A mailbox name as an argument."""
    return astring(name.encode(), utf8=True) if utf8 else astring(utf7.encode(name))


def _text(text: str) -> bytes:
    # RFC 9051 section 9, text: one line; and ASCII, as not every client has enabled UTF-8
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.encode("ascii", "replace")


def _nstring_text(value: str | None) -> bytes:
    if value is None:
        return NIL
    raw = value.encode()
    return string(raw) if raw.isascii() else literal(raw)


def _spaced(numbers: Sequence[int]) -> bytes:
    return b" " + " ".join(map(str, numbers)).encode() if numbers else b""


def _status_value(value: int | str | None) -> bytes:
    if value is None:
        return NIL
    return b"%d" % value if isinstance(value, int) else b"(%b)" % value.encode()
