"""Names as processors look them up: `merpati.plugins.Dns` over the resolver that everything else uses.

A name that is not there, or is none, has no records; only a question without an answer is a failure.
"""

from __future__ import annotations

from merpati.errors import Permanent
from merpati.net.dns import MxHost, Record, Resolver

MAX_RECORDS = 100
"""Records of one answer that are handed on."""


class Names:
    """`merpati.plugins.Dns`."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def txt(self, name: str) -> list[bytes]:
        """TXT records, the strings of each joined.  Raises `Temporary`."""
        return [record for record in await self._records(name, "TXT") if isinstance(record, bytes)]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        """(preference, host), the most preferred first; a host may be empty: it takes no mail (RFC 7505)."""
        hosts = [record for record in await self._records(name, "MX") if isinstance(record, MxHost)]
        return sorted((host.preference, host.host) for host in hosts)

    async def addresses(self, name: str) -> list[str]:
        """IPv4 and IPv6 addresses.  Raises `Temporary`."""
        try:
            return await self._resolver.addresses(name)
        except Permanent:
            return []

    async def names(self, address: str) -> list[str]:
        """What an IP address is said to be called.  Raises `Temporary`."""
        try:
            return await self._resolver.ptr(address)
        except (Permanent, ValueError):
            return []

    async def _records(self, name: str, kind: str) -> tuple[Record, ...]:
        try:
            return (await self._resolver.lookup(name, kind)).records[:MAX_RECORDS]  # type: ignore[arg-type]
        except Permanent:
            return ()
