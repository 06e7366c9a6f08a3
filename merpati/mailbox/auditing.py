"""Whether a mailbox is whole: its log, what must hold of its state, and every byte of every message.

Called by `merpati mailbox verify`.  Reads, and never writes; one message, or a piece of a large one, is in memory at a
time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from merpati.log.api import Damaged, NewerFormat, Tip
from merpati.log.findings import Finding, Findings
from merpati.log.verifying import verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.bodies import LargePlace
from merpati.mailbox.checking import violations
from merpati.mailbox.folder import Folder
from merpati.mailbox.state import MailState
from merpati.mailbox.values import BodyMissing
from merpati.objects.api import NotFound


@dataclass(frozen=True, slots=True)
class Audited:
    """What was read, and what is wrong."""

    messages: int
    """That are whole."""
    of: int
    """That there are, as far as it can be told."""
    wrong: tuple[Finding, ...]


async def audited(account: MailAccount) -> Audited:
    """Read everything of a mailbox.  Raises `Unavailable`."""
    return await _Audit(account).run()


class _Audit:
    def __init__(self, account: MailAccount) -> None:
        self._account = account
        self._findings = Findings()
        self._blobs: dict[str, str] = {}
        self._whole = self._all = 0

    async def run(self) -> Audited:
        for finding in await verified(self._account.log.reader):
            self._findings.take(finding)
        tip: Tip[MailState] | None = None
        with self._findings.gathering("the mailbox as it is now, until it is rebuilt"):
            tip = await self._account.log.read()
        if tip is not None:
            if self._account.log.damage is not None:
                with self._findings.gathering(f"what came after commit {tip.number}"):
                    raise self._account.log.damage
            await self._state(tip)
        return Audited(self._whole, self._all, tuple(self._findings.all))

    async def _state(self, tip: Tip[MailState]) -> None:
        state, layout = tip.state, self._account.log.layout
        self._all = sum(folder.exists for folder in state.folders.values())
        for part, shut in state.shut.items():
            folder = state.folders.get(part) if isinstance(part, int) else None
            lost = f"{folder.name}: {folder.exists} messages, until it is rebuilt" if folder else f"the {part}"
            with self._findings.gathering(lost):
                raise shut.damage
        for name, what in violations(state):
            self._findings.say(layout.commit(tip.number), "M", f"{name}: {what}" if name else what)
        for folder in state.folders.values():
            if folder.id not in state.shut:
                await self._bodies(folder, state)

    async def _bodies(self, folder: Folder, state: MailState) -> None:
        view = self._account.past_folder(folder, state)
        for row in range(view.exists):
            address = view.body(row)
            try:
                await self._body(address.large, view.sizes[row])
                async for _ in self._account.body_stream(address):
                    pass
                self._whole += 1
            except (BodyMissing, Damaged, NewerFormat) as error:
                lost = "" if isinstance(error, NewerFormat) else f"{folder.name} UID {view.uids[row]}"
                key, rule = str(error.facts.get("key", "")), str(error.facts.get("rule", ""))
                self._findings.say(key, rule, error.public, lost)

    async def _body(self, place: LargePlace | None, size: int) -> None:
        """A large body is read once, whoever refers to it.  Raises `BodyMissing`."""
        if place is None:
            return
        body = place.body
        if body.key not in self._blobs:
            self._blobs[body.key] = await self._blob(body.key, body.size, body.digest)
        wrong = self._blobs[body.key]
        if not wrong and place.length + body.size - sum(end - start for start, end in body.without) != size:
            wrong = "the message is of another size than the folder says"
        if wrong:
            raise BodyMissing(wrong, key=body.key, rule="B2")

    async def _blob(self, key: str, size: int, digest: bytes) -> str:
        mix, read = hashlib.blake2b(digest_size=32), 0
        try:
            async for piece in self._account.log.reader.store.get_stream(key):
                mix.update(piece)
                read += len(piece)
        except NotFound:
            return "the message is missing in the store"
        return "" if (read, mix.digest()) == (size, digest) else "the message is damaged in the store"
