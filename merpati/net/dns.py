"""Names: where a domain takes its mail, which addresses a host has, what its TXT records say.

Called by remote delivery, the MX door and the processors that authenticate mail.  Here are the rules of mail; the
asking itself is `lookup`, which `NetworkResolver` does over the network and `StaticResolver` from a table.  No look-up
leaves this process for an address or for localhost.
"""

from __future__ import annotations

import asyncio
import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import idna
import msgspec

from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.ids import Dice

Kind = Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "TLSA", "TXT"]

MAX_MX = 50
"""MX hosts that are handed on, the most preferred first."""
MAX_ADDRESSES = 50
"""Addresses of a host that are handed on, of each family."""
MAX_PTR = 20
"""Names of an address that are handed on."""
MAX_CNAMES = 16
"""Aliases that are followed, one after the other."""


class MxHost(msgspec.Struct, frozen=True):
    """A host that takes a domain's mail; the lowest preference is tried first."""

    preference: int
    host: str


class TlsaRecord(msgspec.Struct, frozen=True):
    """What a certificate must be like (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


Record = str | bytes | MxHost | TlsaRecord
"""A, AAAA, CNAME, NS, PTR: str, names in lower case without the last dot; TXT: bytes, its strings joined; MX; TLSA."""


class Answer(msgspec.Struct, frozen=True):
    """What was found; no records and `exists` is a name without such records, not `exists` is NXDOMAIN.

    `authenticated`: the resolver says it has checked DNSSEC.  Believe it if the way to the resolver is to be trusted.
    """

    records: tuple[Record, ...] = ()
    exists: bool = True
    authenticated: bool = False
    ttl: float = 0.0


class Resolver(ABC):
    """Look-ups by the rules of mail.

    All raise `Temporary` (4.4.3) if there was no answer: SERVFAIL, REFUSED, time-out, nonsense.
    """

    def __init__(self, dice: Dice) -> None:
        self._dice = dice

    @abstractmethod
    async def lookup(self, name: str, kind: Kind) -> Answer:
        """The records of `name`, aliases followed.  Raises `Temporary`; `Permanent` if it is no name at all."""

    async def mx(self, domain: str) -> list[MxHost]:
        """The hosts that take the domain's mail, in the order to try them; never empty.

        Raises `Permanent`: 5.1.2 no such domain, 5.1.10 it takes no mail (code 556), 5.4.4 nowhere to send it.
        """
        answer = await self.lookup(domain, "MX")
        if not answer.exists:
            raise Permanent("no such domain", enhanced="5.1.2", domain=domain)
        records = [record for record in answer.records if isinstance(record, MxHost)]
        hosts = [record for record in records if record.host]
        if records and not hosts:
            # RFC 7505 section 4: a null MX; beside other records it means nothing (section 3)
            raise Permanent("the domain takes no mail", code=556, enhanced="5.1.10", domain=domain)
        if not hosts:
            # RFC 5321 section 5.1: without MX records the domain itself is the host
            await self.addresses(domain)
            return [MxHost(0, ascii_name(domain))]
        best: dict[str, MxHost] = {}
        for record in sorted(hosts, key=lambda each: each.preference):
            best.setdefault(record.host, record)
        # RFC 5321 section 5.1: hosts of equal preference in random order, to spread the load
        return sorted(best.values(), key=lambda each: (each.preference, self._dice.uniform(0, 1)))[:MAX_MX]

    async def addresses(self, host: str) -> list[str]:
        """IPv4 and IPv6 addresses in turn; never empty.  An address is its own, and localhost is this machine.

        Raises `Permanent`: 5.1.2 no such host, 5.4.4 no address.
        """
        if (known := _known(host)) is not None:
            return known
        answers = await asyncio.gather(self.lookup(host, "A"), self.lookup(host, "AAAA"), return_exceptions=True)
        found: list[list[str]] = []
        failure: BaseException | None = None
        for answer in answers:
            if isinstance(answer, BaseException):
                failure = answer
            else:
                found.append(self._shuffled([each for each in answer.records if isinstance(each, str)]))
        if any(found):
            return _in_turn(found)
        if failure is not None:
            raise failure
        if not any(cast(Answer, answer).exists for answer in answers):
            raise Permanent("no such host", enhanced="5.1.2", host=host)
        raise Permanent("the host has no address", enhanced="5.4.4", host=host)

    def _shuffled(self, addresses: list[str]) -> list[str]:
        return sorted(addresses, key=lambda _: self._dice.uniform(0, 1))[:MAX_ADDRESSES]

    async def txt(self, name: str) -> list[bytes]:
        """The TXT records, the strings of each joined (RFC 7208 section 3.3); empty if there are none."""
        answer = await self.lookup(name, "TXT")
        return [record for record in answer.records if isinstance(record, bytes)]

    async def ptr(self, ip: str) -> list[str]:
        """The names of an address, empty if it has none; they are claims of whoever owns the address, no more."""
        answer = await self.lookup(ipaddress.ip_address(ip).reverse_pointer, "PTR")
        return [record for record in answer.records if isinstance(record, str)][:MAX_PTR]

    async def tlsa(self, host: str, port: int) -> Answer:
        """The TLSA records of a service (RFC 6698 section 3), `authenticated` or not: without it they say nothing."""
        return await self.lookup(f"_{port}._tcp.{host}", "TLSA")


class StaticResolver(Resolver):
    """Answers from a table: for tests, and for those who need no network.

    `zones` is name → kind → values as a zone file has them ("10 mx.example.org"), TXT without quotes.  A name with the
    kind "*" is one whose servers are broken.
    """

    def __init__(
        self, zones: Mapping[str, Mapping[str, Sequence[str]]], dice: Dice, *, authenticated: bool = False
    ) -> None:
        super().__init__(dice)
        self._zones = {ascii_name(name): kinds for name, kinds in zones.items()}
        self._authenticated = authenticated

    async def lookup(self, name: str, kind: Kind) -> Answer:
        at = ascii_name(name)
        for _ in range(MAX_CNAMES):
            kinds = self._zones.get(at)
            if kinds is None:
                # RFC 8020: a name below which there are names exists
                exists = any(other.endswith("." + at) for other in self._zones)
                return Answer(exists=exists, authenticated=self._authenticated)
            if "*" in kinds:
                raise no_answer(name, kind, "SERVFAIL")
            if "CNAME" in kinds and kind != "CNAME":
                at = ascii_name(kinds["CNAME"][0])
                continue
            records = tuple(_record(kind, value) for value in kinds.get(kind, ()))
            return Answer(records, authenticated=self._authenticated, ttl=60.0)
        raise no_answer(name, kind, "too many aliases")


def no_answer(name: str, kind: str, reason: str) -> Temporary:
    """The failure of a look-up that nobody answered."""
    return Temporary("name look-up failed, try again later", enhanced="4.4.3", name=name, kind=kind, reason=reason)


def ascii_name(name: str) -> str:
    """A name as DNS has it: A-labels, lower case, no last dot.  Raises `Permanent` (5.1.2) if it is none."""
    plain = name.removesuffix(".").lower()
    try:
        plain = plain if plain.isascii() else idna.encode(plain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _no_name(name) from None
    labels = plain.split(".")
    # RFC 1035 section 2.3.4: labels of 1 to 63 octets, 255 in all with their lengths
    if len(plain) > 253 or not all(0 < len(label) < 64 for label in labels):
        raise _no_name(name)
    if not all("!" <= letter <= "~" and letter != "\\" for letter in plain):
        raise _no_name(name)
    return plain


def _no_name(name: str) -> MerpatiError:
    return Permanent("not a domain name", enhanced="5.1.2", domain=name[:300])


def _known(host: str) -> list[str] | None:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    # RFC 6761 section 6.3: localhost is this machine, whatever a server says
    name = host.lower().removesuffix(".")
    return ["127.0.0.1", "::1"] if name == "localhost" or name.endswith(".localhost") else None


def _in_turn(families: list[list[str]]) -> list[str]:
    longest = max(len(family) for family in families)
    return [family[i] for i in range(longest) for family in families if i < len(family)]


def _record(kind: Kind, value: str) -> Record:
    if kind == "TXT":
        return value.encode("utf-8")
    if kind == "MX":
        preference, _, host = value.partition(" ")
        return MxHost(int(preference), "" if host == "." else ascii_name(host))
    if kind == "TLSA":
        usage, selector, matching, data = value.split()
        return TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(data))
    return str(ipaddress.ip_address(value)) if kind in ("A", "AAAA") else ascii_name(value)
