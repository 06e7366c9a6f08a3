"""Passwords: right and wrong, remembered and forgotten, a few at a time."""

import asyncio
import threading

import argon2
import pytest

from merpati.auth.credentials import Secret
from merpati.auth.passwords import PasswordLimits, Passwords, Verdict, hash_password
from merpati.clock import ManualClock
from merpati.errors import Temporary
from merpati.ids import SystemDice


class CountingHasher(argon2.PasswordHasher):
    """The real one, cheap, that counts what it verified and can be held up."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.verified: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.at_once = self.most_at_once = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.verified.append(str(hash))
        try:
            self.go.wait(10)
            return super().verify(hash, password)
        finally:
            self.at_once -= 1


def passwords(hasher: argon2.PasswordHasher, clock: ManualClock | None = None, **limits: float) -> Passwords:
    return Passwords(clock or ManualClock(), SystemDice(), PasswordLimits(**limits), hasher)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "given", "right"),
    [
        (b"secret", b"secret", True),
        (b"secret", b"Secret", False),
        (b"secret", b"secret ", False),
        ("gr\u00fc\u00dfe".encode(), "gru\u0308\u00dfe".encode(), True),  # composed here, not there
        ("a\u00a0b".encode(), b"a b", True),  # a space is a space
        (b"\xff\xfe", b"\xff\xfe", True),
        (b"\xff\xfe", b"\xff", False),
        (b"x" * 1024, b"x" * 1024, True),
        (b"x" * 1024, b"x" * 1023, False),
    ],
)
async def test_the_right_password_and_no_other(chosen: bytes, given: bytes, right: bool) -> None:
    keeper = passwords(CountingHasher())
    verdict = await keeper.verify(await keeper.hash(Secret(chosen)), Secret(given))
    assert verdict.right is right


async def test_a_hash_of_the_command_line_is_good_and_of_the_librarys_parameters() -> None:
    made = await hash_password("correct horse")
    assert made.startswith("$argon2id$")
    keeper = passwords(argon2.PasswordHasher())
    assert await keeper.verify(made, Secret("correct horse")) == Verdict(True, rehash=False)
    assert not (await keeper.verify(made, Secret("wrong"))).right


NO_HASHES = ["", "plain text", "{SSHA}abc", "$argon2id$v=19$m=8,t=1,p=1$bad", "$2y$10$abc", "gr\u00fc\u00dfe"]


@pytest.mark.parametrize("password_hash", NO_HASHES)
async def test_what_is_no_hash_is_never_right_and_takes_as_long(password_hash: str) -> None:
    hasher = CountingHasher()
    keeper = passwords(hasher)
    assert await keeper.verify(password_hash, Secret("secret")) == Verdict(False)
    real = [each for each in hasher.verified if each.startswith("$argon2id$v=19$m=8,t=1,p=1$") and len(each) > 60]
    assert len(real) == 1, "one hash of the usual parameters was computed"


async def test_the_hash_of_nobody_costs_what_a_new_one_costs() -> None:
    hasher = CountingHasher()
    keeper = passwords(hasher)
    nobody = argon2.extract_parameters(keeper._nobody)
    assert nobody == argon2.extract_parameters(await keeper.hash(Secret("x")))


async def test_a_verified_password_is_remembered_for_its_time_and_no_wrong_one() -> None:
    hasher, clock = CountingHasher(), ManualClock()
    keeper = passwords(hasher, clock, remember=300.0)
    made = await keeper.hash(Secret("secret"))
    for wait, given, hashes in [
        (0, "secret", 1),
        (299, "secret", 1),
        (0, "wrong", 2),
        (0, "wrong", 3),
        (2, "secret", 4),
    ]:
        await clock.advance(wait)
        assert (await keeper.verify(made, Secret(given))).right is (given == "secret")
        assert len(hasher.verified) == hashes


async def test_a_changed_password_is_not_remembered() -> None:
    hasher = CountingHasher()
    keeper = passwords(hasher)
    old, new = await keeper.hash(Secret("old")), await keeper.hash(Secret("new"))
    assert (await keeper.verify(old, Secret("old"))).right
    assert not (await keeper.verify(new, Secret("old"))).right
    assert not (await keeper.verify("", Secret("old"))).right


async def test_what_is_remembered_is_bounded_and_shows_no_password() -> None:
    keeper = passwords(CountingHasher(), remembered=3)
    made = await keeper.hash(Secret("secret"))
    for who in "abcdef":
        await keeper.verify(made, Secret("secret"), who)
    assert len(keeper._remembered) == 3
    other = passwords(CountingHasher())
    assert keeper.fingerprint(b"secret") != other.fingerprint(b"secret"), "a key of its own in each process"


async def test_an_old_hash_asks_to_be_made_anew() -> None:
    old = await passwords(CountingHasher(time_cost=1)).hash(Secret("secret"))
    keeper = passwords(CountingHasher(time_cost=2))
    assert await keeper.verify(old, Secret("secret")) == Verdict(True, rehash=True)
    assert await keeper.verify(old, Secret("wrong")) == Verdict(False)


async def test_connections_that_come_at_once_cost_one_hash() -> None:
    hasher = CountingHasher()
    keeper = passwords(hasher)
    made = await keeper.hash(Secret("secret"))
    hasher.go.clear()
    logins = [asyncio.create_task(keeper.verify(made, Secret("secret"), "alice")) for _ in range(10)]
    await asyncio.sleep(0.05)
    logins[0].cancel()
    hasher.go.set()
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert outcomes[1:] == [Verdict(True)] * 9
    assert len(hasher.verified) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_users_who_are_not_here_do_not_share_a_hash(known: bool) -> None:
    """Else two guesses at once would tell: users who are here never share one."""
    hasher = CountingHasher()
    keeper = passwords(hasher, workers=2)
    hashes = [await keeper.hash(Secret("x")) if known else "" for _ in range(2)]
    await asyncio.gather(*(keeper.verify(each, Secret("guess"), who) for each, who in zip(hashes, "ab", strict=True)))
    assert len(hasher.verified) == 2


async def test_a_few_at_a_time_and_the_loop_goes_on() -> None:
    hasher = CountingHasher()
    keeper = passwords(hasher, workers=2, waiting=5)
    made = await keeper.hash(Secret("secret"))
    hasher.go.clear()
    waiting = [asyncio.create_task(keeper.verify(made, Secret(f"{i}"))) for i in range(7)]
    await asyncio.sleep(0.05)
    with pytest.raises(Temporary) as caught:
        await keeper.verify(made, Secret("one too many"))
    assert caught.value.reply.startswith("454 4.7.0 ")
    hasher.go.set()
    assert [outcome.right for outcome in await asyncio.gather(*waiting)] == [False] * 7
    assert hasher.most_at_once == 2
    assert (await keeper.verify(made, Secret("secret"))).right, "and there is room again"
    keeper.close()
