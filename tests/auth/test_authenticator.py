"""Logging in, from an attempt to a principal: one refusal for every reason, no way around, no secret in sight."""

import asyncio
import traceback
from typing import Any

import argon2
import pytest

from merpati.auth.authenticator import Authenticator, Outcome
from merpati.auth.credentials import (
    AccountCredentials,
    ClientFacts,
    Credentials,
    DirectoryCredentials,
    EncryptionRequired,
    PasswordAttempt,
    Principal,
    Refused,
    Secret,
    TokenAttempt,
    TooManyFailures,
)
from merpati.auth.oauth import TokenVerifier
from merpati.auth.passwords import PasswordLimits, Passwords
from merpati.auth.sasl import SaslFacts
from merpati.auth.throttle import Throttle
from merpati.clock import ManualClock
from merpati.directory.api import AccountEntry
from merpati.errors import Permanent, Temporary, Unavailable
from merpati.ids import AccountId, SystemDice
from merpati.net.addresses import parse_networks
from tests.auth.signing import ISSUER, NOW, claims, jwks, signed

HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SAFE = ClientFacts("192.0.2.1", True, "imap")
CLEAR = ClientFacts("192.0.2.1", False, "imap")


class People:
    """Accounts in a table."""

    def __init__(self) -> None:
        self.down = False
        self.table: dict[str, AccountCredentials] = {}
        for name, secret, enabled in [
            ("alice", "right", True),
            ("bob", "bobs", True),
            ("off", "right", False),
            ("master", "key", True),
        ]:
            address = f"{name}@a.example"
            self.table[address] = AccountCredentials(
                AccountId(f"id-{name}"), address, HASHER.hash(secret), enabled, version=3
            )
        self.table["tokens@a.example"] = AccountCredentials(AccountId("id-tokens"), "tokens@a.example", "", True, 1)

    async def credentials(self, login: str) -> AccountCredentials | None:
        if self.down:
            raise Unavailable("directory is down")
        return self.table.get(login.lower())


class Door:
    """An authenticator and what it is made of."""

    def __init__(self, **options: Any) -> None:
        self.people = People()
        self.clock = ManualClock(NOW)
        self.outcomes: list[Outcome] = []
        self.issuer_down = False
        self.passwords = Passwords(self.clock, SystemDice(), PasswordLimits(), HASHER)
        self.throttle = Throttle()
        oauth = TokenVerifier([ISSUER], self._fetch, self.clock)
        self.authenticator = Authenticator(
            self.people, self.passwords, oauth, self.throttle, self.clock, report=self.outcomes.append, **options
        )

    async def _fetch(self, _: str) -> bytes:
        if self.issuer_down:
            raise Unavailable("down", reason="timeout")
        return jwks()

    async def login(self, attempt: Credentials, client: ClientFacts = SAFE) -> Principal:
        task = asyncio.create_task(self.authenticator.authenticate(attempt, client))
        while not task.done():
            await asyncio.sleep(0.001)
            if self.clock.next_due is not None:
                await self.clock.advance(1)
        return await task


def password(user: str, secret: str, act_as: str = "") -> PasswordAttempt:
    return PasswordAttempt(user, Secret(secret), act_as)


def token(user: str, **said: Any) -> TokenAttempt:
    return TokenAttempt(user, Secret(signed(claims(**said))))


ALICE = Principal(AccountId("id-alice"), "alice@a.example", 3)

GOOD = [
    (password("alice@a.example", "right"), ALICE),
    (password("Alice@A.example", "right"), ALICE),
    (password("alice@a.example", "right", "ALICE@a.example"), ALICE),
    (token("alice@a.example"), ALICE),
    (token(""), ALICE),
    (token("Alice@a.example"), ALICE),
    (token("", email="tokens@a.example"), Principal(AccountId("id-tokens"), "tokens@a.example", 1)),
]

BAD = [
    (password("alice@a.example", "wrong"), "wrong password"),
    (password("alice@a.example", ""), "wrong password"),
    (password("nobody@a.example", "right"), "unknown user"),
    (password("off@a.example", "right"), "disabled"),
    (password("tokens@a.example", "x"), "wrong password"),  # has no password
    (password("alice@a.example", "right", "bob@a.example"), "may not act as another"),
    (password("alice@a.example", "right", "nobody@a.example"), "may not act as another"),
    (token("bob@a.example"), "token of another user"),
    (token("nobody@a.example"), "token of another user"),
    (token("", email="nobody@a.example"), "unknown user"),
    (token("", email="off@a.example"), "disabled"),
    (token("", exp=1), "expired"),
    (TokenAttempt("alice@a.example", Secret("junk")), "not a signed token"),
]


