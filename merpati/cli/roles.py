"""From components to services: which services a role is made of.  The one module that imports all four packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from access.imap.context import ImapLimits
from access.service import AccessService
from delivery.local import GROUP as LOCAL
from delivery.local import LocalDelivery
from delivery.remote.connector import Manner, SmtpConnector, TlsPolicy
from delivery.remote.schedule import Policy
from delivery.remote.targets import Routing, Targets
from delivery.remote.worker import GROUP as REMOTE
from delivery.remote.worker import RemoteDelivery
from delivery.smtp.opening import Login
from ingest.limits import Limits
from ingest.reverse import ReverseNames
from ingest.service import IngestService
from merpati.bus.metered import LagWatch
from merpati.components import Components
from merpati.directory.open import DirectoryLogs
from merpati.errors import Misconfigured
from merpati.events import TOPICS, Local, Outbound, Received, longest_reference
from merpati.net.limits import ServerLimits
from merpati.service import Service
from merpati.settings import seconds
from merpati.upkeep.blobs import BlobVacuum
from merpati.upkeep.deleting import purge_removed
from merpati.upkeep.leftovers import sweep_leftovers
from merpati.upkeep.rounds import Chore, Rounds
from processors.edge import EdgeProcessors
from processors.names import Names
from processors.registry import build_row
from processors.service import GROUP as PROCESSORS
from processors.service import ProcessorsService, Runner, RunnerFactory
from processors.working import Working

PURGES = 3600.0
"""Seconds between two looks at removed accounts: their end takes steps that are hours apart."""
BLOBS = 7
"""Rounds of upkeep from one vacuum of the large bodies, or of what purges have left, to the next: it asks every log."""
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "processors": {PROCESSORS: (TOPICS[Received].name,)},
    "delivery": {LOCAL: (TOPICS[Local].name,), REMOTE: (TOPICS[Outbound].name,)},
}
"""Who consumes what: role → group → topics."""


def services_of(roles: frozenset[str], parts: Components) -> list[Service]:
    """The services of some roles, in the order to start them: those that others wait for first."""
    services: list[Service] = [parts.directory]
    if roles & GROUPS.keys():
        groups = {group: topics for role in sorted(roles & GROUPS.keys()) for group, topics in GROUPS[role].items()}
        services.append(LagWatch(parts.bus, groups, parts.clock, parts.metrics))
    if "delivery" in roles:
        services += delivery(parts)
    if "processors" in roles:
        services.append(processors(parts))
    if "access" in roles:
        services.append(access(parts))
    if "ingest" in roles:
        services += ingest(parts)
    return services


def ingest(parts: Components) -> list[Service]:
    """The SMTP doors, and the processors of the edge before them."""
    settings = parts.settings
    row = build_row(settings.processors, "edge", Names(parts.resolver), parts.clock, settings.hostname, parts.metrics)
    edge = EdgeProcessors(row, parts.store, parts.clock)
    wanted = settings.ingest
    doors = IngestService(
        bus=parts.bus,
        store=parts.store,
        directory=parts.directory,
        authenticator=parts.authenticator,
        clock=parts.clock,
        dice=parts.dice,
        metrics=parts.metrics,
        hostname=settings.hostname,
        listeners={name: getattr(wanted, name) for name in ("mx", "submission", "submissions", "lmtp")},
        tls_context=parts.tls.context,
        edge=edge,
        reverse=ReverseNames(parts.resolver, parts.clock),
        limits=Limits(
            max_size=wanted.max_size,
            max_recipients=wanted.max_recipients,
            max_connections=wanted.max_connections,
            max_connections_per_client=wanted.max_connections_per_client,
        ),
        reuse_port=True,
    )
    return [edge, doors]


def processors(parts: Components) -> Service:
    """The pipeline: on faust over Kafka, else over the bus itself."""
    settings = parts.settings
    runner: RunnerFactory | None = None
    if settings.bus.url.startswith("kafka:"):
        from merpati.bus.kafka import addresses_of
        from processors.runners.stream import KafkaPlace, StreamRunner  # faust: only where Kafka is

        place = KafkaPlace(addresses_of(settings.bus.url), settings.bus.kafka, settings.bus.prefix)

        def on_faust(working: Working) -> Runner:
            return StreamRunner(place, PROCESSORS, TOPICS[Received].name, working, parts.bus, parts.clock)

        runner = on_faust
    return ProcessorsService(
        parts.bus, parts.store, parts.directory, parts.resolver, settings.processors, parts.clock, settings.hostname,
        parts.metrics, runner=runner,
    )  # fmt: skip


def delivery(parts: Components) -> list[Service]:
    """Into mailboxes, and to other servers."""
    settings, wanted = parts.settings, parts.settings.delivery
    local = LocalDelivery(parts.bus, parts.mailboxes, parts.clock, parts.metrics, settings.hostname)
    if wanted.tls not in list(TlsPolicy):
        raise Misconfigured(f"delivery.tls is may, must or verify, not {wanted.tls}")
    login = _smarthost_login(parts)
    routing = Routing(wanted.routes, wanted.smarthost, wanted.port, login is not None, wanted.prohibited)
    manner = Manner(settings.hostname, TlsPolicy(wanted.tls), login)
    remote = RemoteDelivery(
        parts.bus,
        parts.store,
        Targets(parts.resolver, routing),
        SmtpConnector(manner, parts.metrics),
        Policy(parts.tiers, seconds(wanted.warn), seconds(wanted.give_up)),
        parts.clock,
        parts.dice,
        parts.metrics,
        settings.hostname,
        sessions=wanted.sessions,
        sessions_per_domain=wanted.sessions_per_domain,
    )
    return [local, remote, upkeep(parts)]


def upkeep(parts: Components) -> Service:
    """Keeping what is stored small and clean: shared by all processes that deliver."""
    every = seconds(parts.settings.upkeep.every)
    writer = f"{os.getpid()}@{parts.settings.hostname}"

    blobs = BlobVacuum(parts.store, parts.clock, parts.dice, horizon=longest_reference(parts.tiers))

    async def purge() -> object:
        return await purge_removed(parts.directory, parts.mailboxes, parts.clock)

    async def leftovers() -> object:
        return await sweep_leftovers(parts.store, parts.directory, parts.clock, parts.dice)

    return Rounds(
        parts.store,
        parts.directory,
        lambda account: parts.mailboxes.account(account).log,
        DirectoryLogs(parts.store, parts.clock, parts.dice, parts.metrics, writer).open,
        parts.clock,
        parts.dice,
        parts.metrics,
        every=every,
        writer=writer,
        chores=[
            Chore("removed", min(every, PURGES), purge),
            Chore("blobs", BLOBS * every, blobs.run),
            Chore("leftovers", BLOBS * every, leftovers),
        ],
    )


def _smarthost_login(parts: Components) -> Login | None:
    wanted = parts.settings.delivery
    if not wanted.smarthost_user:
        return None
    try:
        password = Path(wanted.smarthost_password_file).read_text("utf-8").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        raise Misconfigured("delivery.smarthost_password_file: no password can be read from it") from None
    return Login(wanted.smarthost_user, password)


def access(parts: Components) -> Service:
    """IMAP and POP3."""
    settings, wanted = parts.settings, parts.settings.access
    if wanted.managesieve:
        raise Misconfigured("access.managesieve: Sieve is not served yet; leave it empty")
    return AccessService(
        mailboxes=parts.mailboxes,
        authenticator=parts.authenticator,
        accounts=parts.directory,
        bus=parts.bus,
        clock=parts.clock,
        metrics=parts.metrics,
        hostname=settings.hostname,
        listeners={name: getattr(wanted, name) for name in ("imap", "imaps", "pop3", "pop3s")},
        tls_context=parts.tls.context,
        imap_limits=ImapLimits(max_message=settings.ingest.max_size),
        server_limits=ServerLimits(
            max_connections=wanted.max_connections, max_per_client=wanted.max_connections_per_client
        ),
        reuse_port=True,
    )
