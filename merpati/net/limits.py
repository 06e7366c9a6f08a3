"""What a connection, and a server of many, may hold and how long it may take.  Values, with their defaults."""

from __future__ import annotations

import msgspec


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may hold and how long it may take."""

    max_input: int = 65_536
    """Bytes read ahead before reading pauses; one read of the system's (256 KiB) may come on top."""
    write_ahead: int = 65_536
    """Bytes the peer has not taken yet before `drain` waits."""
    max_output: int = 8 << 20
    """Bytes the peer has not taken yet that more may be added to; beyond it the connection is aborted."""
    stall: float = 60.0
    """Seconds in which the peer must take `progress` bytes while `drain` waits."""
    progress: int = 16_384
    handshake: float = 30.0
    """Seconds for a TLS handshake."""
    linger: float = 10.0
    """Seconds that the last bytes and the closing of TLS may take after `close`."""


STREAM_LIMITS = StreamLimits()


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one listener takes on."""

    max_connections: int = 10_000
    """Open connections in all."""
    max_per_client: int = 50
    """Open connections of one address (IPv6: one /64)."""
    backlog: int = 1024
    """Connections the system holds for us until we take them."""
    proxy_header: float = 5.0
    """Seconds a trusted proxy has for its PROXY header."""


class Pace(msgspec.Struct, frozen=True):
    """How slowly a peer may send before it is a slowloris: `rate` bytes a second after `grace` seconds.

    Use: `read(until=pace.until(began, received))`, where `began` is the connection's `time()` when the first byte of
    the command or literal came, and `received` what came of it so far.
    """

    grace: float = 60.0
    rate: float = 500.0

    def until(self, began: float, received: int) -> float:
        """The moment by which the next bytes must be there."""
        return began + self.grace + received / self.rate
