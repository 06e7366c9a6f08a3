"""Response codes (RFC 5530 and the RFCs named below): values for the `code` of a status response, without the brackets.

Called by whoever answers; nothing here sends.
"""

from __future__ import annotations

from collections.abc import Iterable

from access.imap.wire.render import flag_list
from access.imap.wire.sequence import SequenceSet
from merpati.mailbox.types import ModSeq, Uid, UidValidity

# RFC 9051 section 7.1
ALERT = b"ALERT"
ALREADYEXISTS = b"ALREADYEXISTS"
AUTHENTICATIONFAILED = b"AUTHENTICATIONFAILED"
AUTHORIZATIONFAILED = b"AUTHORIZATIONFAILED"
CANNOT = b"CANNOT"
CLIENTBUG = b"CLIENTBUG"
CLOSED = b"CLOSED"
CONTACTADMIN = b"CONTACTADMIN"
CORRUPTION = b"CORRUPTION"
EXPIRED = b"EXPIRED"
EXPUNGEISSUED = b"EXPUNGEISSUED"
HASCHILDREN = b"HASCHILDREN"
INUSE = b"INUSE"
LIMIT = b"LIMIT"
NONEXISTENT = b"NONEXISTENT"
NOPERM = b"NOPERM"
NOTSAVED = b"NOTSAVED"
OVERQUOTA = b"OVERQUOTA"
PARSE = b"PARSE"
PRIVACYREQUIRED = b"PRIVACYREQUIRED"
READ_ONLY = b"READ-ONLY"
READ_WRITE = b"READ-WRITE"
SERVERBUG = b"SERVERBUG"
TRYCREATE = b"TRYCREATE"
UIDNOTSTICKY = b"UIDNOTSTICKY"
UNAVAILABLE = b"UNAVAILABLE"
UNKNOWN_CTE = b"UNKNOWN-CTE"  # RFC 3516 section 4.3
NOMODSEQ = b"NOMODSEQ"  # RFC 7162 section 3.1.2.2
TOOBIG = b"TOOBIG"  # RFC 7888 section 4, RFC 7889 section 4
USEATTR = b"USEATTR"  # RFC 6154 section 3
COMPRESSIONACTIVE = b"COMPRESSIONACTIVE"  # RFC 4978 section 3
METADATA_TOOMANY = b"METADATA TOOMANY"  # RFC 5464 section 4.3
METADATA_NOPRIVATE = b"METADATA NOPRIVATE"
BADCHARSET = b"BADCHARSET (US-ASCII UTF-8)"
"""SEARCH in a character set that is not spoken here; names two that are."""


def capability(names: Iterable[str]) -> bytes:
    return f"CAPABILITY {' '.join(names)}".encode()


def permanent_flags(flags: Iterable[str], *, keywords: bool) -> bytes:
    """`keywords` says that new keywords may be made: `\\*`."""
    return b"PERMANENTFLAGS " + flag_list((*flags, "\\*") if keywords else flags)


def uid_validity(value: UidValidity) -> bytes:
    return b"UIDVALIDITY %d" % value


def uid_next(uid: Uid) -> bytes:
    return b"UIDNEXT %d" % uid


def unseen(number: int) -> bytes:
    """RFC 3501 section 7.1: the first message without `\\Seen`."""
    return b"UNSEEN %d" % number


def highest_modseq(modseq: ModSeq) -> bytes:
    """RFC 7162 section 3.1.2.1."""
    return b"HIGHESTMODSEQ %d" % modseq


def modified(messages: SequenceSet) -> bytes:
    """RFC 7162 section 3.1.3: what a conditional STORE left alone."""
    return b"MODIFIED %b" % messages.render()


def append_uid(validity: UidValidity, uids: SequenceSet) -> bytes:
    """RFC 4315 section 3; of a MULTIAPPEND the UIDs are one ascending set."""
    return b"APPENDUID %d %b" % (validity, uids.render())


def copy_uid(validity: UidValidity, source: SequenceSet, copies: SequenceSet) -> bytes:
    """RFC 4315 section 3: both ascending, so that the n-th copy is of the n-th source."""
    return b"COPYUID %d %b %b" % (validity, source.render(), copies.render())


def mailbox_id(identity: str) -> bytes:
    """RFC 8474 section 4.2."""
    return b"MAILBOXID (%b)" % identity.encode()


def append_limit(size: int) -> bytes:
    """RFC 7889 section 3: as a code of a refused APPEND it says how much would do."""
    return b"APPENDLIMIT %d" % size


def metadata_long_entries(size: int) -> bytes:
    """RFC 5464 section 4.2.1: the longest entry that MAXSIZE left out."""
    return b"METADATA LONGENTRIES %d" % size


def metadata_max_size(size: int) -> bytes:
    """RFC 5464 section 4.3."""
    return b"METADATA MAXSIZE %d" % size
