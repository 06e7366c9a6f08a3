"""Addresses as the directory compares them: folded in case, with and without their plus detail.  Pure.

The directory keeps an address as it was written and finds it by its key.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from merpati.message.addresses import BadAddress, parse_address

DETAIL = "+"
"""What separates user and detail (RFC 5233 section 1)."""


def fold_local(local: str) -> str:
    """A local part without quotes as it is compared.

    RFC 5321 section 2.4 lets only the host that owns a mailbox say whether case matters: here it does not.  Two ways
    of writing the same accented letter are one (NFC, RFC 6532 section 3.1).
    """
    return local.lower() if local.isascii() else unicodedata.normalize("NFC", local).lower()


@lru_cache(maxsize=65_536)
def parts_of(address: str) -> tuple[str, str]:
    """(folded local part, normalised domain); the domain is empty if there is none.  Raises `BadAddress`."""
    if "@" not in address:
        return fold_local(address), ""
    parsed = parse_address(address)
    return fold_local(parsed.local), parsed.domain


def key_of(address: str) -> str:
    """What an address is found by.  Raises `BadAddress`."""
    local, domain = parts_of(address)
    return f"{local}@{domain}"


def without_detail(local: str) -> tuple[str, str]:
    """(user, detail) of a folded local part; the detail is empty if there is none."""
    user, plus, detail = local.partition(DETAIL)
    return (user, detail) if plus and user else (local, "")


def domain_of(address: str) -> str:
    """The domain of an address.  Raises `BadAddress` if it has none."""
    return parse_address(address).domain


def checked(address: str) -> str:
    """An address in the spelling that is kept: the local part as it was written, the domain normalised.

    Raises `BadAddress`, with the address in its words: only an operator reads them.
    """
    try:
        return str(parse_address(address))
    except BadAddress as error:
        raise BadAddress(f"{address!r} is no address: {error.public}") from None
