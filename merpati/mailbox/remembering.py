"""Which accounts a process remembers: those used of late, under a byte limit.  Kept by `mailboxes`.

An account that a session holds is shared for as long as it is held, and counts: the others make room for it.  It goes
from memory the moment nobody holds it, so nothing that an account owns may refer back to it.
"""

from __future__ import annotations

from collections import OrderedDict
from weakref import ref

from merpati.ids import AccountId
from merpati.mailbox.account import MailAccount


class Remembered:
    """Accounts by id."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes that all of them may take together."""
        self._limit = limit
        self._live: dict[AccountId, ref[MailAccount]] = {}
        self._recent: OrderedDict[AccountId, MailAccount] = OrderedDict()
        self._weights: dict[AccountId, int] = {}
        self.weight = 0
        """Bytes of all that are in memory, held or not."""

    def __len__(self) -> int:
        """Those in memory."""
        return len(self._live)

    def get(self, id: AccountId) -> MailAccount | None:
        """The account, if it is in memory."""
        found = self._live.get(id)
        return found() if found is not None else None

    def all(self) -> list[MailAccount]:
        """Those in memory."""
        return [account for found in list(self._live.values()) if (account := found()) is not None]

    def use(self, account: MailAccount) -> None:
        """It is wanted now: of those that nobody holds it is the last to go."""
        if self.get(account.id) is not account:
            mine = ref(self)

            def gone(dead: ref[MailAccount]) -> None:
                if (remembered := mine()) is not None:
                    remembered._gone(account_id, dead)

            account_id = account.id
            self._live[account_id] = ref(account, gone)
        self._recent[account.id] = account
        self._recent.move_to_end(account.id)
        if account.id not in self._weights:
            self.weigh(account)

    def weigh(self, account: MailAccount) -> None:
        """It may have another weight than before."""
        if self.get(account.id) is not account:
            return
        weight = account.weight
        self.weight += weight - self._weights.get(account.id, 0)
        self._weights[account.id] = weight
        while self.weight > self._limit and len(self._recent) > 1:
            self._recent.popitem(last=False)

    def clear(self) -> None:
        """Hold no account any more."""
        self._recent.clear()

    def _gone(self, id: AccountId, dead: ref[MailAccount]) -> None:
        if self._live.get(id) is dead:
            del self._live[id]
            self.weight -= self._weights.pop(id, 0)
