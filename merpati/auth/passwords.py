"""Passwords: hashed with argon2id in threads, a few at a time; one verified a moment ago is remembered.

Called by the authenticator, and by the command line for `hash_password`.  The one door of argon2-cffi.  It knows no
account: what a hash belongs to is the caller's business.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
import msgspec

from merpati.auth.credentials import Secret
from merpati.clock import Clock
from merpati.errors import Temporary
from merpati.ids import Dice

T = TypeVar("T")


class PasswordLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What hashing may cost.  One hash takes 64 MiB and 40 to 160 ms of CPU."""

    workers: int = max(1, (os.cpu_count() or 2) // 2)
    """Hashes at once."""
    waiting: int = 200
    """Logins that may wait for a worker; the next is told to come back."""
    remembered: int = 20_000
    """Verified credentials in memory."""
    remember: float = 300.0
    """Seconds a verified credential is good for without hashing again."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether the password was right; `rehash`: its hash should be made anew with today's parameters."""

    right: bool
    rehash: bool = False


class Passwords:
    """Hashes and verifies."""

    def __init__(
        self,
        clock: Clock,
        dice: Dice,
        limits: PasswordLimits = PasswordLimits(),
        hasher: argon2.PasswordHasher | None = None,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._hasher = hasher or argon2.PasswordHasher()
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="argon2")
        self._waiting = 0
        self._key = dice.bytes(32)  # of this process: what is remembered says nothing to another
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[Verdict | Temporary]] = {}
        self._nobody = self._hash_of_nobody(dice)

    async def hash(self, password: Secret) -> str:
        """A new hash in PHC form.  Raises `Temporary` if too many wait."""
        return await self._in_thread(lambda: self._hasher.hash(_prepared(password)))

    async def verify(self, password_hash: str, password: Secret, who: str = "") -> Verdict:
        """Whether `password` is the one of `password_hash`, as `who` (a login name) says.

        "" is nobody's hash: it takes as long as any other and is never right, so that the time does not tell who
        exists.  A verified password is remembered by a keyed digest of all three, so a changed hash forgets.  Raises
        `Temporary` if too many wait.
        """
        digest = self._digest(password_hash, who, password)
        if password_hash and self._is_remembered(digest):
            return Verdict(True)
        task = self._running.get(digest)
        if task is None:
            # a client that opens ten connections at once costs one hash; `who` is in the digest, else it would show
            # that two users who are not here share the hash of nobody
            task = asyncio.create_task(self._verify(digest, password_hash, password))
            self._running[digest] = task
            task.add_done_callback(lambda _: self._running.pop(digest, None))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, Temporary):
            raise Temporary(outcome.public, code=outcome.reply_code, enhanced=outcome.enhanced_code)
        return outcome

    async def _verify(self, digest: bytes, password_hash: str, password: Secret) -> Verdict | Temporary:
        try:
            verdict = await self._in_thread(lambda: self._compare(password_hash, password))
        except Temporary as failure:
            return failure  # nobody may be left to take an exception
        if verdict.right:
            self._remember(digest)
        return verdict

    def _compare(self, password_hash: str, password: Secret) -> Verdict:
        try:
            self._hasher.verify(password_hash or self._nobody, _prepared(password))
        except argon2.exceptions.VerifyMismatchError:
            return Verdict(False)
        except (argon2.exceptions.InvalidHashError, argon2.exceptions.VerificationError, UnicodeEncodeError):
            # no hash of ours: take the usual time all the same
            return self._compare("", password) if password_hash else Verdict(False)
        if not password_hash:
            return Verdict(False)
        return Verdict(True, self._hasher.check_needs_rehash(password_hash))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._limits.waiting + self._limits.workers:
            raise Temporary("too many logins at once, try again later", code=454, enhanced="4.7.0")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _hash_of_nobody(self, dice: Dice) -> str:
        """A hash that no password has, with the parameters of a new one."""
        h = self._hasher
        salt, digest = (base64.b64encode(dice.bytes(n)).rstrip(b"=").decode() for n in (h.salt_len, h.hash_len))
        return f"$argon2id$v=19$m={h.memory_cost},t={h.time_cost},p={h.parallelism}${salt}${digest}"

    def fingerprint(self, *parts: bytes) -> bytes:
        """Eight bytes that tell one attempt from another, and nothing outside this process."""
        return self._keyed(parts, 8)

    def _digest(self, password_hash: str, who: str, password: Secret) -> bytes:
        return self._keyed(
            (password_hash.encode("utf-8", "replace"), who.encode("utf-8", "replace"), _prepared(password)), 32
        )

    def _keyed(self, parts: tuple[bytes, ...], size: int) -> bytes:
        keyed = hashlib.blake2b(key=self._key, digest_size=size)
        for part in parts:
            keyed.update(len(part).to_bytes(4, "big"))
            keyed.update(part)
        return keyed.digest()

    def _is_remembered(self, digest: bytes) -> bool:
        until = self._remembered.get(digest)
        if until is None:
            return False
        if until <= self._clock.monotonic():
            del self._remembered[digest]
            return False
        return True

    def _remember(self, digest: bytes) -> None:
        self._remembered[digest] = self._clock.monotonic() + self._limits.remember
        self._remembered.move_to_end(digest)
        while len(self._remembered) > self._limits.remembered:
            self._remembered.popitem(last=False)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def hash_password(password: str) -> str:
    """A new hash, for those who make one and no more."""
    return await asyncio.to_thread(lambda: argon2.PasswordHasher().hash(_prepared(Secret(password))))


def _prepared(password: Secret) -> bytes:
    """RFC 8265 section 4.2.2 (OpaqueString): spaces are ASCII, composed characters; what is no UTF-8 stays as it is."""
    raw = password.reveal()
    if raw.isascii():
        return raw
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in text)
    return unicodedata.normalize("NFC", spaced).encode("utf-8")
