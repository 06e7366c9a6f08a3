"""The verified name of a client's address: one that the address claims and that leads back to it.

Handed to the service as `reverse`.  A name that leads elsewhere is a lie and is not told; nothing waits for a look-up.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict

from merpati.clock import Clock
from merpati.errors import MerpatiError, Temporary
from merpati.net.addresses import plain_ip
from merpati.net.dns import Resolver

MAX_NAMES = 3
"""Names of one address that are looked at."""
REMEMBERED = 10_000
"""Addresses whose name is known without asking again."""
GOOD_FOR = 300.0
"""Seconds a name, or that there is none, is believed."""
WITHIN = 5.0
"""Seconds all the look-ups for one address may take; RFC 5321 section 4.4 only asks for the name, it needs none."""


class ReverseNames:
    """Names of addresses, remembered for a while."""

    def __init__(self, resolver: Resolver, clock: Clock, *, within: float = WITHIN) -> None:
        self._within = within
        self._resolver = resolver
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def __call__(self, ip: str) -> str:
        """The name of `ip`, or empty if it has none.  Raises `Temporary` if there was no answer."""
        if ipaddress.ip_address(ip).is_loopback:
            return ""
        until, name = self._known.get(ip, (0.0, ""))
        now = self._clock.monotonic()
        if until > now:
            return name
        try:
            async with asyncio.timeout(self._within):
                name = await self._look_up(ip)
        except TimeoutError:
            raise Temporary("the name of an address was not found in time", enhanced="4.4.3", ip=ip) from None
        self._known[ip] = (now + GOOD_FOR, name)
        self._known.move_to_end(ip)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return name

    async def _look_up(self, ip: str) -> str:
        for name in (await self._resolver.ptr(ip))[:MAX_NAMES]:
            try:
                addresses = await self._resolver.addresses(name)
            except MerpatiError:
                continue
            if ip in map(plain_ip, addresses):
                return name
        return ""
