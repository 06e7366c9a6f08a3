"""The numbers a mailbox counts with, each a type of its own so that none is taken for another.

Named by everything that reads or writes a mailbox; nothing here does a thing.
"""

from __future__ import annotations

from typing import NewType

Uid = NewType("Uid", int)
"""A message's number in its folder: 1 to 4294967295, rising, never used again (RFC 9051 section 2.3.1.1)."""

SeqNum = NewType("SeqNum", int)
"""A message's place in the view a client was told of, from 1; an EXPUNGE renumbers (RFC 9051 section 2.3.1.2)."""

ModSeq = NewType("ModSeq", int)
"""The number of the commit that last changed a message: 63 bits, never goes back (RFC 7162 section 3.1.1)."""

UidValidity = NewType("UidValidity", int)
"""Changes only if a folder's UIDs must be forgotten: 1 to 4294967295 (RFC 9051 section 2.3.1.1)."""
