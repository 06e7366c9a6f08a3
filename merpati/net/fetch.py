"""Fetching a small document over HTTPS, for what an operator or a policy names: key sets, MTA-STS policies.

Size, time and scheme are bounded, and a redirect is a failure: the document is where it was said to be (RFC 8461
section 3.3 asks for that; for keys it keeps an issuer from pointing us into our own network).  A door of aiohttp.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import aiohttp
import msgspec

from merpati.errors import Misconfigured, Unavailable
from merpati.net.addresses import is_within, parse_networks

LOOPBACK = parse_networks(["127.0.0.0/8", "::1/128"])


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a document may cost."""

    seconds: float = 5.0
    size: int = 256 * 1024


class HttpFetcher:
    """Fetches documents; one call is one connection."""

    def __init__(self, limits: FetchLimits = FetchLimits(), context: ssl.SSLContext | None = None) -> None:
        self._limits = limits
        self._context = context

    async def __call__(self, url: str) -> bytes:
        """The body at `url`.  Raises `Unavailable` with the reason; `Misconfigured` for a URL that is not allowed."""
        check_url(url)
        timeout = aiohttp.ClientTimeout(total=self._limits.seconds)
        tls = self._context or True
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(url, allow_redirects=False, ssl=tls) as response,
            ):
                if response.status != 200:
                    raise _unavailable(url, f"status {response.status}")
                return await self._body(url, response)
        except TimeoutError:
            raise _unavailable(url, "timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unavailable(url, type(error).__name__) from None

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        # counted after decompression: a small answer may unpack to a big one
        async for piece in response.content.iter_chunked(16_384):
            body += piece
            if len(body) > self._limits.size:
                raise _unavailable(url, f"longer than {self._limits.size} bytes")
        return bytes(body)


def check_url(url: str) -> None:
    """Hold a URL against what is fetched: https, or http on loopback.  Raises `Misconfigured`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise Misconfigured(f"{url!r} is not a URL") from None
    local = host == "localhost" or is_within(host, LOOPBACK)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise Misconfigured(f"{url!r} is not an https URL")


def _unavailable(url: str, reason: str) -> Unavailable:
    return Unavailable("a document could not be fetched", url=url, reason=reason)
