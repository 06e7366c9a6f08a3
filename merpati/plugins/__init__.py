"""All that the author of a processor imports.

    from merpati.plugins import Mail, Processor, Quarantine

    class NoExecutables(Processor):
        async def process(self, mail: Mail):
            if any(part.filename.endswith(".exe") for part in mail.attachments):
                return Quarantine("executable attachment")

`merpati.plugins.testing` tries a processor without a server; `docs/example-plugin` is a whole package to copy.
"""

from merpati.plugins.actions import (
    Accept,
    Action,
    AddHeader,
    Answer,
    BadAnswer,
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
)
from merpati.plugins.mail import Mail, MailEnvelope, NotFetched, Result
from merpati.plugins.processor import Dns, Log, Processor, Tools

__all__ = [
    "Accept",
    "Action",
    "AddHeader",
    "Answer",
    "BadAnswer",
    "Defer",
    "Discard",
    "Dns",
    "FileInto",
    "Finding",
    "Log",
    "Mail",
    "MailEnvelope",
    "NotFetched",
    "Processor",
    "Quarantine",
    "Redirect",
    "Refuse",
    "RemoveHeader",
    "Result",
    "SetFlags",
    "Tag",
    "Tools",
]
