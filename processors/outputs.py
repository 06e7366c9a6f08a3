"""The events of a route: what goes on the log after a message was processed.  Pure.

Called by `handler`.  Every id derives from the id of the input and from what the output is about, so that a second run
gives the same outputs and every sink drops them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from merpati.bus.api import Record
from merpati.events import Body, Event, Happened, Local, Outbound, Received, Recipient, What
from merpati.ids import AccountId, derived_account_id, derived_event_id
from merpati.message.addresses import BadAddress, parse_address
from merpati.message.compose import header_field
from merpati.message.headers import split_headers
from merpati.objects.keys import blob_key
from processors.routing import Route, Settled, Shape
from processors.row import Step

SERVICE = "processors"
MAX_RECIPIENTS = 100
"""Recipients of one `Outbound`: RFC 5321 section 4.5.3.1.8 lets a server take no more at a time."""
FAN_OUT = 1 << 20
"""Bytes of copies above which the message is stored once and its outputs refer to it."""
QUARANTINE: AccountId = derived_account_id("system", "quarantine")
"""The mailbox of held mail, a folder for each domain."""
MAX_NAMED = 100
"""Recipients named in the header of held mail."""


@dataclass(slots=True)
class Outputs:
    """What to publish, after `blobs` are in the store."""

    events: list[tuple[Event, bytes]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    """Reports to the sender, ready to be published."""
    returned: int = 0
    """Recipients whose mail went back."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """Bytes by key."""
    again: tuple[Recipient, ...] = ()
    """Recipients for whom the message is to be processed again later."""
    reason: str = ""
    """Why."""
    slow: bool = False
    """Whether that is only because it took too long for its neighbours: then at once, elsewhere."""

    def tell(self, happened: Happened) -> None:
        """Add what happened."""
        self.events.append((happened, b""))


@dataclass(frozen=True, slots=True)
class Source:
    """The input: the event, its bytes (all, or the beginning of a large message), and when and where it is handled."""

    event: Received
    data: bytes
    now: float
    host: str
    tries: int = 0

    def happened(
        self, what: What, label: str, recipients: Iterable[str] = (), took: float = 0.0, **detail: str
    ) -> Happened:
        """What happened in this run; `label` tells apart what happened twice."""
        return Happened(
            id=derived_event_id(self.event.id, "happened", what, label, str(self.tries)),
            message=self.event.message,
            at=self.now,
            what=what,
            service=SERVICE,
            host=self.host,
            recipients=tuple(recipients),
            sender=self.event.envelope.sender,
            detail={name: text for name, text in detail.items() if text},
            took=round(took, 6),
        )


def emit(source: Source, plan: Route, outputs: Outputs) -> None:
    """Put the events of a route into `outputs`: copies first, then what happened."""
    held = _by_domain(plan.held)
    copies = len(plan.accounts) + len(held) + sum(_chunks(recipients) for recipients in plan.remote.values())
    body, value = _body(source, copies, outputs)
    _local(source, plan, outputs, body, value)
    _outbound(source, plan, outputs, body, value)
    for domain, settled in held.items():
        outputs.events.append((_held(source, domain, settled, body), value))
    if plan.accounts or plan.remote:
        outputs.tell(_routed(source, plan))
    _tell_settled(source, What.QUARANTINED, plan.held, outputs)
    _tell_settled(source, What.DISCARDED, plan.dropped, outputs)
    _tell_settled(source, What.DEFERRED, plan.deferred, outputs)


def tell_steps(source: Source, steps: Sequence[Step], outputs: Outputs) -> None:
    """One event for each processor that was asked."""
    for step in steps:
        mode = "" if step.mode == "enforce" else step.mode
        detail = {"processor": step.name, "outcome": step.outcome, "said": step.words[:1000], "mode": mode}
        if not step.applied:
            detail["applied"] = "no"
        outputs.tell(source.happened(What.PROCESSED, step.name, took=step.took, **detail))


def _body(source: Source, copies: int, outputs: Outputs) -> tuple[Body, bytes]:
    body = source.event.body
    if body.key:
        return body, b""
    if copies > 1 and copies * body.size > FAN_OUT:
        # another run is another moment, and so another key
        run = derived_event_id(source.event.id, "blob", repr(source.now))
        key = blob_key(body.digest, bytes.fromhex(run)[:8])
        outputs.blobs[key] = source.data
        return msgspec.structs.replace(body, key=key), b""
    return body, source.data


def _local(source: Source, plan: Route, outputs: Outputs, body: Body, value: bytes) -> None:
    event = source.event
    for account, copy in plan.accounts.items():
        outputs.events.append(
            (
                Local(
                    id=derived_event_id(event.id, "local", account),
                    message=event.message,
                    at=source.now,
                    account=account,
                    recipient=copy.recipient,
                    envelope=msgspec.structs.replace(event.envelope, recipients=(copy.recipient,)),
                    body=body,
                    prefix=_prefix(event.prefix, copy.shape),
                    without=removed_ranges(source.data, copy.shape[1]),
                    folder=copy.folder,
                    flags=copy.flags,
                    quota=copy.target.quota,
                    received_at=event.at,
                ),
                value,
            )
        )


def _outbound(source: Source, plan: Route, outputs: Outputs, body: Body, value: bytes) -> None:
    event = source.event
    for (domain, shape), by_address in plan.remote.items():
        everyone = tuple(by_address.values())
        for start in range(0, len(everyone), MAX_RECIPIENTS):
            recipients = everyone[start : start + MAX_RECIPIENTS]
            outputs.events.append(
                (
                    Outbound(
                        id=derived_event_id(event.id, "outbound", domain, *(each.address for each in recipients)),
                        message=event.message,
                        at=source.now,
                        domain=domain,
                        recipients=recipients,
                        envelope=msgspec.structs.replace(event.envelope, recipients=recipients),
                        body=body,
                        prefix=_prefix(event.prefix, shape),
                        without=removed_ranges(source.data, shape[1]),
                        accepted_at=event.at,
                    ),
                    value,
                )
            )


def _held(source: Source, domain: str, settled: list[Settled], body: Body) -> Local:
    event = source.event
    reasons = dict.fromkeys(f"{each.by}: {each.reason}" if each.reason else each.by for each in settled)
    named = ", ".join(each.recipient.address for each in settled[:MAX_NAMED])
    fields = b"".join(
        (
            *(header_field("X-Merpati-Quarantine", reason) for reason in reasons),
            header_field("X-Envelope-From", f"<{event.envelope.sender}>", utf8=True),
            header_field("X-Envelope-To", named, utf8=True),
        )
    )
    recipient = settled[0].recipient
    return Local(
        id=derived_event_id(event.id, "quarantine", domain),
        message=event.message,
        at=source.now,
        account=QUARANTINE,
        recipient=recipient,
        envelope=msgspec.structs.replace(event.envelope, recipients=(recipient,)),
        body=body,
        prefix=fields.decode("utf-8", "replace") + _prefix(event.prefix, (settled[0].shape[0], frozenset())),
        folder=domain,
        received_at=event.at,
    )


def _by_domain(settled: list[Settled]) -> dict[str, list[Settled]]:
    found: dict[str, list[Settled]] = {}
    for each in settled:
        try:
            domain = parse_address(each.recipient.address).domain
        except BadAddress:
            domain = "unknown"
        found.setdefault(domain, []).append(each)
    return found


def _chunks(recipients: dict[str, Recipient]) -> int:
    return -(-len(recipients) // MAX_RECIPIENTS)


def _prefix(prefix: str, shape: Shape) -> str:
    """Our header fields: the latest on top of the earlier ones, these on top of what the edge has put there."""
    fields = (header_field(name, value).decode("ascii") for name, value in reversed(shape[0]))
    return "".join(fields) + prefix


def removed_ranges(data: bytes, names: frozenset[str]) -> tuple[tuple[int, int], ...]:
    """Where header fields of these names (lower case) stand in the received bytes, ascending, neighbours joined."""
    if not names:
        return ()
    wanted = {name.encode() for name in names}
    ranges: list[tuple[int, int]] = []
    for name, start, end in split_headers(data)[0]:
        if name in wanted:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
    return tuple(ranges)


def _routed(source: Source, plan: Route) -> Happened:
    everyone = [copy.recipient.address for copy in plan.accounts.values()]
    everyone += [address for address, _ in plan.merged]
    for recipients in plan.remote.values():
        everyone += [each.address for each in recipients.values()]
    folders = {copy.folder for copy in plan.accounts.values()} - {"INBOX"}
    return source.happened(
        What.ROUTED,
        "route",
        dict.fromkeys(everyone),
        mailboxes=str(len(plan.accounts)) if plan.accounts else "",
        folder=", ".join(sorted(folders)[:MAX_NAMED]),
        domains=", ".join(dict.fromkeys(domain for domain, _ in plan.remote))[:1000],
        forwards=", ".join(sorted(plan.forwards)[:MAX_NAMED]),
        merged=", ".join(f"{address} into {account}" for address, account in plan.merged[:MAX_NAMED]),
    )


def _tell_settled(source: Source, what: What, settled: list[Settled], outputs: Outputs) -> None:
    groups: dict[tuple[str, str], list[str]] = {}
    for each in settled:
        groups.setdefault((each.by, each.reason), []).append(each.recipient.address)
    for (by, reason), recipients in groups.items():
        label = "\0".join((by, reason))
        outputs.tell(source.happened(what, label, recipients, processor=by, reason=reason))
