"""What looks at mail before the 250 when no processor is set to the edge."""

from __future__ import annotations

from merpati.errors import MerpatiError
from merpati.events import Envelope, Received, Recipient
from merpati.plugins.edge import ACCEPT, Verdict


class AcceptAll:
    """An `EdgePipeline` that lets everything through."""

    async def judge_recipient(self, envelope: Envelope, recipient: Recipient) -> MerpatiError | None:
        return None

    async def judge(self, received: Received, raw: bytes) -> Verdict:
        return ACCEPT
