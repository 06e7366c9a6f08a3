"""Mechanisms: tables of what clients send, and exchanges driven to their end."""

import base64
import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.auth.credentials import Credentials, PasswordAttempt, Refused, Secret, TokenAttempt
from merpati.auth.sasl import (
    MAX_RESPONSE,
    MECHANISMS,
    Attempt,
    Cancelled,
    Challenge,
    Denied,
    Done,
    Failed,
    Granted,
    Malformed,
    Mechanism,
    SaslFacts,
    Step,
    Verdict,
    begin,
    converse,
    decode_initial,
    decode_response,
    encode,
    mechanism,
    offered,
    password_attempt,
)
from merpati.errors import Temporary

FACTS = SaslFacts(scope="mail", discovery="https://id.example/.well-known/openid-configuration")


def exchange(name: str) -> Mechanism:
    found = begin(name, FACTS)
    assert found is not None
    return found


def password(user: str, secret: str, act_as: str = "") -> Attempt:
    return Attempt(PasswordAttempt(user, Secret(secret), act_as))


def token(user: str, secret: str) -> Attempt:
    return Attempt(TokenAttempt(user, Secret(secret)))


GOOD = [
    ("PLAIN", b"\0alice@a.example\0secret", password("alice@a.example", "secret")),
    ("plain", b"\0alice\0pass word\xc3\xa9", password("alice", "pass word\u00e9")),
    ("PLAIN", b"alice\0alice\0secret", password("alice", "secret")),  # authzid says nothing new
    ("PLAIN", b"bob\0alice\0secret", password("alice", "secret", "bob")),
    ("PLAIN", b"\0alice\0" + b"x" * 1024, password("alice", "x" * 1024)),
    ("LOGIN", b"alice", Challenge(b"Password:")),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer ya29.x-_~+/==\1\1", token("a@b.c", "ya29.x-_~+/==")),
    ("XOAUTH2", b"user=a@b.c\1auth=bearer x\1\1", token("a@b.c", "x")),
    ("OAUTHBEARER", b"n,a=a@b.c,\1host=h\1port=143\1auth=Bearer x.y.z\1\1", token("a@b.c", "x.y.z")),
    ("OAUTHBEARER", b"n,,\1auth=Bearer x\1\1", token("", "x")),
    ("OAUTHBEARER", b"y,,\1auth=BEARER x\1\1", token("", "x")),
    ("OAUTHBEARER", b"n,a=a=2Cb=3Dc,\1auth=Bearer x\1\1", token("a,b=c", "x")),
]

BAD = [
    ("PLAIN", b""),
    ("PLAIN", b"alice\0secret"),  # one NUL
    ("PLAIN", b"\0alice\0sec\0ret"),  # three
    ("PLAIN", b"\0\0\0"),
    ("PLAIN", b"\0\0secret"),
    ("PLAIN", b"\0alice\0"),
    ("PLAIN", b"\0ali\xffce\0secret"),
    ("PLAIN", b"\0ali\r\nce\0secret"),
    ("PLAIN", b"\0ali\xe2\x80\xaece\0secret"),  # U+202E
    ("PLAIN", b"bo\nb\0alice\0secret"),
    ("PLAIN", b"\0" + b"a" * 321 + b"\0secret"),
    ("PLAIN", b"\0alice\0" + b"x" * 1025),
    ("PLAIN", b"\0alice\0" + b"x" * MAX_RESPONSE),
    ("LOGIN", b"\xff"),
    ("XOAUTH2", b""),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer x\1"),
    ("XOAUTH2", b"user=a@b.c\1\1"),
    ("XOAUTH2", b"auth=Bearer x\1\1"),
    ("XOAUTH2", b"user=\1auth=Bearer x\1\1"),
    ("XOAUTH2", b"user=a@b.c\1user=b@b.c\1auth=Bearer x\1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer x\1auth=Bearer y\1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Basic x\1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer \1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer x y\1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer x\n\1\1"),
    ("XOAUTH2", b"user=a@b.c\1auth=Bearer x\1more=1\1\1"),
    ("OAUTHBEARER", b""),
    ("OAUTHBEARER", b"\1"),
    ("OAUTHBEARER", b"n,,auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,,\1auth=Bearer x\1"),
    ("OAUTHBEARER", b"n,,\1\1"),
    ("OAUTHBEARER", b"n,,\1auth=Bearer x\1auth=Bearer y\1\1"),
    ("OAUTHBEARER", b"p=tls-exporter,,\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,b=a@b.c,\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,a=,\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,a=a=41b,\1auth=Bearer x\1\1"),  # only =2C and =3D are there
    ("OAUTHBEARER", b"n,a=\xff,\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,,\1noequals\1auth=Bearer x\1\1"),
    ("OAUTHBEARER", b"n,,\1auth=Bearer \xff\1\1"),
]


@pytest.mark.parametrize(("name", "response", "step"), GOOD)
def test_a_response_is_read(name: str, response: bytes, step: Step) -> None:
    assert exchange(name).start(response) == step


