"""The demo's own processor: an example of how little a plugin is.  Named in the receiving server's settings."""

from __future__ import annotations

from merpati.plugins import Action, FileInto, Mail, Processor


class FileInvoices(Processor):
    """File mail whose subject speaks of an invoice into the folder Invoices."""

    async def process(self, mail: Mail) -> Action | None:
        if "invoice" in mail.subject.lower():
            return FileInto("Invoices")
        return None
