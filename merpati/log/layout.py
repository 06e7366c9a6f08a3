"""Where the objects of a log lie: the one place that makes its keys and reads numbers out of them (rules K1 to K7).

Numbers are written with twenty digits, so that keys sort as they count.  Snapshots and floors count down from 10^20:
the newest is what a listing gives first.
"""

from __future__ import annotations

from dataclasses import dataclass

from merpati.ids import AccountId, Digest

DIGITS = 20
TOP = 10**DIGITS


def log_of(account: AccountId) -> Layout:
    """The log of an account, or of a domain's directory, whose id is derived."""
    return Layout(f"accounts/{account}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys under one log's prefix."""

    prefix: str

    def commit(self, number: int) -> str:
        """K1: commit `number`; created only if absent, immutable."""
        return f"{self.prefix}/log/{number:020}"

    def snapshot(self, number: int) -> str:
        """K2: the state at commit `number`."""
        return f"{self.prefix}/snap/{TOP - number:020}"

    def floor(self, number: int) -> str:
        """K3: no commit below `number` may be claimed any more."""
        return f"{self.prefix}/floor/{TOP - number:020}"

    def chunk(self, digest: Digest) -> str:
        """K4: a piece of snapshots, named by what it holds."""
        return f"{self.prefix}/chunk/{digest}"

    def pack(self, name: str) -> str:
        """K5: attachments of many commits."""
        return f"{self.prefix}/pack/{name}"

    def past(self, name: str) -> str:
        """K6: the heads of many commits."""
        return f"{self.prefix}/past/{name}"

    def now(self, name: str) -> str:
        """K7: written to learn the store's time, and removed."""
        return f"{self.prefix}/now/{name}"

    @property
    def chunks(self) -> str:
        return f"{self.prefix}/chunk/"

    @property
    def pasts(self) -> str:
        return f"{self.prefix}/past/"

    @property
    def packs(self) -> str:
        return f"{self.prefix}/pack/"

    @property
    def commits(self) -> str:
        return f"{self.prefix}/log/"

    @property
    def snapshots(self) -> str:
        return f"{self.prefix}/snap/"

    @property
    def floors(self) -> str:
        return f"{self.prefix}/floor/"


def numbered(key: str) -> bool:
    """Whether a key ends as ours do; another one is foreign, and nobody but `verify` looks at it."""
    digits = key.rpartition("/")[2]
    return len(digits) == DIGITS and digits.isascii() and digits.isdigit()


def last_number(key: str) -> int:
    """The digits at the end of a key of a commit."""
    return int(key.rpartition("/")[2])


def counted_down(key: str) -> int:
    """The number that the key of a snapshot or a floor stands for."""
    return TOP - last_number(key)
