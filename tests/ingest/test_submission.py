"""The doors for users: logging in, whose address may be used, where mail may go, what is put in."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from ingest.house import Decider
from ingest.limits import Limits
from merpati.auth.credentials import ClientFacts, Credentials, Principal, Refused, TokenAttempt
from merpati.auth.sasl import SaslFacts, offered
from merpati.errors import Unavailable
from merpati.ids import derived_account_id
from tests.ingest.directory import MemoryDirectory
from tests.ingest.world import Talk, World, world


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


PLAIN = f"AUTH PLAIN {b64(chr(0) + 'ann@here.test' + chr(0) + 'secret')}"
WRONG = f"AUTH PLAIN {b64(chr(0) + 'ann@here.test' + chr(0) + 'guess')}"
MESSAGE = b"From: Ann <ann@here.test>\r\nSubject: x\r\n\r\nhello\r\n"
EHLO = "C: EHLO client.test\nS: 250-mx.here.test\n"
IN = EHLO + f"C: {PLAIN}\nS: 235 2.7.0\n"

SUBMISSIONS = {
    "plain with an initial response": EHLO + f"C: {PLAIN}\nS: 235 2.7.0",
    "plain in two steps": EHLO + f"C: AUTH PLAIN\nS: 334 $\nC: {PLAIN[11:]}\nS: 235 2.7.0",
    "login in three steps": EHLO
    + f"""
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: {b64("ann@here.test")}
        S: 334 UGFzc3dvcmQ6
        C: {b64("secret")}
        S: 235 2.7.0""",
    "login with the user at once": EHLO
    + f"""
        C: auth login {b64("ANN@here.test")}
        S: 334
        C: {b64("secret")}
        S: 235 2.7.0""",
    "what is offered": """
        C: EHLO client.test
        S: (?s)(?=.*250.AUTH PLAIN LOGIN)(?!.*STARTTLS)250-""",
    "wrong password": EHLO + f"C: {WRONG}\nS: 535 5.7.8",
    "unknown user": EHLO + f"C: AUTH PLAIN {b64(chr(0) + 'zoe@here.test' + chr(0) + 'x')}\nS: 535 5.7.8",
    "acting as another": EHLO
    + f"C: AUTH PLAIN {b64(chr(0).join(('bob@here.test', 'ann@here.test', 'secret')))}\nS: 535",
    "given up": EHLO + "C: AUTH PLAIN\nS: 334\nC: *\nS: 501 5\nC: NOOP\nS: 250",
    "no base64": EHLO + "C: AUTH PLAIN !!!\nS: 501 5.5.2\nC: AUTH LOGIN\nS: 334\nC: \u00fc\nS: 501 5.5.2",
    "no mechanism": EHLO + "C: AUTH\nS: 501 5.5.4\nC: AUTH CRAM-MD5\nS: 504 5.5.4\nC: AUTH XOAUTH2 x\nS: 504 5.5.4",
    "too many words": EHLO + f"C: {PLAIN} x\nS: 501",
    # HOSTILE A6
    "twice": IN + f"C: {PLAIN}\nS: 503 5.5.1",
    "before ehlo": f"C: {PLAIN}\nS: 503 5.5.1",
    "a line too long": EHLO + f"C: AUTH PLAIN {'x' * 12_400}\nS: 500 5.5.6\nC: NOOP\nS: 250",
    "a response too long": EHLO + f"C: AUTH PLAIN\nS: 334\nC: {'x' * 12_400}\nS: 500 5.5.6\nC: NOOP\nS: 250",
    "a megabyte of response": EHLO + f"C: AUTH PLAIN\nS: 334\nC: {'x' * 1_000_000}\nS: 500 5.5.6\nC: NOOP\nS: 250",
    "an answer that was not waited for": EHLO + f"C> AUTH PLAIN\\r\\n{PLAIN[11:]}\\r\\n\nS: 554 5.5.0\nS.",
    "five failures": EHLO + f"C: {WRONG}\nS: 535\n" * 4 + f"C: {WRONG}\nS: 421 4.7.0\nS.",
    "mail needs a login": EHLO
    + """
        C: MAIL FROM:<ann@here.test>
        S: 530 5.7.0
        C: RCPT TO:<bob@here.test>
        S: 530 5.7.0
        C: DATA
        S: 530 5.7.0
        C: VRFY ann
        S: 252""",
    "the sender must be one's own": IN
    + """
        C: MAIL FROM:<bob@here.test>
        S: 553 5.7.1
        C: MAIL FROM:<who@else.test>
        S: 553 5.7.1
        C: MAIL FROM:<ann@here.test>
        S: 250
        C: RSET
        S: 250
        C: MAIL FROM:<Ann+shop@HERE.test>
        S: 250
        C: RSET
        S: 250
        C: MAIL FROM:<>
        S: 250""",
    "no login in a transaction": EHLO + f"C: {PLAIN}\nS: 235\nC: MAIL FROM:<ann@here.test>\nS: 250\nC: {PLAIN}\nS: 503",
    "mail may go anywhere": IN
    + """
        C: MAIL FROM:<ann@here.test>
        S: 250
        C: RCPT TO:<u@far.test>
        S: 250
        C: RCPT TO:<cat@there.test>
        S: 250
        C: RCPT TO:<nobody@here.test>
        S: 550 5.1.1""",
}


@pytest.mark.parametrize("name", SUBMISSIONS)
async def test_submissions(name: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await (await here.talk("submissions")).run(SUBMISSIONS[name])


IN_CLEAR = {
    "no login is offered or taken": f"""
        C: EHLO client.test
        S: (?s)(?=.*STARTTLS)(?!.*AUTH)250-
        C: {PLAIN}
        S: 538 5.7.11
        C: AUTH PLAIN
        S: 538 5.7.11
        C: AUTH LOGIN
        S: 538 5.7.11
        C: MAIL FROM:<ann@here.test>
        S: 530 5.7.0""",
    "with tls it is": EHLO
    + f"""
        C: STARTTLS
        S: 220
        TLS
        C: {PLAIN}
        S: 503 5.5.1 send EHLO
        C: EHLO client.test
        S: (?s)(?!.*STARTTLS)(?=.*AUTH)250-
        C: {PLAIN}
        S: 235
        C: STARTTLS
        S: 503 5.5.1
        C: MAIL FROM:<ann@here.test>
        S: 250""",
}


@pytest.mark.parametrize("name", IN_CLEAR)
async def test_submission(name: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await (await here.talk("submission")).run(IN_CLEAR[name])


async def logged_in(here: World) -> Talk:
    talk = await here.talk("submissions")
    await talk.run(IN)
    return talk


class Tokens:
    """Takes one token, and passwords from nobody.  A network it trusts may come in clear."""

    sasl_facts = SaslFacts(scope="mail")
    fails = False

    def is_safe(self, client: ClientFacts) -> bool:
        return True

    def mechanisms(self, client: ClientFacts) -> tuple[str, ...]:
        return offered({TokenAttempt}, safe=True)

    async def authenticate(self, attempt: Credentials, client: ClientFacts) -> Principal:
        if self.fails:
            raise Unavailable("the issuer's keys cannot be had", url="http://10.0.0.7")
        if isinstance(attempt, TokenAttempt) and attempt.token.reveal() == b"good" and client.protocol == "submission":
            return Principal(derived_account_id("ann@here.test"), "ann@here.test")
        raise Refused("not good")


def xoauth2(token: str) -> str:
    return b64(f"user=ann@here.test\1auth=Bearer {token}\1\1")


async def test_tokens_log_in_and_a_bad_one_is_told_why(tmp_path: Path) -> None:
    decider: Decider = Tokens()
    async with world(tmp_path, authenticator=decider) as here:
        talk = await here.talk("submission")
        assert "AUTH XOAUTH2 OAUTHBEARER" in await talk.say("EHLO client.test")
        reply = await talk.say(f"AUTH XOAUTH2 {xoauth2('bad')}")
        assert b'"status": "401"' in base64.b64decode(reply.removeprefix("334 "))
        assert (await talk.say("AQ==")).startswith("535 5.7.8")
        assert (await talk.say("AUTH PLAIN AGEAYg==")).startswith("504 5.5.4")
        assert (await talk.say(f"AUTH XOAUTH2 {xoauth2('good')}")).startswith("235")
        assert (await talk.hand_in(MESSAGE, "u@far.test", sender="ann@here.test")).startswith("250")


async def test_a_login_that_cannot_be_decided_is_answered_454(tmp_path: Path) -> None:
    decider = Tokens()
    decider.fails = True
    async with world(tmp_path, authenticator=decider) as here:
        talk = await here.talk("submission")
        await talk.say("EHLO client.test")
        assert re.fullmatch(r"454 4\.7\.0 [a-z ']+", await talk.say(f"AUTH XOAUTH2 {xoauth2('good')}"))


async def test_a_session_ends_with_the_right_to_it(tmp_path: Path) -> None:
    for change in ("password", "disabled"):
        people = MemoryDirectory("ann@here.test")
        async with world(tmp_path, directory=people) as here:
            talk = await logged_in(here)
            assert (await talk.say("MAIL FROM:<ann@here.test>")).startswith("250")
            await talk.say("RSET")
            if change == "password":
                people.set_password("ann@here.test", "other")
            else:
                people.disable("ann@here.test")
            assert (await talk.say("MAIL FROM:<ann@here.test>")).startswith("421 4.7.0")
            assert await talk.reply() == ""


async def test_the_event_names_the_user(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await logged_in(here)
        assert (await talk.hand_in(MESSAGE, "u@far.test", sender="ann+x@here.test")).startswith("250")
        [(received, content)] = await here.received()
        assert content == MESSAGE
        assert received.envelope.client.user == "ann@here.test"
        assert (received.envelope.door, received.envelope.sender) == ("submissions", "ann+x@here.test")
        assert " with ESMTPSA id " in received.prefix
        [happened] = await here.happened()
        assert happened.detail["user"] == "ann@here.test"


FIELDS = [
    (b"Date: x\r\nMessage-ID: <a@b>\r\n", set()),
    (b"DATE: x\r\n", {"Message-ID"}),
    (b"message-id: <a@b>\r\n", {"Date"}),
    (b"X-Date: x\r\n", {"Date", "Message-ID"}),
]


@pytest.mark.parametrize(("fields", "added"), FIELDS)
async def test_what_the_client_left_out_is_put_in(fields: bytes, added: set[str], tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await logged_in(here)
        await talk.hand_in(fields + MESSAGE, "u@far.test", sender="ann@here.test")
        [(received, content)] = await here.received()
        assert content == fields + MESSAGE
        names = set(re.findall(r"^([A-Za-z-]+):", received.prefix, re.MULTILINE))
        assert names == {"Received"} | added
        if "Message-ID" in added:
            assert f"Message-ID: <{received.message}@mx.here.test>\r\n" in received.prefix


async def test_other_servers_mail_is_left_as_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await here.talk()
        await talk.say("EHLO client.test")
        await talk.hand_in(b"\r\n")
        [(received, _)] = await here.received()
        assert set(re.findall(r"^([A-Za-z-]+):", received.prefix, re.MULTILINE)) == {"Received"}


# HOSTILE R2, D3
AUTHORS = [
    (b"From: ann@here.test\r\n", True),
    (b'From: "bob@here.test" <ann+list@here.test>\r\n', True),
    (b"From: Friends: ann@here.test;\r\n", True),
    (b"Subject: no author at all\r\n", True),
    (b"From: bob@here.test\r\n", False),
    (b"From: ann@here.test, bob@here.test\r\n", False),
    (b"From: ann@here.test\r\nFROM: bob@here.test\r\n", False),
    (b"From: ann@here.test@evil.test\r\n", False),
    (b'From: "ann@here.test" <u@evil.test>\r\n', False),
    (b"From:\r\n <u@evil.test>\r\n", False),
    (b"From : u@evil.test\r\n", False),
    (b"From: ann\r\n", False),
    (b"X: y\r\n" * 2000 + b"From: u@evil.test\r\n", False),
    (b"X: " + (b"y" * 900 + b"\r\n ") * 130 + b"\r\nFrom: u@evil.test\r\n", False),
    (b"From: " + b"ann@here.test,\r\n " * 101 + b"ann@here.test\r\n", False),
]


@pytest.mark.parametrize(("fields", "good"), AUTHORS)
async def test_the_author_must_be_the_user(fields: bytes, good: bool, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        talk = await logged_in(here)
        reply = await talk.hand_in(fields + b"\r\nx\r\n", "u@far.test", sender="ann@here.test")
        assert reply.startswith("250" if good else ("553 5.7.1", "552 5.3.4")), reply
        assert len(await here.received()) == good


async def test_no_secret_is_logged_or_published(tmp_path: Path, log_lines: list[str]) -> None:
    async with world(tmp_path, limits=Limits(greet_wait=0, max_logins=50)) as here:
        talk = await here.talk("submissions")
        await talk.say("EHLO client.test")
        canary = "canary-5150"
        for line in (f"AUTH PLAIN {b64(chr(0) + 'ann@here.test' + chr(0) + canary)}", f"AUTH PLAIN {canary}", canary):
            await talk.say(line)
        await talk.say("AUTH LOGIN")
        await talk.say(b64(canary))
        await talk.say(b64(canary))
        await talk.say(PLAIN)
        await talk.hand_in(MESSAGE, "u@far.test", sender="ann@here.test")
        told = "\n".join(log_lines) + repr(await here.events("mail.received")) + repr(await here.happened())
        told += here.metrics.render().decode()
        assert "accepted" in told
        for secret in (canary, b64(canary)[:12], "secret", PLAIN[11:]):
            assert secret not in told