@pytest.mark.parametrize(("attempt", "principal"), GOOD)
async def test_who_is_right_is_let_in(attempt: Credentials, principal: Principal) -> None:
    door = Door()
    assert await door.login(attempt) == principal
    assert [(outcome.what, outcome.account_id) for outcome in door.outcomes] == [("accepted", principal.account_id)]


@pytest.mark.parametrize(("attempt", "why"), BAD)
async def test_every_refusal_sounds_the_same_and_the_log_knows_why(attempt: Credentials, why: str) -> None:
    door = Door()
    with pytest.raises(Refused) as caught:
        await door.login(attempt)
    assert caught.value.reply == "535 5.7.8 authentication failed"
    assert [(outcome.what, outcome.why) for outcome in door.outcomes] == [("refused", why)]


async def test_nothing_is_decided_in_clear_unless_the_operator_trusts_the_network() -> None:
    door = Door(plaintext_networks=parse_networks(["198.51.100.0/24"]))
    for attempt, _ in GOOD + BAD:
        with pytest.raises(EncryptionRequired) as caught:
            await door.login(attempt, CLEAR)
        assert caught.value.reply_code == 538
    trusted = ClientFacts("198.51.100.7", False, "pop3")
    assert await door.login(GOOD[0][0], trusted) == ALICE
    assert door.authenticator.mechanisms(trusted) == ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
    assert door.authenticator.mechanisms(SAFE) == ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
    assert door.authenticator.mechanisms(CLEAR) == ()
    assert door.outcomes[0].what == "in-clear"


async def test_without_an_issuer_no_token_is_taken_or_offered() -> None:
    door = Door()
    plain = Authenticator(door.people, door.passwords, None, door.throttle, door.clock)
    assert plain.mechanisms(SAFE) == ("PLAIN", "LOGIN")
    assert plain.sasl_facts == SaslFacts()
    with pytest.raises(Refused):
        await plain.authenticate(token(""), SAFE)
    assert door.authenticator.sasl_facts == SaslFacts(
        scope="mail", discovery="https://id.example/.well-known/openid-configuration"
    )


@pytest.mark.parametrize("attempt", [GOOD[0][0], BAD[0][0], GOOD[3][0]])
async def test_while_the_directory_is_down_it_is_temporary_and_counts_for_nothing(attempt: Credentials) -> None:
    door = Door()
    door.people.down = True
    for _ in range(20):
        with pytest.raises(Temporary):
            await door.login(attempt)
    door.people.down = False
    before = door.clock.time()
    assert await door.login(GOOD[0][0]) == ALICE
    assert door.clock.time() == before, "no wait"
    assert door.outcomes[0].what == "temporary"


async def test_while_the_issuer_is_down_tokens_are_temporary_and_passwords_work() -> None:
    door = Door()
    door.issuer_down = True
    with pytest.raises(Temporary):
        await door.login(token(""))
    assert await door.login(GOOD[0][0]) == ALICE


async def test_one_may_act_as_another_if_the_operator_says_so() -> None:
    door = Door(may_act_as=lambda who, other: who.address == "master@a.example")
    as_bob = await door.login(password("master@a.example", "key", "bob@a.example"))
    assert as_bob.account_id == "id-bob"
    for refused in [
        password("bob@a.example", "bobs", "alice@a.example"),
        password("master@a.example", "key", "off@a.example"),
        password("master@a.example", "wrong", "bob@a.example"),
    ]:
        with pytest.raises(Refused):
            await door.login(refused)


async def test_guessing_gets_slow_and_the_right_password_works_afterwards() -> None:
    door = Door()
    began = door.clock.time()
    for i in range(30):
        with pytest.raises(Refused):
            await door.login(password("alice@a.example", f"guess{i}"))
    assert door.clock.time() - began > 250
    assert await door.login(GOOD[0][0]) == ALICE


async def test_a_crowd_of_guesses_is_turned_away_without_a_look() -> None:
    door = Door()
    for i in range(8):
        with pytest.raises(Refused):
            await door.login(password("alice@a.example", f"guess{i}"))
    crowd = [door.login(password("alice@a.example", f"more{i}")) for i in range(50)]
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)
    assert sum(isinstance(outcome, TooManyFailures) for outcome in outcomes) >= 48
    assert {outcome.what for outcome in door.outcomes} == {"refused", "throttled"}


