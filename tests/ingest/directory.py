"""A directory in a dictionary, for the tests of the doors: the rules of `merpati.directory.api`, none of its log."""

from __future__ import annotations

import msgspec

from merpati.directory.api import AccountEntry, DomainEntry, LocalTarget, Resolution
from merpati.errors import Unavailable
from merpati.ids import derived_account_id

NOBODY = Resolution(local_domain=True)
ELSEWHERE = Resolution(local_domain=False)


class MemoryDirectory:
    """Accounts and aliases of some domains.  `down` makes every look-up fail."""

    def __init__(self, *addresses: str, aliases: dict[str, tuple[str, ...]] | None = None, catch_all: str = "") -> None:
        self.down = False
        self._accounts = {address: AccountEntry(derived_account_id(address), address) for address in addresses}
        self._aliases = aliases or {}
        self._catch_all = catch_all
        self._domains = sorted({address.partition("@")[2] for address in addresses})

    def set_password(self, address: str, password_hash: str) -> None:
        """Another password: the entry's version rises, as in the real directory."""
        if (entry := self._accounts.get(address)) is not None:
            self._accounts[address] = msgspec.structs.replace(
                entry, password_hash=password_hash, version=entry.version + 1
            )

    def disable(self, address: str) -> None:
        entry = self._accounts[address]
        self._accounts[address] = msgspec.structs.replace(entry, enabled=False, version=entry.version + 1)

    async def resolve(self, address: str) -> Resolution:
        self._reach()
        local, _, domain = address.lower().rpartition("@")
        if not local and domain == "postmaster":
            local, domain = domain, self._domains[0]
        if domain not in self._domains:
            return ELSEWHERE
        for name in (local, local.partition("+")[0]):
            if (found := self._accounts.get(f"{name}@{domain}")) is not None:
                return Resolution(True, (LocalTarget(found.id, found.address, local.partition("+")[2]),))
            if (targets := self._aliases.get(f"{name}@{domain}")) is not None:
                return await self._followed(targets)
        return await self._followed((self._catch_all,)) if self._catch_all else NOBODY

    async def _followed(self, targets: tuple[str, ...]) -> Resolution:
        ends = [await self.resolve(target) for target in targets]
        accounts = tuple(account for end in ends for account in end.accounts)
        return Resolution(
            True, accounts, tuple(t for t, end in zip(targets, ends, strict=True) if not end.local_domain)
        )

    async def account(self, address: str) -> AccountEntry | None:
        self._reach()
        local, _, domain = address.lower().rpartition("@")
        return self._accounts.get(f"{local.partition('+')[0]}@{domain}")

    async def may_send_as(self, account: AccountEntry, address: str) -> bool:
        found = await self.resolve(address)
        return [target.account for target in found.accounts] == [account.id] and not found.remote

    async def domains(self) -> list[DomainEntry]:
        self._reach()
        return [DomainEntry(name) for name in self._domains]

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("directory cannot be reached")
