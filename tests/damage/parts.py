"""Which chunk of a mailbox's newest snapshot has what."""

from __future__ import annotations

import msgspec

from merpati.log.snapshots import read_snapshot
from merpati.mailbox.heads import Head
from merpati.objects.memory import MemoryStore
from tests.damage.spoiling import keys
from tests.mailbox.worlds import LAYOUT


async def chunk_of(store: MemoryStore, which: str) -> str:
    """A chunk of the newest snapshot: of the columns of INBOX, of the whole account, or of summaries."""
    number = 10**20 - int((await keys(store, "snap"))[0][-20:])
    snapshot = await read_snapshot(store, LAYOUT, number)
    head = msgspec.msgpack.decode(snapshot.state, type=Head)
    inbox = next(folder for folder in head.folders if folder.name == "INBOX")
    names = {
        "columns": inbox.runs[0][1],
        "flags": inbox.runs[0][2],
        "summaries": inbox.summaries[0][1],
        "vanished": inbox.vanished,
        "tree": head.tree,
        "larges": head.larges[0],
    }
    return LAYOUT.chunk(names[which])
