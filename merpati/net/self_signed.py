"""The certificate of a first start: self-signed, made once per data folder, by whichever process comes first.

Called by the components when the settings name no certificate.  The one door of `cryptography.x509`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from merpati.clock import Clock
from merpati.errors import Misconfigured

DAYS = 3650
"""How long it is valid: nobody renews it but us."""
RENEW_DAYS = 30
"""It is made anew when it is valid no longer than this."""
COMMON_NAME_MAX = 64
"""RFC 5280 appendix A.1, ub-common-name."""


class CertificateFiles(msgspec.Struct, frozen=True):
    """`certificate` and `key` are one file that only we may read; `public` is the certificate alone, for clients."""

    certificate: Path
    key: Path
    public: Path


def ensure_self_signed(data: Path, hostname: str, clock: Clock) -> CertificateFiles:
    """The pair in `data`/tls, made if it is not there, runs out soon or is for another name.

    Certificate and key are one file, moved into place whole, by one process at a time: those that start at once end up
    with the same pair.
    Raises `Misconfigured` if the folder cannot be written.
    """
    pair = data / "tls" / "self-signed.pem"
    public = data / "tls" / "self-signed.crt"
    try:
        pair.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(pair.parent):
            if not _still_good(pair, hostname, clock.time()):
                _put(pair, _make(hostname, clock.time()))
            certificate = x509.load_pem_x509_certificate(pair.read_bytes())
            pem = certificate.public_bytes(serialization.Encoding.PEM)
            if not public.exists() or public.read_bytes() != pem:
                _put(public, pem, mode=0o644)
    except OSError as error:
        raise Misconfigured(f"cannot keep a certificate in {pair.parent}: {error.strerror or error}") from None
    return CertificateFiles(pair, pair, public)


def _still_good(pair: Path, hostname: str, now: float) -> bool:
    try:
        raw = pair.read_bytes()
        certificate = x509.load_pem_x509_certificate(raw)
        serialization.load_pem_private_key(raw, None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    return _name(hostname) in names and certificate.not_valid_after_utc.timestamp() - now > RENEW_DAYS * 86_400


def _name(hostname: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(hostname))
    except ValueError:
        return x509.DNSName(_ascii(hostname))


def _ascii(hostname: str) -> str:
    if hostname.isascii():
        return hostname
    try:
        return hostname.encode("idna").decode("ascii")
    except UnicodeError:
        raise Misconfigured(f"hostname = {hostname!r} is not a host name") from None


def _make(hostname: str, now: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _ascii(hostname)[:COMMON_NAME_MAX] or "merpati")])
    # the names that clients of the same machine use are in it too: a first look with one's own mail client is local
    others = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "::1"))]
    names = [_name(hostname), *(name for name in others if name != _name(hostname))]
    today = datetime.datetime.fromtimestamp(now, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(hours=1))
        .not_valid_after(today + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # 0600 from the first moment
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
