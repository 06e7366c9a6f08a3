"""SASL mechanisms of a server (RFC 4422), without a socket: responses in, challenges and attempts out.

A mechanism is a class under `@mechanism`; that is all it takes to add one.  `converse` drives any of them: the protocol
(IMAP, POP3, SMTP, ManageSieve) gives it a way to ask, the authenticator a way to decide.  What a mechanism needs to
know of an account it asks for with an `Attempt` and gets in `Granted`: so SCRAM fits in, whose keys come first, whose
proof is checked between, and whose last message goes out before `Done`.
"""

from __future__ import annotations

import binascii
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import ClassVar, TypeVar

import msgspec

from merpati.auth.credentials import Credentials, PasswordAttempt, Refused, Secret, TokenAttempt
from merpati.errors import Permanent

MAX_RESPONSE = 12_288
"""Bytes of one response, decoded; RFC 4954 section 4 asks for lines of that length at least."""
MAX_USER = 320
"""Bytes of a login name: an address is never longer (RFC 3696 erratum 1690 says 254)."""
MAX_PASSWORD = 1_024
"""Bytes of a password."""


class Challenge(msgspec.Struct, frozen=True):
    """Say `data` to the client and give its response to `respond`."""

    data: bytes


class Attempt(msgspec.Struct, frozen=True):
    """Decide about `credentials` and give `Granted` or `Denied` to `resolve`."""

    credentials: Credentials


class Failed(msgspec.Struct, frozen=True):
    """It is over; `malformed` says that the client did not keep to the mechanism, else it was denied."""

    reason: str
    malformed: bool = True


class Done(msgspec.Struct, frozen=True):
    """It is over, and what was granted last is who the client is."""


class Granted(msgspec.Struct, frozen=True):
    """The attempt was good; `value` is what it asked for."""

    value: object


class Denied(msgspec.Struct, frozen=True):
    """The attempt was not good."""


Step = Challenge | Attempt | Failed | Done
Verdict = Granted | Denied


class Malformed(Permanent):
    """The client's response is not what the mechanism has: 501, BAD."""

    code = 501
    enhanced = "5.5.2"

    def __init__(self, reason: str = "malformed response") -> None:
        super().__init__(f"authentication: {reason}")


class Cancelled(Permanent):
    """The client sent `*` (RFC 4954 section 4; RFC 9051 section 6.2.2): 501, BAD."""

    code = 501
    enhanced = "5.0.0"

    def __init__(self) -> None:
        super().__init__("authentication cancelled")


class SaslFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a mechanism may tell or check beside what the client says."""

    scope: str = ""
    """The scope that a token needs."""
    discovery: str = ""
    """Where the issuer describes itself."""
    channel_binding: bytes = b""
    """Data of the TLS channel (RFC 9266), for -PLUS mechanisms."""


class Mechanism(ABC):
    """One exchange."""

    name: ClassVar[str]
    brings: ClassVar[type]
    """The kind of credentials it ends in."""
    reveals_secret: ClassVar[bool] = True
    """Whether someone who listens learns the secret: then it is for TLS only."""

    def __init__(self, facts: SaslFacts) -> None:
        self._facts = facts

    def start(self, initial: bytes | None) -> Step:
        """Begin, with the initial response if there was one (b"" is one that is empty)."""
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take a response."""
        if len(data) > MAX_RESPONSE:
            return Failed("response too long")
        return self._respond(data)

    @abstractmethod
    def _respond(self, data: bytes) -> Step: ...

    def resolve(self, verdict: Verdict) -> Step:
        """Take the decision about the last attempt."""
        return Done() if isinstance(verdict, Granted) else Failed("denied", malformed=False)


MECHANISMS: dict[str, type[Mechanism]] = {}
"""Every mechanism by its name, in the order they are offered."""

M = TypeVar("M", bound=type[Mechanism])


def mechanism(cls: M) -> M:
    """Put a mechanism on the list."""
    MECHANISMS[cls.name] = cls
    return cls


def offered(brings: Collection[type], *, safe: bool) -> tuple[str, ...]:
    """The mechanisms for the kinds of credentials that can be decided about; `safe` is TLS or a trusted network."""
    return tuple(name for name, cls in MECHANISMS.items() if cls.brings in brings and (safe or not cls.reveals_secret))


