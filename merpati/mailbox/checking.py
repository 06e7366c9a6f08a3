"""What must hold of a mailbox's state, and in what two states differ: for `verify`.  Pure.

Called by the fold (`differences`) and by `auditing`; never reads the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from merpati.mailbox.bodies import LARGE
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.values import DELETED, SEEN, SYSTEM_FLAGS

_COLUMNS = ("uids", "flags", "modseqs", "sizes", "dates", "commits", "offsets", "checks")
_HEAD = (
    "name", "uidvalidity", "modseq", "uidnext", "special_use", "keywords", "exists", "unseen", "deleted", "size",
    "deleted_size",
)  # fmt: skip
_SHARED = [name for name in MailState.__struct_fields__ if name not in ("folders", "names", "causes", "shut")]


def differences(one: MailState, other: MailState) -> list[str]:
    """In what two states differ, but for the summaries, which can be made anew."""
    found = [name for name in _SHARED if getattr(one, name) != getattr(other, name)]
    if dict(one.causes) != dict(other.causes):
        found.append("causes")
    found += [f"folder {key}" for key in sorted({*one.folders} ^ {*other.folders})]
    for key in sorted({*one.folders} & {*other.folders}):
        found += [f"folder {key}: {what}" for what in _different(one.folders[key], other.folders[key])]
    return found


def _different(one: Folder, other: Folder) -> Iterator[str]:
    for name in _HEAD:
        if getattr(one, name) != getattr(other, name):
            yield name
    for name in _COLUMNS:
        mine, theirs = getattr(one.columns, name), getattr(other.columns, name)
        if mine[: one.columns.length] != theirs[: other.columns.length]:
            yield name
    if one.vanished.since == other.vanished.since and list(one.vanished.entries) != list(other.vanished.entries):
        yield "vanished"


def violations(state: MailState) -> list[tuple[str, str]]:
    """What does not hold, as folder (empty: the account) and what."""
    found = [(folder.name, what) for folder in state.folders.values() for what in _violated(folder, state)]
    if {folder.name: key for key, folder in state.folders.items()} != dict(state.names):
        found.append(("", "the table of names is not that of the folders"))
    if any(key >= state.next_folder for key in state.folders):
        found.append(("", "a folder has an id that is yet to be given"))
    if any(folder.uidvalidity > state.last_uidvalidity for folder in state.folders.values()):
        found.append(("", "a folder has a UIDVALIDITY above the last one given"))
    return found


def _violated(folder: Folder, state: MailState) -> Iterator[str]:
    columns, n = folder.columns, folder.columns.length
    uids, flags, sizes, modseqs = columns.uids[:n], columns.flags[:n], columns.sizes[:n], columns.modseqs[:n]
    # RFC 9051 section 2.3.1.1: UIDs rise, and UIDNEXT is above them all
    if any(before >= after for before, after in pairwise(uids)):
        yield "UIDs do not rise"
    if n and (uids[-1] >= folder.uidnext or uids[0] < 1):
        yield "UIDNEXT is not above all UIDs"
    deleted = [size for size, bits in zip(sizes, flags, strict=True) if bits & DELETED]
    counted = (n, sum(not bits & SEEN for bits in flags), len(deleted), sum(sizes), sum(deleted))
    if counted != (folder.exists, folder.unseen, folder.deleted, folder.size, folder.deleted_size):
        yield "its sums are not those of its messages"
    if folder.modseq > state.number or any(modseq > folder.modseq for modseq in modseqs):
        yield "a MODSEQ is above the number of the commit"
    if any(bits >> len(SYSTEM_FLAGS) + len(folder.keywords) for bits in flags):
        yield "a flag has no name"
    for row in range(n):
        if columns.commits[row] > state.number:
            yield f"UID {uids[row]} came with a commit that is yet to be"
        if columns.offsets[row] >= LARGE and state.larges.get(columns.commits[row], columns.offsets[row]) is None:
            yield f"UID {uids[row]} has a large body that is in no table"
