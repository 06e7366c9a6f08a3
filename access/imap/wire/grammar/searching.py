"""The arguments of SEARCH, SORT and THREAD (RFC 9051 section 6.4.4, RFC 4731, 5032, 5256, 7162, 8474, 8514)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from access.imap.wire import search
from access.imap.wire.charset import codec_of, decoded
from access.imap.wire.commands import Search, Sort, Thread
from access.imap.wire.grammar import flags
from access.imap.wire.grammar.cursor import Cursor
from access.imap.wire.refused import Refused
from access.imap.wire.search import Key

_WORD = re.compile(rb"[A-Za-z0-9]+")
_OBJECT_ID = re.compile(rb"[A-Za-z0-9_\-]{1,255}")
_SET_BEGINS = frozenset(b"0123456789*$")
_OPEN = 0x28

RETURNS = ("MIN", "MAX", "ALL", "COUNT", "SAVE")
"""RFC 4731 section 3.1; SAVE is RFC 9051 section 6.4.4.1."""

CRITERIA = ("ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO")
"""RFC 5256 section 3; the two DISPLAY ones are RFC 5957."""

ALGORITHMS = ("ORDEREDSUBJECT", "REFERENCES", "REFS")


def read_search(cursor: Cursor, *, uid: bool) -> Search:
    returns = _returns(cursor)
    codec = "utf-8"  # RFC 9051 section 6.4.4: without CHARSET it is UTF-8
    if cursor.text[cursor.pos : cursor.pos + 8].upper() == b"CHARSET ":
        cursor.pos += 8
        codec = _charset(cursor)
        cursor.space()
    return Search(_program(cursor, codec), uid, returns)


def read_sort(cursor: Cursor, *, uid: bool) -> Sort:
    returns = _returns(cursor)
    order = _order(cursor)
    cursor.space()
    codec = _charset(cursor)
    cursor.space()
    return Sort(_program(cursor, codec), order, uid, returns)


def read_thread(cursor: Cursor, *, uid: bool) -> Thread:
    algorithm = cursor.word().decode()
    if algorithm not in ALGORITHMS:
        raise Refused("That algorithm is not known")
    cursor.space()
    codec = _charset(cursor)
    cursor.space()
    return Thread(_program(cursor, codec), algorithm, uid)


def _charset(cursor: Cursor) -> str:
    return codec_of(cursor.utf8_text(cursor.astring(), "The character set"))


def _returns(cursor: Cursor) -> tuple[str, ...] | None:
    if cursor.text[cursor.pos : cursor.pos + 8].upper() != b"RETURN (":
        return None
    cursor.pos += 8
    options: list[str] = []
    while not cursor.try_(b")"):
        if options:
            cursor.space()
        option = cursor.word().decode()
        if option not in RETURNS or option in options:
            raise Refused("That return option is not known")
        options.append(option)
    cursor.space()
    # RFC 4731 section 3.1: an empty list means ALL
    return tuple(options) or ("ALL",)


def _order(cursor: Cursor) -> tuple[tuple[str, bool], ...]:
    cursor.take(b"(")
    order: dict[tuple[str, bool], None] = {}
    while True:
        criterion = cursor.word().decode()
        reverse = criterion == "REVERSE"
        if reverse:
            cursor.space()
            criterion = cursor.word().decode()
        if criterion not in CRITERIA:
            raise Refused("That sort criterion is not known")
        order[criterion, reverse] = None
        if cursor.try_(b")"):
            return tuple(order)
        cursor.space()


def _program(cursor: Cursor, codec: str) -> Key:
    keys = _Keys(cursor, codec)
    found = [keys.key()]
    while not cursor.at_end():
        if not cursor.text[cursor.pos :].strip(b" "):
            break
        cursor.space()
        found.append(keys.key())
    return _all_of(found)


def _all_of(keys: list[Key]) -> Key:
    """All of them: nested ANDs made one, ALL left out."""
    flat: list[Key] = []
    for key in keys:
        if isinstance(key, search.And):
            flat.extend(key.keys)
        elif not isinstance(key, search.All):
            flat.append(key)
    if len(flat) == 1:
        return flat[0]
    return search.And(tuple(flat)) if flat else search.All()


def _any_of(first: Key, second: Key) -> Key:
    flat: list[Key] = []
    for key in (first, second):
        if isinstance(key, search.Or):
            flat.extend(key.keys)
        else:
            flat.append(key)
    return search.Or(tuple(flat))


class _Keys:
    """Reads keys one within another; knows how deep it is and how many there were."""

    __slots__ = ("_codec", "_count", "_cursor", "_depth")

    def __init__(self, cursor: Cursor, codec: str) -> None:
        self._cursor = cursor
        self._codec = codec
        self._depth = 0
        self._count = 0

    def key(self) -> Key:
        cursor = self._cursor
        self._count += 1
        if self._count > cursor.limits.max_search_keys:
            raise Refused("Too many search keys", code=b"LIMIT")
        if self._depth > cursor.limits.max_nesting:
            raise Refused("The search keys are nested too deeply", code=b"LIMIT")
        first = cursor.text[cursor.pos] if cursor.pos < len(cursor.text) else 0
        if first in _SET_BEGINS:
            return search.Messages(cursor.set())
        if first == _OPEN:
            return self._parenthesized()
        word = cursor.match(_WORD, "a search key")[0].upper()
        known = _KEYS.get(word)
        if known is None:
            raise Refused("That search key is not known")
        return known(self) if callable(known) else known

    def _parenthesized(self) -> Key:
        cursor = self._cursor
        cursor.take(b"(")
        self._depth += 1
        keys = [self.key()]
        while not cursor.try_(b")"):
            cursor.space()
            keys.append(self.key())
        self._depth -= 1
        return _all_of(keys)

    def negated(self) -> Key:
        self._cursor.space()
        self._depth += 1
        key = self.key()
        self._depth -= 1
        return key.key if isinstance(key, search.Not) else search.Not(key)

    def either(self) -> Key:
        self._depth += 1
        self._cursor.space()
        first = self.key()
        self._cursor.space()
        second = self.key()
        self._depth -= 1
        return _any_of(first, second)

    def text(self) -> str:
        self._cursor.space()
        return decoded(self._cursor.astring(), self._codec)

    def keyword(self) -> Key:
        self._cursor.space()
        return search.Flagged(self._cursor.atom())

    def header(self) -> Key:
        name = self.text()
        return search.Header(name, self.text())

    def number(self) -> int:
        self._cursor.space()
        return self._cursor.number64()

    def age(self) -> int:
        self._cursor.space()
        return self._cursor.number(least=1)  # RFC 5032 section 3: nz-number

    def uids(self) -> Key:
        self._cursor.space()
        return search.Messages(self._cursor.set(), uid=True)

    def modseq(self) -> Key:
        # RFC 7162 section 3.1.5: an entry and its type may stand before the number
        cursor = self._cursor
        cursor.space()
        entry = ""
        if cursor.at_string():
            entry = cursor.utf8_text(cursor.string(), "The entry's name")
            cursor.space()
            if cursor.word() not in (b"PRIV", b"SHARED", b"ALL"):
                raise Refused("That entry type is not known")
            cursor.space()
        return search.Modseq(cursor.number64(), entry)

    def object_id(self) -> str:
        self._cursor.space()
        return self._cursor.match(_OBJECT_ID, "an object id")[0].decode()

    def date(self, of: Literal["internal", "sent", "saved"], when: Literal["before", "on", "since"]) -> Key:
        self._cursor.space()
        return search.Date(of, when, flags.day(self._cursor))


def _texts(where: Literal["BODY", "TEXT", "FROM", "TO", "CC", "BCC", "SUBJECT"]) -> Callable[[_Keys], Key]:
    return lambda keys: search.Text(where, keys.text())


def _dates(of: Literal["internal", "sent", "saved"], when: Literal["before", "on", "since"]) -> Callable[[_Keys], Key]:
    return lambda keys: keys.date(of, when)


def _flagged(flag: str) -> search.Flagged:
    return search.Flagged(flag)


_NEW = search.And((search.Recent(), search.Not(_flagged("\\Seen"))))

_KEYS: dict[bytes, Key | Callable[[_Keys], Key]] = {
    b"ALL": search.All(),
    b"ANSWERED": _flagged("\\Answered"),
    b"DELETED": _flagged("\\Deleted"),
    b"DRAFT": _flagged("\\Draft"),
    b"FLAGGED": _flagged("\\Flagged"),
    b"SEEN": _flagged("\\Seen"),
    b"UNANSWERED": search.Not(_flagged("\\Answered")),
    b"UNDELETED": search.Not(_flagged("\\Deleted")),
    b"UNDRAFT": search.Not(_flagged("\\Draft")),
    b"UNFLAGGED": search.Not(_flagged("\\Flagged")),
    b"UNSEEN": search.Not(_flagged("\\Seen")),
    b"NEW": _NEW,
    b"OLD": search.Not(search.Recent()),
    b"RECENT": search.Recent(),
    b"KEYWORD": _Keys.keyword,
    b"UNKEYWORD": lambda keys: search.Not(keys.keyword()),
    b"BCC": _texts("BCC"),
    b"BODY": _texts("BODY"),
    b"CC": _texts("CC"),
    b"FROM": _texts("FROM"),
    b"SUBJECT": _texts("SUBJECT"),
    b"TEXT": _texts("TEXT"),
    b"TO": _texts("TO"),
    b"HEADER": _Keys.header,
    b"BEFORE": _dates("internal", "before"),
    b"ON": _dates("internal", "on"),
    b"SINCE": _dates("internal", "since"),
    b"SENTBEFORE": _dates("sent", "before"),
    b"SENTON": _dates("sent", "on"),
    b"SENTSINCE": _dates("sent", "since"),
    b"SAVEDBEFORE": _dates("saved", "before"),
    b"SAVEDON": _dates("saved", "on"),
    b"SAVEDSINCE": _dates("saved", "since"),
    b"SAVEDATESUPPORTED": search.SaveDateSupported(),
    b"OLDER": lambda keys: search.Age(older=True, seconds=keys.age()),
    b"YOUNGER": lambda keys: search.Age(older=False, seconds=keys.age()),
    b"LARGER": lambda keys: search.Size(larger=True, size=keys.number()),
    b"SMALLER": lambda keys: search.Size(larger=False, size=keys.number()),
    b"UID": _Keys.uids,
    b"MODSEQ": _Keys.modseq,
    b"EMAILID": lambda keys: search.EmailId(keys.object_id()),
    b"THREADID": lambda keys: search.ThreadId(keys.object_id()),
    b"NOT": _Keys.negated,
    b"OR": _Keys.either,
}
