"""An e-mail address as a value, and the two ways it arrives: an SMTP path and a header's address list.

`parse_path` and `read_path` (ingest: MAIL FROM and RCPT TO) are strict and raise `BadAddress`; the address list
(`address_list.py`, named here too) takes any bytes.  Whether an address exists or may be relayed to is not decided
here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

from merpati.errors import Permanent
from merpati.message.address_list import MAX_ADDRESSES, Mailbox, parse_address_list

__all__ = [
    "MAX_ADDRESSES",
    "Address",
    "BadAddress",
    "Mailbox",
    "address_of",
    "normalise_domain",
    "parse_address",
    "parse_address_list",
    "parse_path",
    "read_path",
]

MAX_LOCAL_PART = 255
"""Octets.  RFC 5321 section 4.5.3.1.1 asks for 64 at least and for no limit where none is needed; bounce addresses
that carry another address in them (VERP, SRS) are longer."""
MAX_DOMAIN = 255
"""Octets of the A-label form (RFC 5321 section 4.5.3.1.2)."""
MAX_PATH = 1_024
"""Octets of a path with its source route."""


class BadAddress(Permanent):
    """Text that is no address or no path (501 5.1.3 unless the caller says otherwise); the text is not repeated."""

    code = 501
    enhanced = "5.1.3"


@dataclass(frozen=True, slots=True)
class Address:
    """`local` without quotes and with its case kept; `domain` as `normalise_domain` gives it, or `[literal]`.

    `domain` is empty for a bare `postmaster` only (RFC 5321 section 4.5.1).
    """

    local: str
    domain: str

    def __str__(self) -> str:
        """The address as RFC 5321 section 4.1.2 writes it: the local part quoted where it must be."""
        local = self.local if _DOT_STRING.fullmatch(self.local) else _quote(self.local)
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent to a server without SMTPUTF8 (RFC 6531): the domain always can."""
        return self.local.isascii()


def _quote(local: str) -> str:
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a0-\U0010ffff-"  # RFC 5321 section 4.1.2; RFC 6531 section 3.3
_DOT_STRING = re.compile(rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*")
# Mobile networks gave out addresses with dots where RFC 5321 forbids them: taken as they are, quoted when written.
_ANY_DOTS = re.compile(rf"[.{_ATEXT}]++")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\u00a0-\U0010ffff]++|\\[ -~])+)"')
_ROUTE = re.compile(r"@[^\s<>@:,\"\\]++(?:,@[^\s<>@:,\"\\]++)*:")
_DOMAIN = re.compile(r"\[[!-Z^-~]*+\]|[^\x00-\x20\x7f-\x9f<>@\[\]\"(),:;\\]++")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Format, private and unassigned characters, lone surrogates and the line and paragraph separators hide or split text.
_HIDDEN = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]")


def normalise_domain(domain: str) -> str:
    """The one spelling of a domain: lower case, no dot at the end, A-labels (RFC 5890).  Raises `BadAddress`.

    An underscore is let pass, as resolvers and other mail servers do; a domain that is a bare IPv4 address is not.
    """
    name = domain.removesuffix(".")
    if not name.isascii():
        if len(name) > MAX_DOMAIN:
            raise BadAddress("domain is too long")
        try:
            # UTS 46 mapping first: full-width letters and the ideographic full stop are what the user typed.
            name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise BadAddress("bad international domain name") from None
    name = name.lower()
    if len(name) > MAX_DOMAIN:
        raise BadAddress("domain is too long")
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise BadAddress("bad domain name")
    if labels[-1].isdigit():
        raise BadAddress("an IP address must stand in brackets")
    return name


def _normalise_literal(literal: str) -> str:
    """An address literal in its one spelling (RFC 5321 section 4.1.3).  Raises `BadAddress`."""
    inside = literal[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inside[5:])}]"
        return f"[{ipaddress.IPv4Address(inside)}]"
    except ValueError:
        raise BadAddress("bad address literal") from None


def read_path(
    raw: bytes, start: int = 0, *, smtputf8: bool = False, postmaster: bool = False
) -> tuple[Address | None, int]:
    """The path that begins at `start`, and the offset behind its `>`: SMTP parameters follow there.

    `<>` is None.  A source route is read and forgotten (RFC 5321 section 4.1.1.3).  With `smtputf8` the local part
    and the domain may hold UTF-8 (RFC 6531 section 3.3); with `postmaster` a path may be `<postmaster>`.
    Raises `BadAddress` for anything else: control characters, spaces outside quotes, a missing bracket.
    """
    octets = raw[start : start + MAX_PATH]
    try:
        text = octets.decode("utf-8") if smtputf8 else octets.decode("ascii")
    except UnicodeDecodeError as error:
        # Only the parameters behind the path may be cut or foreign; what stands in it must decode.
        if error.start < octets.find(b">") or b">" not in octets:
            raise BadAddress("address is not ASCII" if not smtputf8 else "address is not UTF-8") from None
        text = octets[: error.start].decode("utf-8")
    if not text.startswith("<"):
        raise BadAddress("path must begin with <")
    if text.startswith("<>"):
        return None, start + 2
    route = _ROUTE.match(text, 1)
    address, at = _read_mailbox(text, route.end() if route else 1, postmaster)
    if not text.startswith(">", at):
        raise BadAddress("bad address")
    return address, start + len(text[: at + 1].encode("utf-8"))


def parse_path(raw: bytes, *, smtputf8: bool = False, postmaster: bool = False) -> Address | None:
    """The address of a path such as `<a@b.example>`; None for `<>`.  As `read_path`, and nothing may follow it."""
    address, end = read_path(raw, smtputf8=smtputf8, postmaster=postmaster)
    if end != len(raw):
        raise BadAddress("something follows the address")
    return address


def parse_address(text: str) -> Address:
    """The address of `local@domain` without brackets, UTF-8 allowed: settings, the command line, login names.

    Raises `BadAddress`.
    """
    if len(text) > MAX_PATH:
        raise BadAddress("address is too long")
    address, end = _read_mailbox(text, 0, postmaster=False)
    if end != len(text):
        raise BadAddress("bad address")
    return address


def _read_mailbox(text: str, at: int, postmaster: bool) -> tuple[Address, int]:
    """The mailbox at `at` (RFC 5321 section 4.1.2) and the offset behind it."""
    if match := _QUOTED.match(text, at):
        local = re.sub(r"\\(.)", r"\1", match[1])
    elif match := _ANY_DOTS.match(text, at):
        local = match[0]
    else:
        raise BadAddress("bad local part")
    if len(local.encode("utf-8", "replace")) > MAX_LOCAL_PART:
        raise BadAddress("local part is too long")
    if _HIDDEN.search(local):
        raise BadAddress("bad character in local part")
    at = match.end()
    if postmaster and local.lower() == "postmaster" and not text.startswith("@", at):
        return Address(local, ""), at
    domain = _DOMAIN.match(text, at + 1) if text.startswith("@", at) else None
    if domain is None:
        raise BadAddress("address without a domain")
    name = domain[0]
    return Address(local, _normalise_literal(name) if name.startswith("[") else normalise_domain(name)), domain.end()


def address_of(mailbox: Mailbox) -> Address | None:
    """The address of an entry of a header's address list; None for a group's marks and for what is no address."""
    if mailbox.local is None or mailbox.domain is None or mailbox.missing:
        return None
    try:
        domain = mailbox.domain.decode("utf-8")
        name = _normalise_literal(domain) if domain.startswith("[") else normalise_domain(domain)
        return Address(mailbox.local.decode("utf-8"), name)
    except (BadAddress, UnicodeDecodeError):
        return None
