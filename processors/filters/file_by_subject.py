"""`use = "file-by-subject"`: mail whose subject contains a text goes into a folder.  The demo uses it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from merpati.plugins import Answer, FileInto, Mail, Processor


class FileBySubject(Processor):
    """Files mail for every recipient; sees nothing but the header."""

    wants_body = False

    class Options(msgspec.Struct, frozen=True, kw_only=True):
        contains: Annotated[str, msgspec.Meta(min_length=1)]
        """Case aside."""
        folder: Annotated[str, msgspec.Meta(min_length=1)]
        """Made if it does not exist."""

    async def process(self, mail: Mail) -> Answer:
        if self.options.contains.lower() in mail.subject.lower():
            return FileInto(self.options.folder)
        return None
