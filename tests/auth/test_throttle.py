"""Throttling in virtual time: guessing gets slow, the right password does not, memory stays bounded."""

import pytest

from merpati.auth.throttle import Throttle, ThrottleLimits

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"


class Guesser:
    """Someone who tries one after the other, as fast as may be; `now` moves with the waits."""

    def __init__(self, throttle: Throttle, now: float = 1000.0) -> None:
        self.throttle = throttle
        self.now = now
        self.refused = 0
        self._count = 0

    def attempt(self, ip: str, user: str, *, right: bool = False, password: bytes | None = None) -> float:
        """Seconds the attempt waited."""
        self._count += 1
        fingerprint = password if password is not None else b"%08d" % self._count
        admission = self.throttle.admit(self.now, ip, user, fingerprint)
        if admission is None:
            self.refused += 1
            return float("inf")
        self.now += admission.wait
        self.throttle.settle(self.now, admission, right=right)
        return admission.wait


def test_the_first_failures_are_free_and_then_the_waits_grow() -> None:
    guesser = Guesser(Throttle())
    waits = [guesser.attempt(HERE, "alice") for _ in range(10)]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 15, 15, 15]


def test_a_hundred_guesses_take_long_and_the_right_password_works_afterwards() -> None:
    guesser = Guesser(Throttle())
    began = guesser.now
    for _ in range(100):
        guesser.attempt(HERE, "alice")
    assert guesser.now - began > 1200
    assert guesser.attempt(HERE, "alice", right=True) <= 15
    assert guesser.attempt(HERE, "alice", right=True) == 0, "and from then on without a wait"


@pytest.mark.parametrize("ips", [[HERE] * 100, [f"2001:db8::{i:x}" for i in range(100)]], ids=["one", "one /64"])
def test_a_spray_over_many_users_is_as_slow(ips: list[str]) -> None:
    guesser = Guesser(Throttle())
    began = guesser.now
    for i, ip in enumerate(ips):
        guesser.attempt(ip, f"user{i}")
    assert guesser.now - began > 1200


def test_many_connections_at_once_guess_no_faster_than_one() -> None:
    throttle = Throttle()
    guesser = Guesser(throttle)
    for _ in range(8):
        guesser.attempt(HERE, "alice")
    admissions = [throttle.admit(guesser.now, HERE, "alice", b"%d" % i) for i in range(50)]
    waits = [admission.wait for admission in admissions if admission is not None]
    assert waits == [15], "the next would wait 30 and is refused, as are the others"


def test_strangers_cannot_lock_a_user_out() -> None:
    throttle = Throttle()
    for i in range(200):
        Guesser(throttle, 1000.0 + i).attempt(f"203.0.113.{i}", "alice")
    guesser = Guesser(throttle, 1200.0)
    assert guesser.attempt(HERE, "alice") == 4, "slowed down, not locked out"
    assert guesser.attempt(HERE, "alice", right=True) == 4
    assert guesser.attempt(HERE, "alice", right=True) == 0
    assert guesser.attempt(HERE, "bob", right=True) == 0, "others are not concerned"


def test_a_place_one_has_logged_in_from_is_apart_from_its_neighbours() -> None:
    guesser = Guesser(Throttle())
    guesser.attempt(HERE, "alice", right=True)
    for i in range(20):
        guesser.attempt(HERE, f"user{i}")
    assert guesser.attempt(HERE, "alice", right=True) == 0
    assert guesser.attempt(HERE, "carol", right=True) == 15


def test_a_place_one_has_logged_in_from_is_no_place_to_guess_from() -> None:
    guesser = Guesser(Throttle())
    guesser.attempt(HERE, "alice", right=True)
    waits = [guesser.attempt(HERE, "alice") for _ in range(8)]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 15]


def test_an_own_account_does_not_clear_the_network() -> None:
    guesser = Guesser(Throttle())
    waits = []
    for i in range(10):
        waits.append(guesser.attempt(HERE, f"victim{i}"))
        guesser.attempt(HERE, "mallory", right=True)
    assert waits[-1] == 15


def test_a_phone_with_an_old_password_does_not_slow_its_office() -> None:
    guesser = Guesser(Throttle())
    for _ in range(600):  # ten hours
        assert guesser.attempt(HERE, "alice", password=b"old") == 0
        guesser.now += 60
    assert guesser.attempt(HERE, "bob", right=True) == 0


def test_the_same_wrong_password_in_a_flood_is_slowed_down_all_the_same() -> None:
    guesser = Guesser(Throttle())
    waits = [guesser.attempt(HERE, "alice", password=b"same") for _ in range(200)]
    assert waits[-1] == 15


def test_failures_are_forgotten() -> None:
    guesser = Guesser(Throttle())
    for _ in range(20):
        guesser.attempt(HERE, "alice")
    guesser.now += 3600
    assert guesser.attempt(HERE, "alice") == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(ThrottleLimits(remembered=100))
    for i in range(1000):
        Guesser(throttle).attempt(f"10.{i // 250}.0.{i % 250}", f"user{i}", right=i % 2 == 0)
    assert [len(table) for table in (throttle._networks, throttle._users, throttle._pairs)] == [100, 100, 100]


def test_an_undecided_attempt_counts_for_nothing() -> None:
    throttle = Throttle()
    for i in range(50):
        assert throttle.admit(1000.0, HERE, "alice", b"%d" % i) is not None
    assert Guesser(throttle).attempt(HERE, "alice") == 0
    assert Guesser(throttle).attempt(ELSEWHERE, "alice") == 0
