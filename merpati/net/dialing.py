"""Going to a server: a `Connection` that we opened.  Called by the SMTP client; name look-up is `dns`'s, not ours."""

from __future__ import annotations

import asyncio
import ssl

from merpati.net.failures import Disconnected, HandshakeFailed, reason_of
from merpati.net.limits import STREAM_LIMITS, StreamLimits
from merpati.net.streams import Connection


async def connect(
    host: str,
    port: int,
    *,
    limits: StreamLimits = STREAM_LIMITS,
    timeout: float = 30.0,
    source: str = "",
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
) -> Connection:
    """A connection to `host` (an address), with TLS from the start if `tls` is given.

    Raises `Disconnected` with the reason, `HandshakeFailed` if TLS is at fault.
    """
    connection = Connection(limits)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                host,
                port,
                local_addr=(source, 0) if source else None,
                ssl=tls,
                server_hostname=(server_hostname or host) if tls else None,
                ssl_handshake_timeout=limits.handshake if tls else None,
                ssl_shutdown_timeout=limits.linger if tls else None,
            )
    except ssl.SSLError as error:
        raise HandshakeFailed(reason_of(error)) from None
    except OSError as error:
        raise Disconnected("cannot connect", reason=reason_of(error), enhanced="4.4.1") from None
    return connection