def begin(name: str, facts: SaslFacts = SaslFacts()) -> Mechanism | None:
    """A new exchange, or None for a mechanism that is not known; whether it was offered is the caller's to check."""
    cls = MECHANISMS.get(name.upper())
    return cls(facts) if cls is not None else None


@mechanism
class Plain(Mechanism):
    """RFC 4616: [authzid] NUL authcid NUL passwd."""

    name = "PLAIN"
    brings = PasswordAttempt

    def _respond(self, data: bytes) -> Step:
        parts = data.split(b"\0")
        if len(parts) != 3:
            return Failed("PLAIN has two NULs")
        act_as, user = _name_of(parts[0]), _name_of(parts[1])
        if act_as is None or not user or not _may_be_password(parts[2]):
            return Failed("PLAIN names a user and a password")
        # RFC 4616 section 2: who to act as; the same one is no wish at all
        return Attempt(PasswordAttempt(user, Secret(parts[2]), "" if act_as == user else act_as))


@mechanism
class Login(Mechanism):
    """draft-murchison-sasl-login: two questions, kept for clients that know nothing else."""

    name = "LOGIN"
    brings = PasswordAttempt
    _user = ""

    def start(self, initial: bytes | None) -> Step:
        # some clients send the user at once
        return self.respond(initial) if initial else Challenge(b"Username:")

    def _respond(self, data: bytes) -> Step:
        if self._user:
            if not _may_be_password(data):
                return Failed("not a password")
            return Attempt(PasswordAttempt(self._user, Secret(data)))
        user = _name_of(data)
        if not user:
            return Failed("not a user")
        self._user = user
        return Challenge(b"Password:")


# RFC 6750 section 2.1: b64token
_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*\Z")


class _Bearer(Mechanism):
    """What both token mechanisms share: a refusal is a challenge, whose response only ends the exchange."""

    brings = TokenAttempt
    _denied = False

    def resolve(self, verdict: Verdict) -> Step:
        if isinstance(verdict, Granted):
            return Done()
        # RFC 7628 section 3.2.3: the reason as JSON; the client must answer with a dummy before it fails
        self._denied = True
        return Challenge(json.dumps(self._reason()).encode())

    def _respond(self, data: bytes) -> Step:
        return Failed("denied", malformed=False) if self._denied else self._read(data)

    @abstractmethod
    def _read(self, data: bytes) -> Step: ...

    @abstractmethod
    def _reason(self) -> dict[str, str]: ...


@mechanism
class XOAuth2(_Bearer):
    """Google's predecessor of OAUTHBEARER: user=… ^A auth=Bearer … ^A ^A."""

    name = "XOAUTH2"

    def _read(self, data: bytes) -> Step:
        if not data.endswith(b"\1\1"):
            return Failed("XOAUTH2 ends in two ^A")
        pairs = _pairs(data[:-1])
        if pairs is None or set(pairs) != {b"user", b"auth"}:
            return Failed("XOAUTH2 has user and auth")
        user, token = _name_of(pairs[b"user"]), _token_of(pairs[b"auth"])
        if not user or token is None:
            return Failed("XOAUTH2 names a user and a token")
        return Attempt(TokenAttempt(user, token))

    def _reason(self) -> dict[str, str]:
        return {"status": "401", "schemes": "bearer", "scope": self._facts.scope}


@mechanism
class OAuthBearer(_Bearer):
    """RFC 7628: gs2-header ^A *(key=value ^A) ^A."""

    name = "OAUTHBEARER"

    def _read(self, data: bytes) -> Step:
        header, separator, rest = data.partition(b"\1")
        user = _gs2_user(header)
        if user is None or not separator or not rest.endswith(b"\1"):
            return Failed("malformed OAUTHBEARER")
        # RFC 7628 section 3.1: host, port and others may be there; only `auth` is asked for
        pairs = _pairs(rest[:-1])
        token = _token_of(pairs.get(b"auth", b"")) if pairs is not None else None
        if token is None:
            return Failed("OAUTHBEARER has one auth=Bearer")
        return Attempt(TokenAttempt(user, token))

    def _reason(self) -> dict[str, str]:
        reason = {"status": "invalid_token", "scope": self._facts.scope}
        return reason | ({"openid-configuration": self._facts.discovery} if self._facts.discovery else {})


