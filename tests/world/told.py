"""What was promised to whom and what was seen; and what of it turned out wrong.  V1 to V7 are those of HOSTILE.md.

V1 each message once, V2 whole, V3 UIDs never again, V4 MODSEQs and what changed, V5 what was acknowledged holds, V6 one
history for all, V7 nothing named is gone and nothing else stays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from merpati.log.commits import id_in
from merpati.mailbox.account import MailAccount
from merpati.mailbox.changes import Renamed
from merpati.mailbox.folder import Folder
from tests.world.letters import TWINS, letter, number_of, prodigal, victim
from tests.world.truth import History, fingerprint


@dataclass(slots=True)
class Told:
    """The recorder."""

    history: History
    sent: set[int] = field(default_factory=set)
    acked: set[int] = field(default_factory=set)
    tried: Counter[int] = field(default_factory=Counter)
    """Appends without a cause: how often each was begun …"""
    appended: Counter[int] = field(default_factory=Counter)
    """… and how often it was acknowledged."""
    believed: list[tuple[int, bytes]] = field(default_factory=list)
    """Commits, by number and id, that a process held for durable and its own."""
    placed: list[tuple[int, int, int]] = field(default_factory=list)
    """Message, and the folder and UID that its append was answered with."""
    flagged: list[tuple[int, int, int, str]] = field(default_factory=list)
    """MODSEQ, folder, UID, flag of what a STORE acknowledged."""
    expunged: set[tuple[int, int]] = field(default_factory=set)
    renamed: list[tuple[int, str]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    copied: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Folder and UID, and those of the copy."""
    seen: set[int] = field(default_factory=set)
    """Numbers of states that somebody saw."""
    done: Counter[str] = field(default_factory=Counter)
    """How often each thing was done, from beginning to end."""
    wrong: list[str] = field(default_factory=list)
    ending: bool = False
    """The account is being removed: from now on nobody is promised anything."""

    def say(self, wrong: str) -> None:
        if not self.ending:
            self.wrong.append(wrong)

    def believe(self, number: int, data: bytes) -> None:
        """A process holds this commit for durable and its own."""
        self.believed.append((number, id_in(data, "")))

    @property
    def acknowledged(self) -> int:
        """The last commit that anybody holds for durable: whoever begins to read now must see it."""
        return max((number for number, _ in self.believed), default=0)

    def check_body(self, body: bytes, where: str) -> None:
        if body != letter(number_of(body)):
            self.say(f"V2: {where} is not what was sent")

    def check_state(self, account: MailAccount, before: int = 0) -> None:
        """Whatever anybody knows is what the log had come to at some commit; and never an older one than `before`."""
        tip = account.log.tip
        assert tip is not None
        if tip.number < before:
            self.say(f"V4: {tip.number} was shown when {before} was known")
        if tip.id != self.history.id(tip.number):
            self.say(f"V6: two histories at {tip.number}")
        elif fingerprint(tip.state) != self.history.print_at(tip.number):
            self.say(f"V6: two states at {tip.number}")
        self.seen.add(tip.number)


def judged_promises(told: Told) -> None:
    """V3, V5, V6: each thing that was acknowledged is in the history."""
    history = told.history
    end = history.last()
    if history.torn:
        told.say(f"V6: commit {history.torn} does not follow the one before it")
    for number, identity in told.believed:
        if history.id(number) != identity:
            told.say(f"V5: commit {number} was acknowledged and is not in the log")
    _judge_uids(told)
    for message, folder, uid in told.placed:
        if not history.is_at(letter(message), folder, uid):
            told.say(f"V5: message {message} was never UID {uid} of folder {folder}")
    for modseq, folder, uid, flag in told.flagged:
        _judge_flag(told, modseq, folder, uid, flag)
    for folder, uid in told.expunged:
        there = end.state.folders.get(folder)
        if there is not None and there.columns.row(uid) >= 0:
            told.say(f"V5: UID {uid} of folder {folder} was expunged and is there")
    names = {(change.folder, change.name) for _, change in history.changes if isinstance(change, Renamed)}
    for folder, name in told.renamed:
        if (folder, name) not in names:
            told.say(f"V5: folder {folder} was not renamed {name}")
    for folder in told.removed:
        if folder in end.state.folders:
            told.say(f"V5: folder {folder} was removed and is there")
    for folder, uid, into, copy in told.copied:
        if history.messages.get((into, copy)) != history.messages.get((folder, uid), b""):
            told.say(f"V5: UID {copy} of folder {into} is no copy of UID {uid} of folder {folder}")


