"""Where a domain's mail goes next: a route of the operator's, the smarthost, or the MX records, in this order.

Called by the worker; asks the resolver, connects to nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from merpati.errors import Permanent, Temporary
from merpati.net.dns import Resolver

MAX_HOSTS = 10
"""MX hosts tried for one message; RFC 5321 section 5.1 asks for at least two."""
MAX_ADDRESSES = 10
"""Addresses tried in all."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host to connect to: the name its certificate should have, an address, a port."""

    host: str
    address: str
    port: int
    login: bool = False
    """Whether our smarthost credentials are for this host."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The operator's wishes: `routes` by domain, `.parent` or `*`; these and `smarthost` are "host:port" or empty."""

    routes: Mapping[str, str]
    smarthost: str
    port: int
    login: bool = False
    prohibited: tuple[str, ...] = ()
    """Networks that no MX may point into; a route or the smarthost may."""


class Targets:
    """Finds the next hops of a domain."""

    def __init__(self, resolver: Resolver, routing: Routing) -> None:
        self._resolver = resolver
        self._routing = routing
        self._prohibited = tuple(ipaddress.ip_network(network) for network in routing.prohibited)

    async def find(self, domain: str) -> list[Target]:
        """Hosts in the order to try them.  Raises `Permanent` (no such domain, null MX) or `Temporary` (no answer)."""
        if route := self._route(domain):
            return await self._fixed(route, login=False)
        if self._routing.smarthost:
            return await self._fixed(self._routing.smarthost, login=self._routing.login)
        if domain.startswith("["):  # RFC 5321 section 4.1.3: an address literal is its own next hop
            return self._allowed([self._literal(domain)])
        return await self._exchangers(domain)

    def _route(self, domain: str) -> str:
        routes = self._routing.routes
        if domain in routes:
            return routes[domain]
        parts = domain.split(".")
        parents = (routes.get("." + ".".join(parts[i:])) for i in range(1, len(parts)))
        return next((route for route in parents if route), "") or routes.get("*", "")

    async def _fixed(self, place: str, *, login: bool) -> list[Target]:
        host, _, port = place.rpartition(":")
        host = host.strip("[]")
        addresses = [host] if _is_address(host) else await self._resolver.addresses(host)
        return [Target(host, address, int(port), login) for address in addresses[:MAX_ADDRESSES]]

    def _literal(self, domain: str) -> Target:
        text = domain.strip("[]").removeprefix("IPv6:").removeprefix("ipv6:")
        if not _is_address(text):
            raise Permanent("not an address literal", enhanced="5.1.2", domain=domain)
        return Target(domain, text, self._routing.port)

    async def _exchangers(self, domain: str) -> list[Target]:
        found: list[Target] = []
        trouble: Temporary | None = None
        for exchanger in (await self._resolver.mx(domain))[:MAX_HOSTS]:
            try:
                addresses: Sequence[str] = await self._resolver.addresses(exchanger.host)
            except Temporary as failure:
                trouble = failure
                continue
            except Permanent:
                continue  # an MX host without an address; the others may have one
            found += [Target(exchanger.host, address, self._routing.port) for address in addresses]
        if found:
            return self._allowed(found)[:MAX_ADDRESSES]
        raise trouble or Permanent("no mail host of the domain has an address", enhanced="5.4.4", domain=domain)

    def _allowed(self, targets: list[Target]) -> list[Target]:
        allowed = [target for target in targets if not self._forbidden(target.address)]
        if not allowed:
            raise Permanent("the domain's mail host is not a public address", enhanced="5.4.4")
        return allowed

    def _forbidden(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self._prohibited if network.version == ip.version)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
