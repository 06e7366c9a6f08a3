"""The kinds of event and the values they are made of.  Every service reads and writes them; nothing here does a thing.

Times are seconds since 1970 UTC.  Addresses are `local@domain` without angle brackets, the domain normalised, the local
part as it was written; the null sender is the empty string.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from merpati.ids import AccountId, Digest, EventId, MessageId


class Recipient(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recipient of an envelope, with its delivery status parameters (RFC 3461 section 4)."""

    address: str
    notify: tuple[str, ...] = ()
    """Of NEVER, SUCCESS, FAILURE, DELAY; empty means that none were given (then FAILURE and DELAY hold)."""
    orcpt: str = ""
    """The original recipient as `type;xtext-decoded address`, or empty."""


class Client(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who handed the message in."""

    ip: str = ""
    helo: str = ""
    name: str = ""
    """The verified reverse name of `ip`, or empty."""
    tls: str = ""
    """Protocol version and cipher, e.g. `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty for a connection in clear."""
    user: str = ""
    """The address that was authenticated, or empty."""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What SMTP said about the message, beside its bytes (RFC 5321 section 2.3.1)."""

    sender: str
    recipients: tuple[Recipient, ...]
    client: Client = Client()
    door: str = "mx"
    """One of mx, submission, submissions, lmtp, http, internal."""
    smtputf8: bool = False
    body: str = ""
    """The BODY parameter of MAIL (RFC 6152): `8BITMIME`, `7BIT` or empty."""
    ret: str = ""
    """FULL or HDRS (RFC 3461 section 4.3), or empty."""
    envid: str = ""


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the received bytes are: the value of the record, or, if `key` is set, an object in the store."""

    size: int
    digest: Digest
    key: str = ""


class Received(msgspec.Struct, frozen=True, omit_defaults=True, tag="received", tag_field="kind"):
    """A message was accepted at a door; a 250 was, or is about to be, answered.  Value: the received bytes."""

    id: EventId
    message: MessageId
    at: float
    envelope: Envelope
    body: Body
    prefix: str = ""
    """Header fields of ours, each with CRLF, that stand before the received bytes (Received, …)."""
    tags: tuple[str, ...] = ()
    """What processors at the edge have noted."""
    results: tuple[tuple[str, str], ...] = ()
    """(processor, what it found) of the processors at the edge."""
    replayed: bool = False
    actions: tuple[tuple[str, str], ...] = ()
    """(processor, its words as `merpati.plugins.actions` writes them) of the processors at the edge, for the stream."""


class Local(msgspec.Struct, frozen=True, omit_defaults=True, tag="local", tag_field="kind"):
    """A message is to be appended to one account's mailbox.  Value: the received bytes, or nothing if `body.key`."""

    id: EventId
    message: MessageId
    at: float
    account: AccountId
    recipient: Recipient
    envelope: Envelope
    body: Body
    prefix: str = ""
    without: tuple[tuple[int, int], ...] = ()
    """Byte ranges [start, end) of the received bytes that a processor removed (header fields), ascending."""
    folder: str = "INBOX"
    """Made if it does not exist."""
    flags: tuple[str, ...] = ()
    quota: int = 0
    """Bytes the account may hold, as the directory said when it was routed; 0 is none."""
    received_at: float = 0.0
    """When the edge accepted it: the INTERNALDATE."""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try at relaying: when, to whom, and what was answered."""

    at: float
    host: str = ""
    reply: str = ""


class Outbound(msgspec.Struct, frozen=True, omit_defaults=True, tag="outbound", tag_field="kind"):
    """A message is to be relayed to recipients of one domain.  Value: the received bytes, or nothing if `body.key`.

    On `mail.outbound` it is due at once; on `mail.retry.<tier>` when `not_before` has come.
    """

    id: EventId
    message: MessageId
    at: float
    domain: str
    recipients: tuple[Recipient, ...]
    envelope: Envelope
    body: Body
    prefix: str = ""
    without: tuple[tuple[int, int], ...] = ()
    accepted_at: float = 0.0
    """When the edge accepted it: its life in the queue counts from here."""
    attempts: tuple[Attempt, ...] = ()
    """The latest attempts, oldest first; at most ten are carried."""
    tries: int = 0
    not_before: float = 0.0
    delay_told: bool = False
    """Whether the sender has been told that it is late."""


class What(StrEnum):
    """What can happen to a message or one of its recipients; the last of each recipient is one of FINAL."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PROCESSED = "processed"
    ROUTED = "routed"
    STORED = "stored"
    RELAYED = "relayed"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"
    PARKED = "parked"
    """An event about it went to `mail.dead`; an operator decides."""


class Happened(msgspec.Struct, frozen=True, omit_defaults=True, tag="happened", tag_field="kind"):
    """Something happened to a message: what a trace shows.  Value: empty.  A public contract with a JSON Schema."""

    id: EventId
    message: MessageId
    at: float
    what: What
    service: str
    """ingest, processors, delivery or access, and after a slash the part of it: `delivery/remote`."""
    host: str = ""
    """The `hostname` setting of the installation that says so."""
    recipients: tuple[str, ...] = ()
    """Whom it concerns; empty means all."""
    sender: str = ""
    detail: dict[str, str] = {}
    """Facts in words of the trade: reply, folder, uid, processor, tls, size, subject never, body never."""
    took: float = 0.0
    """Seconds spent on this step."""


class Changed(msgspec.Struct, frozen=True, omit_defaults=True, tag="changed", tag_field="kind"):
    """An account's log has a new commit.  Value: the commit object itself if it is small, else empty."""

    id: EventId
    account: AccountId
    at: float
    number: int
    log: str = "mailbox"
    """`mailbox`, or `directory` for the log of a domain."""


class Dead(msgspec.Struct, frozen=True, omit_defaults=True, tag="dead", tag_field="kind"):
    """An event that nobody could work on.  Value: the value of the record it was."""

    id: EventId
    message: str
    """The message id where it could be read, else empty."""
    at: float
    topic: str
    partition: int
    offset: int
    reason: str
    service: str
    key: str = ""
    """The record's key, Latin-1."""
    header: str = ""
    """The record's `merpati` header, Latin-1, as it was."""


Event = Received | Local | Outbound | Happened | Changed | Dead