@pytest.mark.parametrize(("name", "response", "step"), [row for row in GOOD if row[0] != "LOGIN"])
def test_without_an_initial_response_an_empty_challenge_asks_for_it(name: str, response: bytes, step: Step) -> None:
    one = exchange(name)
    assert one.start(None) == Challenge(b"")
    assert one.respond(response) == step


@pytest.mark.parametrize(("name", "response"), BAD)
def test_a_malformed_response_ends_it(name: str, response: bytes) -> None:
    step = exchange(name).start(response)
    assert isinstance(step, Failed)
    assert step.malformed
    assert "secret" not in step.reason


@pytest.mark.parametrize("initial", [None, b""])
def test_login_asks_two_questions(initial: bytes | None) -> None:
    one = exchange("LOGIN")
    assert one.start(initial) == Challenge(b"Username:")
    assert one.respond(b"alice") == Challenge(b"Password:")
    assert one.respond(b"secret") == password("alice", "secret")
    assert one.resolve(Granted("alice")) == Done()


@pytest.mark.parametrize("response", [b"", b"a\0b", b"x" * 1025])
def test_login_takes_no_odd_password(response: bytes) -> None:
    one = exchange("LOGIN")
    one.start(b"alice")
    assert isinstance(one.respond(response), Failed)


def test_a_password_mechanism_fails_at_once_when_denied() -> None:
    one = exchange("PLAIN")
    one.start(b"\0alice\0secret")
    assert one.resolve(Denied()) == Failed("denied", malformed=False)


@pytest.mark.parametrize(
    ("name", "response", "reason"),
    [
        ("XOAUTH2", b"user=a@b.c\1auth=Bearer x\1\1", {"status": "401", "schemes": "bearer", "scope": "mail"}),
        (
            "OAUTHBEARER",
            b"n,,\1auth=Bearer x\1\1",
            {"status": "invalid_token", "scope": "mail", "openid-configuration": FACTS.discovery},
        ),
    ],
)
@pytest.mark.parametrize("dummy", [b"", b"\1", b"n,,\1auth=Bearer y\1\1"])
def test_a_denied_token_is_explained_before_it_fails(
    name: str, response: bytes, reason: dict[str, str], dummy: bytes
) -> None:
    one = exchange(name)
    one.start(response)
    step = one.resolve(Denied())
    assert isinstance(step, Challenge)
    assert json.loads(step.data) == reason
    assert one.respond(dummy) == Failed("denied", malformed=False), "not even a good token helps now"


