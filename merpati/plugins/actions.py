"""The words a processor can answer with, and how an answer is read.

A processor returns one of these, a list of them, or nothing; it never acts by itself.  Each word holds for every
recipient the processor was shown, or for those of `recipients`.  `docs/processors.md` tells how the words of several
processors combine; the pipeline of the processors service does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

MAX_ACTIONS = 1000
"""Words in one answer."""
MAX_NAMES = 100
"""Addresses or flags in one word."""

# The patterns end in \Z: a `$` would let one line end through.
Line = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\r\n\x00]*\Z")]
"""A reason: one line that may stand in a reply, a report or a trace."""
Enhanced = Annotated[str, msgspec.Meta(pattern=r"^[245]\.\d{1,3}\.\d{1,3}\Z")]
"""An enhanced status code (RFC 3463 section 2)."""
FieldName = Annotated[str, msgspec.Meta(max_length=76, pattern=r"^[!-9;-~]+\Z")]
"""RFC 5322 section 2.2: printable US-ASCII save the colon."""
FieldValue = Annotated[str, msgspec.Meta(max_length=10_000, pattern=r"^[^\x00]*\Z")]
Folder = Annotated[str, msgspec.Meta(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+\Z")]

_ADDRESS = re.compile(r"[^\x00-\x20\x7f]{1,255}@[^\x00-\x20\x7f@]{1,255}")
_FLAG = re.compile(r"\\(Seen|Answered|Flagged|Draft)|(?=[!-~]+\Z)[^\\(){%*\"\]]{1,100}")
"""A system flag or a keyword (RFC 9051 section 2.3.2).  `\\Deleted` is nobody's to set but the user's."""


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do"):
    """One word of an answer."""

    recipients: frozenset[str] | None = None
    """Addresses as they stand in `mail.envelope.recipients`; None is all of them."""


class Accept(Action, frozen=True, tag="accept"):
    """Deliver it: no later processor is asked about these recipients."""

    reason: Line = ""


class Refuse(Action, frozen=True, tag="refuse"):
    """Do not take it.  At the edge a 5yz reply; on the stream it is too late for that, so the sender gets a bounce."""

    reason: Line = "refused by policy"
    code: Annotated[int, msgspec.Meta(ge=500, le=599)] = 550
    enhanced: Enhanced = "5.7.1"


class Defer(Action, frozen=True, tag="defer"):
    """Not now.  At the edge a 4yz reply; on the stream it is processed again later, for days if need be."""

    reason: Line = "try again later"
    code: Annotated[int, msgspec.Meta(ge=400, le=499)] = 451
    enhanced: Enhanced = "4.7.1"


class Quarantine(Action, frozen=True, tag="quarantine"):
    """Hold it in the quarantine mailbox, in the folder of the recipient's domain."""

    reason: Line = ""


class Discard(Action, frozen=True, tag="discard"):
    """Drop it without telling anyone but the trace."""

    reason: Line = ""


class Redirect(Action, frozen=True, tag="redirect"):
    """Send it to other addresses instead, or also if `keep`."""

    to: str | tuple[str, ...]
    keep: bool = False

    def __post_init__(self) -> None:
        _check(self.to, _ADDRESS, "an address")


class FileInto(Action, frozen=True, tag="file_into"):
    """Store it in this folder, made if it does not exist, instead of INBOX."""

    folder: Folder


class AddHeader(Action, frozen=True, tag="add_header"):
    """Put a header field before the message.  Line ends in the value become spaces; other than ASCII is encoded."""

    name: FieldName
    value: FieldValue


class RemoveHeader(Action, frozen=True, tag="remove_header"):
    """Leave out every header field of this name (case aside) that came with the message."""

    name: FieldName


class Tag(Action, frozen=True, tag="tag"):
    """Note a word about the message: later processors see it in `mail.tags`, operators in the trace."""

    name: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[!-~]+$")]


class SetFlags(Action, frozen=True, tag="set_flags"):
    r"""Store it with these flags, such as `\Flagged` or `$Junk`."""

    flags: str | tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self.flags, _FLAG, "a flag that mail can be stored with")


def _check(value: object, pattern: re.Pattern[str], what: str) -> None:
    # Not by msgspec: 0.22 writes past its memory on `X | tuple[X, ...]` where X is a str with a constraint
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not 1 <= len(items) <= MAX_NAMES:
        raise ValueError(f"{value!r:.200} is not {what}, nor up to {MAX_NAMES} of them")
    for item in items:
        if not (isinstance(item, str) and pattern.fullmatch(item)):
            raise ValueError(f"{item!r:.200} is not {what}")


class Finding(Action, frozen=True, tag="finding"):
    """What was found out, for later processors (`mail.results["spf"].value`) and for the trace; decides nothing."""

    value: Line
    details: dict[Line, Line] = {}


AnyAction = (
    Accept
    | Refuse
    | Defer
    | Quarantine
    | Discard
    | Redirect
    | FileInto
    | AddHeader
    | RemoveHeader
    | Tag
    | SetFlags
    | Finding
)
Answer = Action | Sequence[Action] | None
"""What `Processor.process` may return."""

_decoder: msgspec.json.Decoder[tuple[AnyAction, ...]] = msgspec.json.Decoder(tuple[AnyAction, ...])
_encoder = msgspec.json.Encoder(order="deterministic")


class BadAnswer(Exception):
    """A processor returned something that is no action, or an action with an impossible value."""


def read_answer(answer: object) -> tuple[AnyAction, ...]:
    """The actions of an answer, each checked.  Raises `BadAnswer`.

    Actions are built by the author's code, where nothing checks them, and possibly changed by it afterwards: what
    comes out here is fresh, and of the declared types.
    """
    if answer is None:
        return ()
    words = answer if isinstance(answer, list | tuple | set | frozenset) else [answer]
    if len(words) > MAX_ACTIONS:
        raise BadAnswer(f"{len(words)} actions in one answer; {MAX_ACTIONS} are allowed")
    for word in words:
        if not isinstance(word, Action):
            raise BadAnswer(f"{type(word).__name__} is no action")
    return read_actions(write_actions(words))


def write_actions(actions: Iterable[Any]) -> bytes:
    """Actions as JSON: the same bytes for the same actions.  Raises `BadAnswer`."""
    try:
        return _encoder.encode(list(actions))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadAnswer(str(error)) from None


def read_actions(text: bytes) -> tuple[AnyAction, ...]:
    """The actions that `write_actions` wrote.  Raises `BadAnswer`."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(str(error)) from None


def said(action: Action) -> str:
    """An action in a few words, for traces: `quarantine: executable attachment`."""
    word = str(type(action).__struct_config__.tag).replace("_", " ")
    match action:
        case Refuse() | Defer():
            about = f"{action.code} {action.enhanced} {action.reason}"
        case Redirect():
            about = ", ".join(several(action.to))
        case SetFlags():
            about = " ".join(several(action.flags))
        case _:
            about = str(
                next(
                    (getattr(action, name) for name in ("reason", "folder", "name", "value") if hasattr(action, name)),
                    "",
                )
            )
    return f"{word}: {about}" if about else word


def several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """One or many as many."""
    return (value,) if isinstance(value, str) else value
