"""What the grammar raises when a command is not one; `parse` makes it a `Bad` with the command's tag."""

from __future__ import annotations


class Refused(Exception):
    """`text` is told to the client; `status` is BAD, or NO where the syntax was right; `code` has no brackets."""

    def __init__(self, text: str, *, status: bytes = b"BAD", code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.code = code
