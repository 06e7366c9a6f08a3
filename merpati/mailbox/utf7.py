"""Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3) and text, each the one form of the other.

Called by the grammar of IMAP for names that come in, by its responses for names that go out, and for the folders of a
Maildir.  A name not in the form this module would write itself is refused, so that no two spellings name one mailbox.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

_SHIFT = re.compile(rb"&([^-]*)(-?)")
_SAFE = re.compile(r"[\x20-\x25\x27-\x7e]*\Z")
_OUTSIDE = re.compile(r"[^\x20-\x7e]+|&")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_ALTERNATIVE = b"+,"


class BadName(ValueError):
    """No mailbox can have this name.  The text says why, in words for the client."""


def decode(wire: bytes) -> str:
    """The name that `wire` spells.  Raises `BadName`."""
    if not wire.isascii():
        raise BadName("8-bit characters need UTF8=ACCEPT")
    if b"&" in wire:
        name = _SHIFT.sub(_decoded_shift, wire).decode()
        if encode(name) != wire:
            raise BadName("not the canonical modified UTF-7")
    else:
        name = wire.decode()
    return _checked(name)


def decode_utf8(wire: bytes) -> str:
    """The name that `wire` spells once UTF8=ACCEPT or IMAP4rev2 is enabled (RFC 6855 section 3).  Raises `BadName`."""
    try:
        return _checked(wire.decode())
    except UnicodeDecodeError:
        raise BadName("not UTF-8") from None


def encode(name: str) -> bytes:
    """`name` in modified UTF-7.  It must hold no lone surrogates."""
    if _SAFE.match(name):
        return name.encode()
    return _OUTSIDE.sub(_encoded_run, name).encode()


def _checked(name: str) -> str:
    # RFC 9051 section 5.1: no control characters, no line or paragraph separators (RFC 5198 section 2)
    if _CONTROL.search(name):
        raise BadName("control characters in a mailbox name")
    return name


def _decoded_shift(found: re.Match[bytes]) -> bytes:
    base64, end = found.groups()
    if not end:
        raise BadName("unfinished modified UTF-7")
    if not base64:
        return b"&"
    try:
        utf16 = b64decode(base64 + b"=" * (-len(base64) % 4), altchars=_ALTERNATIVE, validate=True)
        # str → bytes → str: `sub` works on bytes, so what was decoded travels as UTF-8
        return utf16.decode("utf-16-be").encode()
    except ValueError:
        raise BadName("broken modified UTF-7") from None


def _encoded_run(found: re.Match[str]) -> str:
    run = found[0]
    if run == "&":
        return "&-"
    return f"&{b64encode(run.encode('utf-16-be'), _ALTERNATIVE).decode().rstrip('=')}-"
