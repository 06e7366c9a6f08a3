"""What the reader says to the session: a command, a literal to ask for, a line, a refusal, the end.

Made by `reader` and `grammar`, read by the session; they carry no socket and no state.
"""

from __future__ import annotations

from msgspec import Struct

from access.imap.wire.commands import Verb


class Command(Struct, frozen=True, gc=False):
    """A whole command, parsed.  `tag` is echoed in the tagged response; `verb` is one of `commands`."""

    tag: bytes
    verb: Verb


class NeedLiteral(Struct, frozen=True, gc=False):
    """The client waits for leave to send `size` bytes (RFC 9051 section 7.6).

    Send `continuation` and feed on; or answer the tag with NO and call `Reader.refuse`: then the client sends nothing.
    """

    tag: bytes
    word: bytes
    """The command's name in upper case as far as it can be told yet: `APPEND`."""
    size: int
    continuation: bytes = b"+ OK\r\n"


class Line(Struct, frozen=True, gc=False):
    """The line that `Reader.expect_line` asked for: DONE, or a client's part of a SASL exchange; without its CRLF."""

    text: bytes


class Bad(Struct, frozen=True, gc=False):
    """A command that is refused before anything is done.  The stream is in step: go on reading.

    `tag` is `*` if none could be read; `status` is BAD, or NO where the syntax was right; `code` has no brackets.
    """

    tag: bytes
    text: str
    status: bytes = b"BAD"
    code: bytes = b""

    @property
    def line(self) -> bytes:
        """The refusal as a response line."""
        code = b"[%b] " % self.code if self.code else b""
        return b"%b %b %b%b\r\n" % (self.tag, self.status, code, self.text.encode())


class Fatal(Struct, frozen=True, gc=False):
    """The stream cannot be read on: answer `line`, close.  The reader says nothing more."""

    text: str

    @property
    def line(self) -> bytes:
        return b"* BYE %b\r\n" % self.text.encode()


Event = Command | NeedLiteral | Line | Bad | Fatal
