"""The settings of `[bus.kafka]` as parameters of the two Kafka clients, and the brokers' addresses out of the URL.

Called by `KafkaBus` (and by whoever starts another Kafka client).  Options have the names that Kafka's own clients give
them, the Java names and librdkafka's.  Never logs a value.
"""

from __future__ import annotations

import difflib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from merpati.errors import Misconfigured

ALIASES = {
    "sasl.mechanisms": "sasl.mechanism",
    "sasl.plain.username": "sasl.username",
    "sasl.plain.password": "sasl.password",
    "ssl.cafile": "ssl.ca.location",
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.certfile": "ssl.certificate.location",
    "ssl.keystore.location": "ssl.certificate.location",
    "ssl.keyfile": "ssl.key.location",
    "ssl.keystore.password": "ssl.key.password",
    "ssl.cipher.suites": "ssl.ciphers",
}
"""Other names of the options, and the one used here.  Files are PEM."""

KNOWN = frozenset(
    {
        "client.id",
        "compression.type",
        "request.timeout.ms",
        "sasl.kerberos.service.name",
        "sasl.mechanism",
        "sasl.password",
        "sasl.password.file",
        "sasl.username",
        "security.protocol",
        "session.timeout.ms",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.ciphers",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
    }
)
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
COMPRESSIONS = ("none", "gzip")
"""What both clients can read without further libraries."""
REQUEST_MS = 15_000
SESSION_MS = 10_000
RETRY_MS = 250
"""Between a client's own attempts: each one that fails is a line in the log."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Parameters by their names in the clients.  `both` holds those that have one name in kafka-python and aiokafka."""

    both: dict[str, Any] = field(repr=False)
    compression: str | None = None
    session_ms: int = SESSION_MS


def addresses_of(url: str) -> list[str]:
    """`kafka://host:port,host:port` as a list of `host:port`.  Raises `Misconfigured`."""
    scheme, _, rest = url.partition("://")
    addresses = [address.strip() for address in rest.rstrip("/").split(",")]
    good = all(host and port.isdigit() for host, _, port in (address.rpartition(":") for address in addresses))
    if scheme != "kafka" or not good:
        raise Misconfigured("bus.url is not of the form kafka://host:port,host:port", url=url)
    return addresses


def client_options(options: Mapping[str, str]) -> ClientOptions:
    """What `[bus.kafka]` says.  Raises `Misconfigured`, naming the option and never its value."""
    given = {_known(name): value for name, value in options.items()}
    protocol = _one_of(given, "security.protocol", PROTOCOLS, "PLAINTEXT")
    request_ms = _milliseconds(given, "request.timeout.ms", REQUEST_MS)
    both: dict[str, Any] = {
        "client_id": given.get("client.id", "merpati"),
        "request_timeout_ms": request_ms,
        "retry_backoff_ms": RETRY_MS,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        both |= _sasl(given)
    if protocol.endswith("SSL"):
        both["ssl_context"] = _ssl_context(given)
    compression = _one_of(given, "compression.type", COMPRESSIONS, "none")
    return ClientOptions(
        both=both,
        compression=None if compression == "none" else compression,
        session_ms=_milliseconds(given, "session.timeout.ms", SESSION_MS),
    )


def _known(name: str) -> str:
    name = ALIASES.get(name, name)
    if name not in KNOWN:
        near = difflib.get_close_matches(name, [*KNOWN, *ALIASES], n=1)
        hint = f", perhaps {near[0]}" if near else f"; known are {', '.join(sorted(KNOWN))}"
        raise Misconfigured(f"bus.kafka has no option {name}{hint}")
    return name


def _one_of(given: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = given.get(name, default)
    for one in allowed:
        if value.casefold() == one.casefold():
            return one
    raise Misconfigured(f"bus.kafka {name} is one of {', '.join(allowed)}")


def _milliseconds(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if not value.isdigit() or int(value) == 0:
        raise Misconfigured(f"bus.kafka {name} is a number of milliseconds")
    return int(value)


def _sasl(given: Mapping[str, str]) -> dict[str, Any]:
    mechanism = _one_of(given, "sasl.mechanism", MECHANISMS, "PLAIN")
    if mechanism == "GSSAPI":
        service = given.get("sasl.kerberos.service.name", "kafka")
        return {"sasl_mechanism": mechanism, "sasl_kerberos_service_name": service}
    password = given.get("sasl.password", "")
    if path := given.get("sasl.password.file"):
        password = _text("sasl.password.file", path).strip()
    if not given.get("sasl.username") or not password:
        raise Misconfigured(f"bus.kafka {mechanism} needs sasl.username and sasl.password (or sasl.password.file)")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": given["sasl.username"],
        "sasl_plain_password": password,
    }


def _text(name: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise Misconfigured(f"bus.kafka {name} cannot be read: {error.strerror}", path=path) from error


def _ssl_context(given: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.get("ssl.ca.location"))
        if certificate := given.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, given.get("ssl.key.location"), given.get("ssl.key.password"))
        if ciphers := given.get("ssl.ciphers"):
            context.set_ciphers(ciphers)
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(f"bus.kafka: the TLS files or ciphers cannot be used: {error}") from error
    # Kafka's own switch: an empty algorithm turns the check of the host name off
    context.check_hostname = given.get("ssl.endpoint.identification.algorithm", "https") != ""
    return context
