"""One message, printed: byte for byte into a file or a pipe, and on a terminal as text that it cannot obey.

Called by `merpati mailbox show --uid`.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import AsyncIterator

from merpati.cli.common import harmless, out, write_whole
from merpati.errors import Permanent
from merpati.mailbox.account import MailAccount
from merpati.mailbox.state import MailState


async def print_message(account: MailAccount, state: MailState, folder: str, uid: int) -> None:
    """The message with this UID as a state has it.  Raises `NoSuchFolder`, `BodyMissing`, `Permanent`."""
    view = account.past_folder(state.find(folder), state)
    row = view.row(uid)
    if row < 0:
        raise Permanent(f"{folder} has no UID {uid} in this state")
    pieces = account.body_stream(view.body(row))
    if out.is_terminal:
        async for text in readable(pieces):
            sys.stdout.write(text)
    else:
        async for piece in pieces:
            write_whole(sys.stdout, piece)
    sys.stdout.flush()


async def readable(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines of text: what is no UTF-8, and what a terminal might obey, as U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    async for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        for line in lines:
            yield _line(line)
    if rest := rest + decoder.decode(b"", True):
        yield _line(rest)


def _line(line: str) -> str:
    return harmless(line.removesuffix("\r").expandtabs()) + "\n"