async def test_a_user_who_is_not_here_costs_the_same_work() -> None:
    """What takes the time is one hash of the same parameters, for each of them."""
    door = Door()
    costs: dict[str, list[tuple[int, int, int]]] = {}
    verify = door.passwords._hasher.verify

    class Counting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, given: str | bytes) -> bool:
            parameters = argon2.extract_parameters(str(hash))
            costs[user].append((parameters.memory_cost, parameters.time_cost, parameters.parallelism))
            return verify(hash, given)

    door.passwords._hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    for user in ("alice@a.example", "nobody@a.example", "off@a.example", "tokens@a.example"):
        costs[user] = []
        with pytest.raises(Refused):
            await door.login(password(user, "wrong"))
    assert list(costs.values()) == [[(8, 1, 1)]] * 4


async def test_a_changed_or_disabled_account_is_not_let_in_from_memory() -> None:
    door = Door()
    assert await door.login(GOOD[0][0]) == ALICE
    old = door.people.table["alice@a.example"]
    door.people.table["alice@a.example"] = AccountCredentials(
        old.account, old.address, HASHER.hash("new"), True, old.version + 1
    )
    with pytest.raises(Refused):
        await door.login(GOOD[0][0])
    assert (await door.login(password("alice@a.example", "new"))).version == 4
    door.people.table["alice@a.example"] = AccountCredentials(old.account, old.address, old.password_hash, False, 5)
    with pytest.raises(Refused):
        await door.login(GOOD[0][0])


async def test_an_old_hash_is_made_anew_and_a_failure_to_keep_it_hurts_nobody() -> None:
    kept: list[tuple[str, str]] = []

    async def upgrade(account: AccountCredentials, fresh: str) -> None:
        kept.append((account.address, fresh))
        if len(kept) == 1:
            raise Unavailable("directory is down")

    door = Door(upgrade=upgrade)
    door.passwords._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    assert await door.login(GOOD[0][0]) == ALICE
    await door.clock.advance(400)  # beyond what is remembered
    assert await door.login(GOOD[0][0]) == ALICE
    assert [address for address, _ in kept] == ["alice@a.example"] * 2
    assert "$m=8,t=2,p=1$" in kept[1][1]


CANARY = "hunter2canary"


@pytest.mark.parametrize(
    "attempt",
    [
        password("alice@a.example", CANARY),
        password(CANARY, CANARY),  # typed into the wrong field
        TokenAttempt("alice@a.example", Secret(CANARY)),
        TokenAttempt("alice@a.example", Secret(signed(claims(exp=1, jti=CANARY)))),
    ],
)
async def test_a_secret_is_in_no_error_no_outcome_and_no_traceback(attempt: Credentials) -> None:
    door = Door()
    with pytest.raises(Refused) as caught:
        await door.login(attempt)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts) + repr(door.outcomes)
    secret = attempt.password if isinstance(attempt, PasswordAttempt) else attempt.token
    assert secret.reveal().decode() not in shown
    assert CANARY not in shown


async def test_a_login_name_for_the_log_is_one_line_and_looks_like_an_address() -> None:
    door = Door()
    for name, shown in [
        ("alice@a.example", "alice@a.example"),
        ("a@b\r\nINFO ok", ""),
        ("secret pass@word", ""),
        ("x" * 400 + "@", "x" * 320),
    ]:
        with pytest.raises(Refused):
            await door.login(password(name, "wrong"), ClientFacts(f"203.0.113.{len(door.outcomes)}", True, "imap"))
        assert door.outcomes[-1].login == shown


class Listed:
    """A directory of one account, as far as logging in asks."""

    async def account(self, address: str) -> AccountEntry | None:
        if "@" not in address:
            raise Permanent("not an address")
        return AccountEntry(AccountId("i"), address.lower(), "hash", True, 7) if address.startswith("a") else None


@pytest.mark.parametrize(
    ("login", "found"),
    [
        ("A@x", None),
        ("a@X", AccountCredentials(AccountId("i"), "a@x", "hash", True, 7)),
        ("nobody@x", None),
        ("../admin", None),
        ("", None),
    ],
)
async def test_the_directory_is_a_source_of_credentials(login: str, found: AccountCredentials | None) -> None:
    assert await DirectoryCredentials(Listed()).credentials(login) == found  # type: ignore[arg-type]
