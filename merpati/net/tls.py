"""TLS: contexts for servers, whose files are read again when they change, and for clients; what was agreed on.

Called by whoever listens or connects.  It opens no socket.  `self_signed` makes the pair that a first start needs.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from merpati.clock import Clock
from merpati.errors import Misconfigured

LOOK_AGAIN = 5.0
"""Seconds between looks at the certificate's files."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!RC4:!3DES"
"""For TLS 1.2 (TLS 1.3 has only good ones): forward secrecy always; CBC last, for mail servers that know no better."""


class TlsFacts(msgspec.Struct, frozen=True):
    """What client and server agreed on; `sni` is the name a client asked for, lower case, or empty."""

    version: str
    cipher: str
    bits: int
    sni: str = ""

    def __str__(self) -> str:
        return f"{self.version} {self.cipher} {self.bits} bits"


def facts_of(ssl_object: ssl.SSLObject | None) -> TlsFacts | None:
    """The facts of a connection's `ssl_object`; None in clear."""
    if ssl_object is None:
        return None
    cipher, _, bits = ssl_object.cipher() or ("", "", 0)
    return TlsFacts(ssl_object.version() or "", cipher, bits, getattr(ssl_object, "asked_for", ""))


def server_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """A server's context from two PEM files.  Raises `Misconfigured`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: TLS 1.0 and 1.1 must not be used
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.sni_callback = _remember_name
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
        raise Misconfigured(f"tls.certificate = {certificate}, tls.key = {key}: {reason}") from None
    return context


def _remember_name(ssl_object: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    # RFC 6066 section 3: the library tells the server the name only here
    ssl_object.asked_for = (name or "").lower()[:255]  # type: ignore[attr-defined]


class ServerTls:
    """A server's certificate, read again when its files change: no restart when it is renewed.

    `broken` is told once of each change that cannot be used; the pair read before stays in use meanwhile.
    """

    def __init__(
        self,
        certificate: str | Path,
        key: str | Path,
        clock: Clock,
        broken: Callable[[Misconfigured], None] = lambda _: None,
    ) -> None:
        self._files = (Path(certificate), Path(key))
        self._clock = clock
        self._broken = broken
        self._stamp = self._look()
        self._looked = clock.monotonic()
        self._context = server_context(*self._files)

    @property
    def certificate(self) -> Path:
        """The certificate's file."""
        return self._files[0]

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_AGAIN:
            self._looked = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._context

    def _read_again(self) -> None:
        try:
            self._context = server_context(*self._files)
        except Misconfigured as error:
            # half a renewal: the other file follows, and is a change of its own
            self._broken(error)

    def _look(self) -> Sequence[tuple[int, int, int] | None]:
        return [_stamp_of(file) for file in self._files]


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def opportunistic() -> ssl.SSLContext:
    """A client's context that takes any certificate: RFC 7435, better than clear text and no more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verified(authorities: str | Path = "") -> ssl.SSLContext:
    """A client's context that asks for a valid certificate of the right name, from the system's authorities or a file.

    Raises `Misconfigured`.
    """
    try:
        context = ssl.create_default_context(cafile=str(authorities) or None)
    except OSError as error:
        raise Misconfigured(f"certificate authorities in {authorities}: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
