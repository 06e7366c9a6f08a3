"""What `Placed` does to a state: a folder that an import has filled comes to its place.  Pure; called by `state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from merpati.mailbox.changes import Placed

if TYPE_CHECKING:
    from merpati.mailbox.state import MailState


def placed(state: MailState, change: Placed) -> MailState:
    """The state after it.  ValueError: it cannot follow."""
    folder = state.folders.get(change.folder)
    if folder is None:
        raise ValueError(f"a change to folder {change.folder}, which is not there")
    if state.names.get(change.name, folder.id) != folder.id:
        raise ValueError("a folder of this name is there already")
    if change.uidnext < folder.uidnext:
        raise ValueError(f"the UIDs of folder {folder.id} were given up to {folder.uidnext}")
    folder = replace(
        folder,
        name=change.name,
        uidvalidity=change.uidvalidity,
        uidnext=change.uidnext,
        special_use=change.special_use,
    )
    names = {name: key for name, key in state.names.items() if key != folder.id}
    return replace(
        state,
        folders={**state.folders, folder.id: folder},
        names={**names, change.name: folder.id},
        last_uidvalidity=max(state.last_uidvalidity, change.uidvalidity),
    )
