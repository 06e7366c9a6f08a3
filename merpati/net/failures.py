"""How a connection fails.  Raised by streams, dialing and the acceptor; here socket and TLS errors get words."""

from __future__ import annotations

import os
import ssl

from merpati.errors import Temporary


class Disconnected(Temporary):
    """The other side is gone, or we have given it up."""

    code = 421
    enhanced = "4.4.2"

    def __init__(self, public: str = "connection lost", *, enhanced: str = "", reason: str = "") -> None:
        super().__init__(public, enhanced=enhanced)
        if reason:
            self.facts["reason"] = reason


class TimedOut(Disconnected):
    """The other side said nothing for too long; the connection still works, to say so before closing it."""

    def __init__(self) -> None:
        super().__init__("timeout")


class PeerStalled(Disconnected):
    """The other side stopped reading what we write; the connection has been aborted."""

    def __init__(self) -> None:
        super().__init__("peer does not read")


class Draining(Disconnected):
    """This process is being stopped; raised only where `read(between=True)` waits, to say goodbye and close."""

    def __init__(self) -> None:
        super().__init__("shutting down")


class InjectedPlaintext(Temporary):
    """Bytes in clear came behind the command that asks for TLS (CVE-2011-0411): say BAD and close, upgrade nothing."""

    enhanced = "4.7.0"

    def __init__(self) -> None:
        super().__init__("bytes in clear behind the start of TLS")


class HandshakeFailed(Disconnected):
    """TLS could not be agreed on; the connection is gone."""

    enhanced = "4.7.5"

    def __init__(self, reason: str = "") -> None:
        super().__init__("TLS handshake failed", reason=reason)


def reason_of(error: OSError) -> str:
    """A network error in a few words, without the library's line numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or error.__class__.__name__).lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "timeout"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio puts its own words into `strerror`
    return error.strerror or str(error) or error.__class__.__name__