@given(st.sampled_from(list(MECHANISMS)), st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_end_in_a_step(name: str, responses: list[bytes]) -> None:
    one = exchange(name)
    step = one.start(None)
    for response in responses:
        if not isinstance(step, Challenge):
            break
        step = one.respond(response)
    assert isinstance(step, Challenge | Attempt | Failed)


# -- the list ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brings", "safe", "names"),
    [
        ({PasswordAttempt}, True, ("PLAIN", "LOGIN")),
        ({PasswordAttempt, TokenAttempt}, True, ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")),
        ({PasswordAttempt, TokenAttempt}, False, ()),
        (set(), True, ()),
    ],
)
def test_what_is_offered_can_be_decided_and_is_safe(brings: set[type], safe: bool, names: tuple[str, ...]) -> None:
    assert offered(brings, safe=safe) == names


@pytest.mark.parametrize("name", ["", "CRAM-MD5", "PLAIN ", "ＰＬＡＩＮ"])
def test_an_unknown_mechanism_is_none(name: str) -> None:
    assert begin(name) is None


# -- base64 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "data"), [(b"", b""), (b"AQ==", b"\1"), (b"YQ==", b"a"), (b"YWJj", b"abc")])
def test_base64_is_read(line: bytes, data: bytes) -> None:
    assert decode_response(line) == data
    assert encode(data) == line


@pytest.mark.parametrize(
    "line",
    [
        b"YQ",
        b"YQ=",
        b"YQ===",
        b"Y Q==",
        b"YQ==\r",
        b"YQ==YQ==",
        b"=",
        b"====",
        b"Y*==",
        b"**",
        b"-_-_",
        b"YWJj" * 5000,
        b"\xff\xff\xff\xff",
    ],
)
def test_what_is_no_strict_base64_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode_response(line)
    assert caught.value.reply_code == 501


def test_a_star_cancels() -> None:
    with pytest.raises(Cancelled):
        decode_response(b"*")


def test_the_longest_response_fits() -> None:
    longest = b"x" * MAX_RESPONSE
    assert decode_response(base64.b64encode(longest)) == longest
    with pytest.raises(Malformed):
        decode_response(base64.b64encode(longest + b"xxx"))


@pytest.mark.parametrize(("argument", "data"), [(None, None), (b"=", b""), (b"AGE=", b"\0a")])
def test_an_initial_response_may_be_empty(argument: bytes | None, data: bytes | None) -> None:
    assert decode_initial(argument) == data


# -- to the end --------------------------------------------------------------------------------------------------------


def answering(*responses: bytes | Exception) -> tuple[Callable[[bytes], Awaitable[bytes]], list[bytes]]:
    left, asked = list(responses), list[bytes]()

    async def ask(challenge: bytes) -> bytes:
        asked.append(challenge)
        response = left.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    return ask, asked


async def yes(credentials: Credentials) -> str:
    return credentials.user


async def no(_: Credentials) -> str:
    raise Refused("wrong password")


async def later(_: Credentials) -> str:
    raise Temporary("directory is down")


PLAIN = b"\0alice\0secret"
BEARER = b"n,a=alice,\1auth=Bearer x\1\1"


@pytest.mark.parametrize(
    ("name", "initial", "responses"),
    [
        ("PLAIN", PLAIN, []),
        ("PLAIN", None, [PLAIN]),
        ("LOGIN", None, [b"alice", b"secret"]),
        ("OAUTHBEARER", BEARER, []),
    ],
)
async def test_a_conversation_ends_in_who_it_is(name: str, initial: bytes | None, responses: list[bytes]) -> None:
    ask, asked = answering(*responses)
    assert await converse(exchange(name), initial, ask, yes) == "alice"
    assert len(asked) == len(responses)


@pytest.mark.parametrize(
    ("name", "initial", "responses", "decide", "error"),
    [
        ("PLAIN", PLAIN, [], no, Refused),
        ("PLAIN", PLAIN, [], later, Temporary),
        ("PLAIN", b"junk", [], yes, Malformed),
        ("PLAIN", None, [Cancelled()], yes, Cancelled),
        ("PLAIN", None, [Malformed("not base64")], yes, Malformed),
        ("LOGIN", None, [b"alice", Cancelled()], yes, Cancelled),
        ("OAUTHBEARER", BEARER, [b"\1"], no, Refused),
        ("OAUTHBEARER", BEARER, [Cancelled()], no, Refused),
        ("OAUTHBEARER", BEARER, [Malformed()], no, Refused),
        ("OAUTHBEARER", BEARER, [BEARER], no, Refused),
        ("OAUTHBEARER", BEARER, [], later, Temporary),
    ],
)
async def test_a_conversation_ends_in_the_reason(
    name: str, initial: bytes | None, responses: list[bytes | Exception], decide: Any, error: type[Exception]
) -> None:
    ask, asked = answering(*responses)
    with pytest.raises(error):
        await converse(exchange(name), initial, ask, decide)
    assert len(asked) == len(responses)


async def test_a_mechanism_of_many_steps_fits_in() -> None:
    """The shape of SCRAM: keys are asked for, a proof is checked between, the server speaks last."""

    class Countersign(Mechanism):
        name = "X-COUNTERSIGN"
        brings = PasswordAttempt
        reveals_secret = False
        _keys: object = None
        _user = ""

        def _respond(self, data: bytes) -> Step:
            if self._user == "":
                self._user = data.decode()
                return Attempt(PasswordAttempt(self._user, Secret(b"")))
            if data == b"":
                return Attempt(PasswordAttempt(self._user, Secret(b"proved")))
            return Challenge(b"server proof") if data == b"client proof" else Failed("wrong proof", malformed=False)

        def resolve(self, verdict: Verdict) -> Step:
            if not isinstance(verdict, Granted):
                return Failed("denied", malformed=False)
            if self._keys is None:
                self._keys = verdict.value
                return Challenge(f"salt of {self._keys}".encode())
            return Done()

    async def decide(credentials: Credentials) -> str:
        assert isinstance(credentials, PasswordAttempt)
        return "principal" if credentials.password == Secret("proved") else "keys"

    mechanism(Countersign)
    try:
        assert offered({PasswordAttempt}, safe=False) == ("X-COUNTERSIGN",)
        ask, asked = answering(b"client proof", b"")
        assert await converse(exchange("x-countersign"), b"alice", ask, decide) == "principal"
        assert asked == [b"salt of keys", b"server proof"]
        ask, _ = answering(b"wrong")
        with pytest.raises(Refused):
            await converse(exchange("x-countersign"), b"alice", ask, decide)
    finally:
        del MECHANISMS["X-COUNTERSIGN"]


# -- without SASL, and secrets -----------------------------------------------------------------------------------------


def test_a_login_without_sasl_has_the_same_rules() -> None:
    assert password_attempt(b"alice", b"secret") == PasswordAttempt("alice", Secret("secret"))
    for user, secret in [(b"", b"x"), (b"a\r\nb", b"x"), (b"a", b""), (b"a", b"x\0y"), (b"a" * 321, b"x")]:
        with pytest.raises(Malformed):
            password_attempt(user, secret)


def test_a_secret_does_not_show() -> None:
    attempt = PasswordAttempt("alice", Secret("hunter2-canary"))
    shown = f"{attempt} {attempt!r} {attempt.password} {attempt.password!r} {attempt.password:>30} {vars}"
    assert "canary" not in shown
    for write in (pickle.dumps, msgspec.json.encode, json.dumps, hash):
        with pytest.raises(TypeError):
            write(attempt.password)
    assert attempt.password == Secret(b"hunter2-canary")
    assert attempt.password != Secret("other")
    assert attempt.password != "hunter2-canary"