def _judge_flag(told: Told, modseq: int, folder: int, uid: int, flag: str) -> None:
    before, after = (told.history.at(number) for number in (modseq - 1, modseq))
    had, has = (tip.state.folders.get(folder) if tip else None for tip in (before, after))
    row = has.columns.row(uid) if has else -1
    if has is None or row < 0 or flag not in has.keywords:
        # the same commit may hold what another did to the message next
        if had is None or had.columns.row(uid) < 0:
            told.say(f"V5: UID {uid} of folder {folder}, which got {flag}, is unknown at {modseq}")
    elif not has.columns.flags[row] >> (5 + has.keywords.index(flag)) & 1:
        told.say(f"V5: {flag} of UID {uid} in folder {folder} is not there at {modseq}")


def _judge_uids(told: Told) -> None:
    """V3: in each folder and at each commit UIDs rise, none was another message before, and all are below UIDNEXT."""
    known: dict[int, Folder] = {}
    named: dict[tuple[str, int, int], tuple[int, int]] = {}
    for number in range(2, told.history.last().number + 1):
        tip = told.history.at(number)
        assert tip is not None
        for key, folder in tip.state.folders.items():
            before = known.get(key)
            if before is not folder:
                _judge_folder(told, before, folder, number)
                _judge_name(told, folder, named, number)
                known[key] = folder


def _judge_folder(told: Told, before: Folder | None, folder: Folder, number: int) -> None:
    columns, count = folder.columns, folder.columns.length
    uids = list(columns.uids[:count])
    if uids != sorted(set(uids)) or (uids and uids[-1] >= folder.uidnext):
        told.say(f"V3: UIDs of folder {folder.id} do not rise at {number}")
    if before is not None and folder.modseq < before.modseq:
        told.say(f"V4: the MODSEQ of folder {folder.id} fell at {number}")
    if before is not None and (folder.uidvalidity < before.uidvalidity or folder.uidnext < before.uidnext):
        told.say(f"V3: UIDNEXT or UIDVALIDITY of folder {folder.id} fell at {number}")
    for row, uid in enumerate(uids):
        if told.history.messages[folder.id, uid] != (columns.commits[row], columns.offsets[row]):
            told.say(f"V3: UID {uid} of folder {folder.id} was used again at {number}")


def _judge_name(told: Told, folder: Folder, named: dict[tuple[str, int, int], tuple[int, int]], number: int) -> None:
    """RFC 9051 section 2.3.1.1: what was seen under a name, a UIDVALIDITY and a UID is one message for ever."""
    for uid in folder.columns.uids[: folder.columns.length]:
        message = told.history.messages[folder.id, uid]
        if named.setdefault((folder.name, folder.uidvalidity, uid), message) != message:
            told.say(f"V3: UID {uid} of {folder.name} was used again at {number}")


def judged_counts(told: Told, there: Counter[int]) -> None:
    """V1: `there` says how often each message is in the folders out of which none but victims go."""
    for number in told.sent:
        copies = there[number]
        if (copies > 1 and not prodigal(number)) or (number in told.acked and not victim(number) and not copies):
            told.say(f"V1: message {number} is there {copies} times")
    for number in TWINS:
        if not told.appended[number] <= there[number] <= told.tried[number]:
            told.say(
                f"V1: message {number} is there {there[number]} times;"
                f" {told.tried[number]} appends, {told.appended[number]} acknowledged"
            )
