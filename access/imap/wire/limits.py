"""How long anything a client sends may be: the named limits of the IMAP grammar.

The session hands one of these values to the reader and replaces it when the state changes (before login a stranger gets
little; after login a message may be appended).  Nothing here does a thing.
"""

from __future__ import annotations

from msgspec import Struct

KIB = 1024
MIB = 1024 * KIB


class Limits(Struct, frozen=True):
    """Sizes are in bytes.  Where no RFC gives a number, it is the one of Dovecot, Cyrus or mox."""

    max_line: int = 64 * KIB
    """The text of one command, its literals left out; longer ends the connection (Dovecot: imap_max_line_length)."""
    max_literal: int = 64 * KIB
    """One literal that is no message."""
    max_literals: int = 1000
    """Literals in one command (CVE-2024-34055 is what happens without)."""
    max_literal_total: int = MIB
    """All literals of one command that are no messages."""
    max_message: int = 64 * MIB
    """The messages of one APPEND, together; what APPENDLIMIT (RFC 7889) tells."""
    max_nonsync: int = 64 * MIB
    """A literal sent without asking.  4096 is LITERAL-, `max_message` is LITERAL+ (RFC 7888 section 5)."""
    max_discard: int = 256 * MIB
    """What is read and dropped of refused literals of one command, to stay in step; beyond it the connection ends."""
    max_nesting: int = 100
    """Parentheses, NOTs and ORs around one search key."""
    max_search_keys: int = 2000
    """Keys of one SEARCH."""
    max_ranges: int = 16_384
    """Ranges of a sequence set after neighbours are joined."""
    max_fetch_items: int = 64
    """Different items of one FETCH."""
    max_part_depth: int = 100
    """Numbers in a section: BODY[1.2.3] has three.  Messages nest no deeper."""
    max_list_items: int = 1000
    """Elements of any other list: flags, patterns, header names, metadata entries."""
    max_name: int = 1000
    """A mailbox name in UTF-8."""


AFTER_LOGIN = Limits()

BEFORE_LOGIN = Limits(
    max_line=16 * KIB,  # an initial response (RFC 4959) of 12,288 base64 characters fits
    max_literal=8 * KIB,
    max_literals=8,
    max_literal_total=16 * KIB,
    max_message=0,
    max_nonsync=4 * KIB,
    max_discard=64 * KIB,
    max_list_items=64,
)
