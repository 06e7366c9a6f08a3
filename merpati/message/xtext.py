"""The two encodings that carry an address through SMTP parameters and reports: xtext and utf-8-addr-xtext.

Called by ingest for ENVID, ORCPT and AUTH, by the SMTP client for the same, and by the reports.
"""

from __future__ import annotations

import re

from merpati.errors import Permanent

MAX_XTEXT = 500
"""Octets (RFC 3461 section 4.2: an ORCPT is at most 500 characters)."""

_XTEXT = re.compile(rb"(?:[!-*,-<>-~]++|\+[0-9A-F]{2})*")
_HEX = re.compile(rb"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{(10[0-9A-F]{4}|[1-9A-F][0-9A-F]{1,4})\}")


class BadXtext(Permanent):
    """Text that is no xtext, or hides a control character in it (501 5.5.4)."""

    code = 501
    enhanced = "5.5.4"


def decode_xtext(octets: bytes) -> str:
    """The text of xtext (RFC 3461 section 4); raises `BadXtext`, also for control characters, which would break a
    header line that the text is put into later."""
    if len(octets) > MAX_XTEXT or _XTEXT.fullmatch(octets) is None:
        raise BadXtext("bad xtext")
    try:
        text = _HEX.sub(lambda match: bytes.fromhex(match[1].decode()), octets).decode("utf-8")
    except UnicodeDecodeError:
        raise BadXtext("bad xtext") from None
    if not text.isprintable():
        raise BadXtext("bad xtext")
    return text


def encode_xtext(text: str) -> str:
    """Text as xtext: `+`, `=`, controls, space and other than ASCII as `+XX` of UTF-8."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in text.encode()
    )


def encode_utf8_xtext(text: str) -> str:
    r"""An address as utf-8-addr-xtext (RFC 6533 section 3): ASCII, other characters as `\x{HEX}`."""
    plain = set(range(33, 127)) - set(b"\\+=")
    return "".join(each if ord(each) in plain else f"\\x{{{ord(each):X}}}" for each in text)


def decode_utf8_xtext(text: str) -> str:
    r"""The address of utf-8-addr-xtext; what is no escape stands for itself, and so does one of a control character."""

    def character(match: re.Match[str]) -> str:
        number = int(match[1], 16)
        return chr(number) if number >= 32 and number != 127 and not 0xD800 <= number <= 0xDFFF else match[0]

    return _EMBEDDED.sub(character, text)
