"""LIST, LSUB and STATUS: which folders there are and what is in them, answered without reading a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from access.imap.session import Session
from access.imap.table import LOGGED_IN, Reply, command
from access.imap.wire import codes, responses
from access.imap.wire.commands import List, Lsub, Status
from access.imap.wire.wildcard import matcher
from merpati.mailbox.api import DELIMITER, AccountView, FolderInfo
from merpati.mailbox.names import INBOX, folded

STATUS_ITEMS: dict[str, Callable[[FolderInfo], int | str]] = {
    "MESSAGES": lambda info: info.exists,
    "RECENT": lambda info: 0,
    "UIDNEXT": lambda info: info.uidnext,
    "UIDVALIDITY": lambda info: info.uidvalidity,
    "UNSEEN": lambda info: info.unseen,
    "DELETED": lambda info: info.deleted,
    "DELETED-STORAGE": lambda info: info.deleted_size,
    "SIZE": lambda info: info.size,
    "HIGHESTMODSEQ": lambda info: info.highestmodseq,
    "MAILBOXID": lambda info: info.mailbox_id,
}
MAY_SELECT = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
MAY_RETURN = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS"})


@command(List, LOGGED_IN)
async def list_folders(session: Session, verb: List) -> Reply:
    """RFC 9051 section 6.3.9, RFC 5258."""
    if verb.patterns == ("",) and not verb.extended:
        session.write(responses.list_line("", ("\\Noselect",), utf8=session.utf8))  # asks for the separator
        return Reply("Listed")
    if wrong := (set(verb.selection) - MAY_SELECT) | (set(verb.returns) - MAY_RETURN):
        return Reply(f"No such option: {min(wrong)[:30]}", status=b"BAD")
    if "RECURSIVEMATCH" in verb.selection and not {"SUBSCRIBED", "SPECIAL-USE"} & set(verb.selection):
        return Reply("RECURSIVEMATCH needs another option", status=b"BAD")  # RFC 5258 section 3
    view = await session.mailbox.refresh()
    wanted = [matcher(folded(verb.reference + pattern)) for pattern in verb.patterns]
    above = _above(view.folders)
    selected = _selected(view, verb.selection)
    above_selected = _above(selected) if "RECURSIVEMATCH" in verb.selection else frozenset()
    for name in sorted(selected | above_selected, key=lambda name: (name != INBOX, name)):
        if any(match(name) for match in wanted):
            await _tell(session, view, name, verb, above=name in above, why=name in above_selected)
    return Reply("Listed")


async def _tell(session: Session, view: AccountView, name: str, verb: List, *, above: bool, why: bool) -> None:
    info = view.folders.get(name)
    attributes = _attributes(info, above=above, extended=verb.extended)
    if "SUBSCRIBED" in (*verb.selection, *verb.returns) and name in view.subscriptions:
        attributes.append("\\Subscribed")
    # RFC 5258 section 3.5: which options chose something below
    reasons = [option for option in ("SUBSCRIBED", "SPECIAL-USE") if why and option in verb.selection]
    line = responses.list_line(name, attributes, utf8=session.utf8, child_info=reasons)
    await session.write_much(line)
    if verb.status and info is not None:
        await session.write_much(_status_line(session, info, verb.status))


def _selected(view: AccountView, selection: Iterable[str]) -> frozenset[str]:
    """The names that all selection options choose; without any, every folder and what lies above one."""
    # RFC 3501 section 6.3.5: a name that was deleted stays, as \Noselect, while there are folders below it
    names = view.subscriptions if "SUBSCRIBED" in selection else frozenset(view.folders) | _above(view.folders)
    if "SPECIAL-USE" in selection:
        names = frozenset(name for name in names if (info := view.folders.get(name)) and info.special_use)
    return names


def _above(names: Iterable[str]) -> frozenset[str]:
    return frozenset(parent for name in names for parent in _parents(name))


def _attributes(info: FolderInfo | None, *, above: bool, extended: bool) -> list[str]:
    attributes = ["\\HasChildren" if above else "\\HasNoChildren"]
    if info is None:
        # RFC 5258 section 3: no folder of that name; who does not ask in that manner need not know the word
        attributes.insert(0, "\\NonExistent" if extended else "\\Noselect")
    elif info.special_use:
        attributes.append(info.special_use)
    return attributes


@command(Lsub, LOGGED_IN)
async def list_subscribed(session: Session, verb: Lsub) -> Reply:
    """RFC 3501 section 6.3.9: with `%`, a parent of subscribed folders is told as \\Noselect."""
    view = await session.mailbox.refresh()
    match = matcher(folded(verb.reference + verb.pattern))
    told: set[str] = set()
    for name in sorted(view.subscriptions, key=lambda name: (name != INBOX, name)):
        if match(name):
            told.add(name)
            await session.write_much(responses.list_line(name, (), utf8=session.utf8, word=b"LSUB"))
    for parent in sorted({parent for name in view.subscriptions for parent in _parents(name)} - told):
        if "%" in verb.pattern and match(parent):
            await session.write_much(responses.list_line(parent, ("\\Noselect",), utf8=session.utf8, word=b"LSUB"))
    return Reply("Listed")


def _parents(name: str) -> list[str]:
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:n]) for n in range(1, len(parts))]


@command(Status, LOGGED_IN)
async def status(session: Session, verb: Status) -> Reply:
    """RFC 9051 section 6.3.11."""
    if unknown := [item for item in verb.items if item not in STATUS_ITEMS and item != "APPENDLIMIT"]:
        return Reply(f"No such item: {unknown[0][:30]}", status=b"BAD")
    view = await session.mailbox.refresh()
    info = view.find(verb.mailbox)
    if info is None:
        return Reply("No such mailbox", codes.NONEXISTENT, b"NO")
    if "HIGHESTMODSEQ" in verb.items:
        session.enabled |= {"CONDSTORE"}  # RFC 7162 section 3.1
    session.write(_status_line(session, info, verb.items))
    return Reply("Status told")


def _status_line(session: Session, info: FolderInfo, items: Iterable[str]) -> bytes:
    limit = session.context.limits.max_message
    pairs = [(item, limit if item == "APPENDLIMIT" else STATUS_ITEMS[item](info)) for item in items if _known(item)]
    return responses.status(info.name, pairs, utf8=session.utf8)


def _known(item: str) -> bool:
    return item in STATUS_ITEMS or item == "APPENDLIMIT"
