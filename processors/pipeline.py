"""How the words of several processors combine into one judgement for each recipient.  Pure: no clock, no store.

Fed by `handler` (and `edge`) with the answers of `running`, in the order of the settings; read by `routing`.

- Order: processors are asked one after another; each sees what the earlier ones found.
- Last word: `Accept`, `Refuse`, `Defer`, `Quarantine` and `Discard` settle a recipient.  The first processor that
  settles it has the last word: later ones are not shown it, and none is asked when all recipients are settled.
- One answer that settles a recipient twice: the safest word wins, in this order: `Defer`, `Quarantine`, `Refuse`,
  `Discard`, `Accept`.
- `FileInto`: the last one wins.
- `Redirect`: to all addresses; the recipient's own copy is kept only if every `Redirect` said `keep`.
- `AddHeader`: all, the latest on top.  `RemoveHeader`, `SetFlags`, `Tag`, `Finding`: all.
- Held mail carries the added header fields too; removals, folder, flags and redirects are for delivered mail.
- A word for a recipient that was not shown is passed over, and noted.
- Shadow: the answer is noted and not applied; what was found is shown to later processors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from merpati.plugins.actions import (
    Accept,
    Action,
    AddHeader,
    AnyAction,
    Defer,
    Discard,
    FileInto,
    Finding,
    Quarantine,
    Redirect,
    Refuse,
    RemoveHeader,
    SetFlags,
    Tag,
    several,
)
from merpati.plugins.mail import Result

LastWord = Accept | Refuse | Defer | Quarantine | Discard
SAFEST: tuple[type[Action], ...] = (Defer, Quarantine, Refuse, Discard, Accept)
"""Which word wins when one answer settles a recipient more than once: the first of these."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What the processors have said so far about one recipient."""

    last_word: LastWord | None = None
    said_by: str = ""
    folder: str = ""
    flags: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    keep: bool = True
    added: tuple[tuple[str, str], ...] = ()
    """Header fields in the order they were added."""
    removed: frozenset[str] = frozenset()
    """Names of header fields, lower case."""

    @property
    def delivers(self) -> bool:
        """Whether nothing stands between the message and this recipient."""
        return self.last_word is None or isinstance(self.last_word, Accept)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The fates of all recipients, in the order of the envelope, and what was found on the way."""

    fates: dict[str, Fate]
    tags: tuple[str, ...] = ()
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def open(self) -> tuple[str, ...]:
        """The recipients that no processor has settled yet."""
        return tuple(address for address, fate in self.fates.items() if fate.last_word is None)


def begin(recipients: Iterable[str], tags: tuple[str, ...] = ()) -> Judgement:
    """Before any processor has spoken."""
    return Judgement({address: Fate() for address in recipients}, tags)


def combine(so_far: Judgement, name: str, actions: tuple[AnyAction, ...], *, applied: bool = True) -> Judgement:
    """The judgement after processor `name` answered with `actions`; `applied` is False in shadow."""
    shown = so_far.open
    strangers = tuple(sorted({a for action in actions for a in action.recipients or ()} - set(shown)))
    results = {**so_far.results, name: _result(actions, strangers, applied)}
    if not applied or not actions:
        return replace(so_far, results=results)
    fates = dict(so_far.fates)
    for address in shown:
        words = [action for action in actions if action.recipients is None or address in action.recipients]
        fates[address] = _shaped(_settled(fates[address], name, words), words)
    tags = tuple(dict.fromkeys((*so_far.tags, *(action.name for action in actions if isinstance(action, Tag)))))
    return Judgement(fates, tags, results)


def noted(so_far: Judgement, name: str, result: Result) -> Judgement:
    """The judgement with this result of processor `name`, and nothing else changed."""
    return replace(so_far, results={**so_far.results, name: result})


def _result(actions: tuple[AnyAction, ...], strangers: tuple[str, ...], applied: bool) -> Result:
    value = ""
    details: dict[str, str] = {}
    for action in actions:
        if isinstance(action, Finding):
            value = action.value
            details |= action.details
    words = tuple(action for action in actions if not isinstance(action, Finding))
    return Result(value=value, details=details, actions=words, applied=applied, strangers=strangers)


def _settled(fate: Fate, name: str, words: list[AnyAction]) -> Fate:
    for kind in SAFEST:
        for word in words:
            if isinstance(word, kind):
                return replace(fate, last_word=word, said_by=name)  # type: ignore[arg-type]
    return fate


def _shaped(fate: Fate, words: list[AnyAction]) -> Fate:
    for word in words:
        match word:
            case FileInto():
                fate = replace(fate, folder=word.folder)
            case SetFlags():
                fate = replace(fate, flags=tuple(dict.fromkeys((*fate.flags, *several(word.flags)))))
            case Redirect():
                to = tuple(dict.fromkeys((*fate.redirects, *several(word.to))))
                fate = replace(fate, redirects=to, keep=fate.keep and word.keep)
            case AddHeader():
                fate = replace(fate, added=(*fate.added, (word.name, word.value)))
            case RemoveHeader():
                fate = replace(fate, removed=fate.removed | {word.name.lower()})
    return fate
