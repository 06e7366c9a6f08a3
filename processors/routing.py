"""Who gets the message: fates and resolved addresses in, a route out.  Pure.

Called by `handler`; `outputs` makes events of the route.  It holds the two rules that must hold however a message came
here: no relaying for strangers, and one copy for each mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from merpati.directory.api import LocalTarget, Resolution
from merpati.events import Envelope, Recipient
from merpati.ids import AccountId
from merpati.message.addresses import BadAddress, parse_address
from merpati.plugins.actions import Defer, Discard, Quarantine, Refuse
from processors.pipeline import Fate, Judgement

MAX_REDIRECTS = 100
"""Addresses that one recipient is redirected to."""

Shape = tuple[tuple[tuple[str, str], ...], frozenset[str]]
"""How a recipient's copy differs from the received bytes: header fields added, names of those left out."""


@dataclass(frozen=True, slots=True)
class ToAccount:
    """A copy for a mailbox here."""

    target: LocalTarget
    recipient: Recipient
    shape: Shape
    folder: str = "INBOX"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """A recipient whose mail goes back to the sender."""

    recipient: Recipient
    status: str
    words: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A recipient whose mail is held or dropped, and whose word that was."""

    recipient: Recipient
    by: str
    reason: str
    shape: Shape


@dataclass(slots=True)
class Route:
    """Everything that is to happen to one message.  Filled by `route`, only read after."""

    accounts: dict[AccountId, ToAccount] = field(default_factory=dict)
    merged: list[tuple[str, str]] = field(default_factory=list)
    """(recipient, account address) of those who share a mailbox that has its copy already."""
    remote: dict[tuple[str, Shape], dict[str, Recipient]] = field(default_factory=dict)
    """(domain, shape) → recipients by address."""
    forwards: set[str] = field(default_factory=set)
    """Recipients here whose mail goes on to elsewhere."""
    returned: list[Returned] = field(default_factory=list)
    held: list[Settled] = field(default_factory=list)
    dropped: list[Settled] = field(default_factory=list)
    deferred: list[Settled] = field(default_factory=list)


def may_relay(envelope: Envelope) -> bool:
    """Whether the message may leave for domains that are not ours: a user of ours or we ourselves sent it.

    The edge has refused everything else already; this is asked again, so that no change of the directory, no replay
    and no foreign writer on the log makes a relay of us.
    """
    return envelope.door == "internal" or bool(envelope.client.user)


def addresses_of(judgement: Judgement) -> list[str]:
    """The addresses that have to be resolved before `route` can work."""
    wanted: dict[str, None] = {}
    for address, fate in judgement.fates.items():
        if fate.delivers:
            if fate.keep:
                wanted[address] = None
            wanted |= dict.fromkeys(fate.redirects[:MAX_REDIRECTS])
    return list(wanted)


def route(
    envelope: Envelope, judgement: Judgement, resolved: Mapping[str, Resolution], delivered_to: frozenset[str]
) -> Route:
    """The route of a message.  `delivered_to` are the addresses (folded) of its Delivered-To fields."""
    plan = Route()
    relays = may_relay(envelope)
    for recipient in envelope.recipients:
        fate = judgement.fates[recipient.address]
        shape: Shape = (fate.added, fate.removed)
        match fate.last_word:
            case Refuse() as word:
                plan.returned.append(Returned(recipient, word.enhanced, word.reason))
            case Defer() as word:
                plan.deferred.append(Settled(recipient, fate.said_by, word.reason, shape))
            case Quarantine() as word:
                plan.held.append(Settled(recipient, fate.said_by, word.reason, shape))
            case Discard() as word:
                plan.dropped.append(Settled(recipient, fate.said_by, word.reason, shape))
            case _:
                _deliver(plan, recipient, fate, shape, resolved, delivered_to, relays)
    return plan


def _deliver(
    plan: Route,
    recipient: Recipient,
    fate: Fate,
    shape: Shape,
    resolved: Mapping[str, Resolution],
    delivered_to: frozenset[str],
    relays: bool,
) -> None:
    if fate.keep:
        found = resolved[recipient.address]
        if not found.local_domain and not relays:
            plan.returned.append(Returned(recipient, "5.7.1", "relaying denied"))
        elif not found.local_domain:
            _send(plan, recipient, shape)
        elif not found.known:
            plan.returned.append(Returned(recipient, "5.1.1", "no such user here"))
        else:
            _deliver_here(plan, recipient, fate, shape, found, delivered_to)
    for address in fate.redirects[:MAX_REDIRECTS]:
        found = resolved[address]
        if not found.local_domain:
            _send(plan, _forwarded(recipient, address), shape)
        elif not found.known:
            plan.returned.append(Returned(recipient, "5.1.1", "redirected to a user who is not here"))
        else:
            for target in found.accounts:
                _store(plan, ToAccount(target, recipient, shape))
            for other in found.remote:
                _send(plan, _forwarded(recipient, other), shape)


def _deliver_here(
    plan: Route, recipient: Recipient, fate: Fate, shape: Shape, found: Resolution, delivered_to: frozenset[str]
) -> None:
    for target in found.accounts:
        _store(plan, ToAccount(target, recipient, shape, fate.folder or "INBOX", fate.flags))
    if not found.remote:
        return
    if fold(recipient.address) in delivered_to:
        # It has left by this alias before: RFC 5321 section 6.3 asks to break loops
        plan.returned.append(Returned(recipient, "5.4.6", "mail forwarding loop"))
        return
    plan.forwards.add(recipient.address)
    for address in found.remote:
        _send(plan, _forwarded(recipient, address), (((*shape[0], ("Delivered-To", recipient.address)), shape[1])))


def _store(plan: Route, copy: ToAccount) -> None:
    # R6: several names of one mailbox get one copy, as the first of them would
    if copy.target.account in plan.accounts:
        plan.merged.append((copy.recipient.address, copy.target.address))
    else:
        plan.accounts[copy.target.account] = copy


def _send(plan: Route, recipient: Recipient, shape: Shape) -> None:
    try:
        domain = parse_address(recipient.address).domain
    except BadAddress as error:
        plan.returned.append(Returned(recipient, "5.1.3", error.public))
        return
    plan.remote.setdefault((domain, shape), {}).setdefault(fold(recipient.address), recipient)


def _forwarded(recipient: Recipient, address: str) -> Recipient:
    # RFC 3461 section 5.2.7.1: an address that another one stands for keeps NOTIFY and the original recipient
    return Recipient(address, recipient.notify, recipient.orcpt or f"rfc822;{recipient.address}")


def fold(address: str) -> str:
    """An address for comparing: the domain is, and the local part may be, without regard to case."""
    return address.lower()
