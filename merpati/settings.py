"""The settings: one TOML file, each key overridable by `MERPATI_SECTION__KEY`.  Values only; `components` acts on them.

Every setting is documented here, where it is declared; `docs/settings.md` is generated from this file and a test
compares the two.  An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from merpati.errors import Misconfigured
from merpati.settings_reading import merge_environment, refuse_unknown

LISTENER = r"^(|.+:\d{1,5})$"
SPAN = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
WORDS = {LISTENER: '"address:port", or "" for off', SPAN: "a time such as 30s, 5m, 2h, 5d"}
Listener = Annotated[str, msgspec.Meta(pattern=LISTENER)]
Span = Annotated[str, msgspec.Meta(pattern=SPAN)]

PROHIBITED = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "fe80::/10",
    "ff00::/8",
)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(span: str) -> float:
    """A `Span` in seconds."""
    unit = "ms" if span.endswith("ms") else span[-1]
    return float(span[: -len(unit)]) * UNITS[unit]


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The event log."""

    url: str = "sqlite:"
    """`sqlite:` (in `data`) or `kafka://host:9092,host:9092`."""
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 8
    """Partitions of a topic when it is created: the most consumers of one group that can work at once."""
    prefix: str = ""
    """Put before every topic and group name: several installations on one Kafka."""
    kafka: dict[str, str] = {}
    """Client options by their Kafka names (`security.protocol`, `sasl.mechanism`, `ssl.ca.location` …), for every
    client we start."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The object store."""

    url: str = "file:"
    """`file:` (in `data`) or `s3://bucket?endpoint=http://127.0.0.1:9000`; keys come from AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or from files named by AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE."""
    cache: Annotated[int, msgspec.Meta(ge=0)] = 1 << 30
    """Bytes of immutable objects kept on this node's disk; 0 is none.  Only used with S3."""


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Mail in."""

    mx: Listener = "127.0.0.1:2525"
    """For other mail servers: STARTTLS, no login, no relaying."""
    submission: Listener = "127.0.0.1:2587"
    """For users: STARTTLS, then AUTH."""
    submissions: Listener = "127.0.0.1:2465"
    """For users: TLS from the start."""
    lmtp: Listener = ""
    """For a mail server in front of us, trusted to have checked its clients."""
    max_size: Annotated[int, msgspec.Meta(ge=65_536)] = 50 * 1024 * 1024
    """Bytes of a message."""
    max_recipients: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Recipients of one transaction."""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Open connections in all."""
    max_connections_per_client: Annotated[int, msgspec.Meta(ge=1)] = 50
    """Open connections of one address (IPv6: one /64)."""


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Mail read."""

    imap: Listener = "127.0.0.1:2143"
    """IMAP: STARTTLS, then login."""
    imaps: Listener = "127.0.0.1:2993"
    """IMAP: TLS from the start."""
    pop3: Listener = "127.0.0.1:2110"
    """POP3: STLS, then login."""
    pop3s: Listener = "127.0.0.1:2995"
    """POP3: TLS from the start."""
    managesieve: Listener = ""
    """Kept for ManageSieve, which is not served yet: it must be off."""
    max_connections: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Open connections in all."""
    max_connections_per_client: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Open connections of one address (IPv6: one /64)."""
    memory: Annotated[int, msgspec.Meta(ge=1 << 20)] = 256 << 20
    """Bytes of mailbox state a process remembers.  Mailboxes that sessions have open stay, and the others make room for
    them; beside it, up to 96 MiB of envelopes and packed mail that were read."""


class OAuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer whose tokens log users in (XOAUTH2, OAUTHBEARER)."""

    issuer: str
    """Must equal the token's `iss`."""
    jwks_url: str
    """Where its public keys are."""
    audience: str
    """Must be among the token's `aud`."""
    scope: str = ""
    """Must be among the token's scopes; empty asks for none."""
    claim: str = "email"
    """The claim that names the account."""


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Logging in."""

    plaintext_networks: tuple[str, ...] = ()
    """Who may log in without TLS: a proxy that terminates TLS, a test."""
    oauth: tuple[OAuthSettings, ...] = ()
    """Issuers of tokens, one `[[auth.oauth]]` each."""


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Mail out, to mailboxes and to other servers."""

    smarthost: str = ""
    """`host:port` that takes all mail for elsewhere; empty looks up the MX of each domain."""
    smarthost_user: str = ""
    """Who we log in as at the smarthost, under TLS; empty is nobody."""
    smarthost_password_file: str = ""
    """A file that holds the password, alone on its first line."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 25
    """The port of MX hosts."""
    routes: dict[str, str] = {}
    """Transport map: domain = "host:port"; goes before smarthost and MX."""
    tls: str = "may"
    """`may`: STARTTLS where offered, without looking at the certificate; `must`: never in clear; `verify`: a valid
    certificate for the name of the host."""
    prohibited: tuple[str, ...] = PROHIBITED
    """Networks that no MX may point into: this machine, this link, everyone.  Routes and the smarthost may."""
    retry: tuple[Span, ...] = ("1m", "5m", "20m", "1h", "4h")
    """The waits between attempts; the last one repeats until `give_up`."""
    warn: Span = "4h"
    """When the sender is told that a message is late."""
    give_up: Span = "5d"
    """When a message that could not be relayed goes back to its sender."""
    sessions: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Connections to other servers at once, per process."""
    sessions_per_domain: Annotated[int, msgspec.Meta(ge=1)] = 10
    """Of these, at most so many to one domain."""


class UpkeepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Keeping what is stored small and clean."""

    every: Span = "1d"
    """How often each account is looked at: mail is packed, what no state of the window needs is removed; 0s is off."""


class DnsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Looking names up."""

    resolvers: tuple[str, ...] = ()
    """`address:port` each; empty is the system's."""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Our certificate.  Both empty: a self-signed pair is made in `data` on first start."""

    certificate: str = ""
    """A PEM file, the chain included; read again when it changes."""
    key: str = ""
    """A PEM file."""


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What each process says of itself."""

    listen: Listener = "127.0.0.1:2080"
    """/metrics, /health/live and /health/ready."""


class ProcessorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One processor of the pipeline; they run in the order of the file."""

    use: str
    """A name of the entry point group `merpati.processors`, or `module:Class`."""
    name: str = ""
    """What it is called in traces and metrics; the name in `use` by default."""
    stage: str = "stream"
    """`edge`: before the 250, so that a refusal is an SMTP reply; `stream`: on the log."""
    mode: str = "enforce"
    """`enforce`, `shadow` or `canary:5%`: the last two record what would have happened."""
    timeout: Span = "10s"
    """How long it may take for one message."""
    on_error: str = "retry"
    """`retry`, `skip` or `quarantine`: what becomes of a message on which it raises or hangs."""
    isolation: str = ""
    """`inline` or `process`; empty: our own processors inline, others in a process of their own."""
    options: dict[str, object] = {}
    """The processor's own options, checked at start."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator decides."""

    hostname: str = "localhost"
    """Our name in greetings, Received fields and reports."""
    data: str = "./data"
    """The folder of the embedded bus and objects and of the generated certificate."""
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    ingest: IngestSettings = IngestSettings()
    access: AccessSettings = AccessSettings()
    auth: AuthSettings = AuthSettings()
    delivery: DeliverySettings = DeliverySettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    dns: DnsSettings = DnsSettings()
    tls: TlsSettings = TlsSettings()
    http: HttpSettings = HttpSettings()
    processors: tuple[ProcessorSettings, ...] = ()
    """The pipeline, in order."""

    @property
    def data_path(self) -> Path:
        """`data` as an absolute path."""
        return Path(self.data).absolute()


def load(file: str | None, environment: Mapping[str, str]) -> Settings:
    """The settings of `file`, else of MERPATI_CONFIG, else of ./merpati.toml if it is there, else the defaults.

    Relative paths in a file are taken from the file's folder.  Raises `Misconfigured`.
    """
    named = file or environment.get("MERPATI_CONFIG") or ""
    path = Path(named or "merpati.toml")
    text = _text_of(path, must=bool(named))
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path}: {error}") from None
    merge_environment(raw, environment, Settings)
    settings = parse(raw, str(path) if text else "the environment")
    return _anchored(settings, path.absolute().parent) if text else settings


def parse(raw: Mapping[str, object], where: str = "settings") -> Settings:
    """Settings from a mapping as TOML gives it.  Raises `Misconfigured`, naming the key."""
    refuse_unknown(raw, Settings, where)
    try:
        return msgspec.convert(raw, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{where}: {_in_words(str(error))}") from None


def _in_words(problem: str) -> str:
    """A validation error as an operator would say it: the key by its name, a pattern by its meaning."""
    reason, _, place = problem.partition(" - at `$.")
    for pattern, words in WORDS.items():
        if repr(pattern) in reason:
            reason = f"expected {words}"
    return f"`{place.rstrip('`')}`: {reason}" if place else reason


def _text_of(path: Path, *, must: bool) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        if must:
            raise Misconfigured(f"no settings file {path}") from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read {path}: {error}") from None


def _anchored(settings: Settings, folder: Path) -> Settings:
    def anchor(name: str) -> str:
        return str(folder / name) if name else name

    tls = msgspec.structs.replace(
        settings.tls, certificate=anchor(settings.tls.certificate), key=anchor(settings.tls.key)
    )
    delivery = msgspec.structs.replace(
        settings.delivery, smarthost_password_file=anchor(settings.delivery.smarthost_password_file)
    )
    return msgspec.structs.replace(settings, data=anchor(settings.data), tls=tls, delivery=delivery)