def _gs2_user(header: bytes) -> str | None:
    # RFC 5801 section 4: channel binding flag, authzid; "p=" asks for a binding that bearer tokens do not have
    parts = header.split(b",")
    if len(parts) != 3 or parts[0] not in (b"n", b"y") or parts[2]:
        return None
    if not parts[1]:
        return ""
    if not parts[1].startswith(b"a=") or re.search(rb"=(?!2C|3D)", parts[1][2:]):
        return None
    return _name_of(parts[1][2:].replace(b"=2C", b",").replace(b"=3D", b"=")) or None


def _pairs(data: bytes) -> dict[bytes, bytes] | None:
    """key=value, each ended by ^A; None for anything else, and for a key that comes twice."""
    if not data:
        return {}
    if not data.endswith(b"\1"):
        return None
    found: dict[bytes, bytes] = {}
    for pair in data[:-1].split(b"\1"):
        key, equals, value = pair.partition(b"=")
        if not equals or not key.isalpha() or key.lower() in found:
            return None
        found[key.lower()] = value
    return found


def _token_of(value: bytes) -> Secret | None:
    scheme, _, token = value.partition(b" ")
    return Secret(token) if scheme.lower() == b"bearer" and _TOKEN.match(token) else None


def _name_of(raw: bytes) -> str | None:
    """A login name, maybe empty; None if it is none."""
    if len(raw) > MAX_USER:
        return None
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return name if name.isprintable() else None


def _may_be_password(raw: bytes) -> bool:
    return 0 < len(raw) <= MAX_PASSWORD and b"\0" not in raw


def password_attempt(user: bytes, password: bytes) -> PasswordAttempt:
    """An attempt that came without SASL: IMAP LOGIN, POP3 USER and PASS.  Raises `Malformed`."""
    name = _name_of(user)
    if not name or not _may_be_password(password):
        raise Malformed("not a user and a password")
    return PasswordAttempt(name, Secret(password))


# -- driving one -------------------------------------------------------------------------------------------------------

G = TypeVar("G")


async def converse(
    exchange: Mechanism,
    initial: bytes | None,
    ask: Callable[[bytes], Awaitable[bytes]],
    decide: Callable[[Credentials], Awaitable[G]],
) -> G:
    """Run a mechanism to its end; what `decide` granted last is returned.

    `ask` sends a challenge (not encoded) and returns the response (decoded); it raises `Cancelled` for `*`, which
    `decode_response` does.  Raises `Malformed`, `Cancelled`, what `decide` raises: `Refused`, `Temporary`.
    """
    granted: list[G] = []
    refused: Refused | None = None
    step = exchange.start(initial)
    while True:
        match step:
            case Challenge(data):
                try:
                    step = exchange.respond(await ask(data))
                except (Cancelled, Malformed):
                    if refused is not None:  # after it a client may say what it wants
                        raise refused from None
                    raise
            case Attempt(credentials):
                try:
                    granted.append(await decide(credentials))
                    step = exchange.resolve(Granted(granted[-1]))
                except Refused as refusal:
                    refused = refusal
                    step = exchange.resolve(Denied())
            case Failed(reason, malformed):
                raise refused or (Malformed(reason) if malformed else Refused(reason))
            case Done():
                return granted[-1]


def encode(data: bytes) -> bytes:
    """A challenge as it goes over the line: base64 (RFC 4648 section 4), no line breaks."""
    return binascii.b2a_base64(data, newline=False)


def decode_response(line: bytes) -> bytes:
    """A response line without its CRLF.  Raises `Cancelled` for `*`, `Malformed` for what is no strict base64."""
    if line == b"*":
        raise Cancelled
    if len(line) > (MAX_RESPONSE + 2) // 3 * 4:
        raise Malformed("response too long")
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise Malformed("not base64") from None


def decode_initial(argument: bytes | None) -> bytes | None:
    """The initial response of an AUTH command; `=` is one that is empty (RFC 4954 section 4, RFC 4959 section 3)."""
    if argument is None or argument == b"=":
        return None if argument is None else b""
    return decode_response(argument)
