"""The one place that builds components from settings.  Services get what is built here; they never see the settings.

`async with Components(settings) as parts` reaches bus and store and gives them back at the end, `.on_store()` reaches
the store alone; what a command does not ask for is not built.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import msgspec

from merpati.auth.credentials import DirectoryCredentials, OAuthIssuer
from merpati.auth.passwords import Passwords
from merpati.bus.api import Bus
from merpati.bus.late import LateBus
from merpati.bus.metered import MeteredBus
from merpati.bus.open import open_bus
from merpati.bus.prefixed import with_prefix
from merpati.clock import SystemClock
from merpati.directory.log_directory import LogDirectory
from merpati.directory.open import open_directory
from merpati.errors import Misconfigured, Unavailable
from merpati.events import Changed, TopicSpec, encode, topic_specs
from merpati.events.topics import PROCESSING_TIER
from merpati.ids import SystemDice
from merpati.log.sound import sound
from merpati.mailbox.api import MailboxLimits
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.net.addresses import Network, parse_networks, parse_server
from merpati.net.dns import Resolver
from merpati.net.dns_wire import NetworkResolver
from merpati.net.self_signed import ensure_self_signed
from merpati.net.tls import ServerTls
from merpati.objects.api import ObjectStore
from merpati.objects.open import open_store
from merpati.objects.probe import probe
from merpati.settings import Settings, seconds
from merpati.telemetry import Metrics

if TYPE_CHECKING:
    from merpati.auth.authenticator import Authenticator
    from merpati.auth.oauth import TokenVerifier


CHECKED = 200
"""Domains whose accounts `merpati check` reads."""
SCRATCH = 256 << 20
"""Bytes of a bucket that a process keeps which trusts nothing that was kept before."""


class Components:
    """What a process is made of."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.clock = SystemClock()
        self.dice = SystemDice()
        self._scratch: Path | None = None

    async def __aenter__(self) -> Self:
        await self.prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def on_store(self, *, cached: bool = True) -> AsyncIterator[Self]:
        """For an operator's tools: a bus that is away, or that has no room, holds none of them up.

        What they commit is made known if the bus can be reached.  Not `cached`: all is read from the store itself, if
        not twice; what was read is kept in a folder of this process's own.
        """
        with nullcontext() if cached else TemporaryDirectory(prefix="merpati-", ignore_cleanup_errors=True) as scratch:
            self._scratch = Path(scratch) if scratch else None
            try:
                await self._ensure_bucket()
                yield self
            finally:
                await self.close()

    async def prepare(self) -> None:
        """Reach the bus and create its topics; make the bucket if it is missing."""
        await self.bus.start()
        await self.bus.ensure_topics(self.topics)
        await self._ensure_bucket()

    async def _ensure_bucket(self) -> None:
        if self.settings.store.url.startswith("s3:"):
            from merpati.objects.admin import BucketAdmin  # minio: only where there is a bucket
            from merpati.objects.location import s3_location

            await BucketAdmin(s3_location(self.settings.store.url, os.environ)).ensure_bucket()

    async def close(self) -> None:
        """Give back what was built, in reverse."""
        built = self.__dict__
        if "directory" in built:
            await self.directory.stop(0)
        if "mailboxes" in built:
            await self.mailboxes.close()
        if "store" in built:
            await self.store.close()
        if "bus" in built:
            await self.bus.close()

    @property
    def tiers(self) -> tuple[tuple[str, float], ...]:
        """The retry tiers of remote delivery: (name, seconds), each once, in order."""
        return tuple((span, seconds(span)) for span in dict.fromkeys(self.settings.delivery.retry))

    @property
    def topics(self) -> list[TopicSpec]:
        """Every topic of the installation."""
        return topic_specs(self.settings.bus.partitions, (*self.tiers, PROCESSING_TIER))

    @cached_property
    def bus(self) -> Bus:
        wanted = self.settings.bus
        inner = open_bus(
            wanted.url, data=self.settings.data_path, kafka_options=wanted.kafka, clock=self.clock, dice=self.dice
        )
        return LateBus(MeteredBus(with_prefix(inner, wanted.prefix), self.clock, self.metrics), self.topics)

    @cached_property
    def store(self) -> ObjectStore:
        def observe(operation: str, outcome: str, took: float) -> None:
            self.metrics.store_seconds.labels(operation, outcome).observe(took)

        def cached(hit: bool) -> None:
            self.metrics.cache_reads.labels("hit" if hit else "miss").inc()

        wanted = self.settings.store
        return open_store(
            wanted.url, data=self.settings.data_path, clock=self.clock, dice=self.dice, observe=observe,
            cache=min(wanted.cache, SCRATCH) if self._scratch else wanted.cache, cache_at=self._scratch,
            cached=cached, sound=sound,
        )  # fmt: skip

    @cached_property
    def mailboxes(self) -> AllMailboxes:
        async def publish(changes: Sequence[tuple[Changed, bytes]]) -> None:
            await self.bus.publish([encode(event, data) for event, data in changes])

        limits = MailboxLimits(memory=self.settings.access.memory)
        return AllMailboxes(
            self.store, clock=self.clock, dice=self.dice, publish=publish, limits=limits, metrics=self.metrics,
            writer=f"{os.getpid()}@{self.settings.hostname}", bare_appends=True,
        )  # fmt: skip

    @cached_property
    def directory(self) -> LogDirectory:
        return open_directory(
            self.store, self.bus, self.clock, self.dice, self.metrics, writer=f"{os.getpid()}@{self.settings.hostname}"
        )

    @cached_property
    def resolver(self) -> Resolver:
        servers = [parse_server(text, 53) for text in self.settings.dns.resolvers]
        return NetworkResolver(servers, self.clock, self.dice)

    @cached_property
    def tls(self) -> ServerTls:
        certificate, key = self.certificate_files
        return ServerTls(certificate, key, self.clock)

    @cached_property
    def certificate_files(self) -> tuple[Path, Path]:
        """The operator's certificate and key, or a self-signed pair that is made if need be."""
        wanted = self.settings.tls
        if bool(wanted.certificate) != bool(wanted.key):
            raise Misconfigured("tls.certificate and tls.key go together: set both or neither")
        if wanted.certificate:
            return Path(wanted.certificate), Path(wanted.key)
        made = ensure_self_signed(self.settings.data_path, self.settings.hostname, self.clock)
        return made.certificate, made.key

    @cached_property
    def passwords(self) -> Passwords:
        return Passwords(self.clock, self.dice)

    @cached_property
    def oauth(self) -> TokenVerifier | None:
        """Verifies tokens of the issuers in the settings; None if there are none."""
        from merpati.auth.oauth import TokenVerifier
        from merpati.net.fetch import HttpFetcher

        issuers = [msgspec.convert(msgspec.to_builtins(one), OAuthIssuer) for one in self.settings.auth.oauth]
        return TokenVerifier(issuers, HttpFetcher(), self.clock) if issuers else None

    @cached_property
    def plaintext_networks(self) -> tuple[Network, ...]:
        return parse_networks(self.settings.auth.plaintext_networks)

    @cached_property
    def authenticator(self) -> Authenticator:
        from merpati.auth.authenticator import Authenticator  # for the doors; a command starts sooner without it
        from merpati.auth.throttle import Throttle

        return Authenticator(
            DirectoryCredentials(self.directory), self.passwords, self.oauth, Throttle(), self.clock,
            plaintext_networks=self.plaintext_networks,
        )  # fmt: skip

    # What `merpati check` looks at: each says what it found, or raises

    async def check_bus(self) -> str:
        await self.bus.start()
        return await self.bus.check()

    async def check_store(self) -> str:
        await self._ensure_bucket()
        await probe(self.store, self.dice)
        return f"{await self.store.check()}; of many writers of a key one wins"

    async def check_directory(self) -> str:
        domains = await self.directory.domains()
        for domain in domains[:CHECKED]:
            await self.directory.accounts(domain.name)
        if lacking := self.directory.lacking:
            raise Unavailable(f"{lacking}; see `merpati domain verify`")
        if not domains:
            return "no domains yet: merpati domain add example.org"
        return f"{len(domains)} domains: {', '.join(domain.name for domain in domains[:5])}"

    async def check_tls(self) -> str:
        self.tls.context()
        kind = "" if self.settings.tls.certificate else "self-signed, "
        return f"{kind}{self.tls.certificate}"

    async def check_dns(self) -> str:
        names = ", ".join(self.settings.dns.resolvers) or "the system's resolvers"
        if self.settings.delivery.smarthost or "*" in self.settings.delivery.routes:
            return f"{names}; not needed to relay"
        await self.resolver.lookup("example.com", "MX")
        return f"{names} answer"
