"""From the greeting to readiness, and all that can come between."""

from __future__ import annotations

from base64 import b64decode

import pytest
from msgspec.structs import replace

from delivery.smtp.extensions import Extensions
from delivery.smtp.opening import Login, Options, Tls
from delivery.smtp.outcome import Cause, Phase
from tests.smtp_client.talk import OPTIONS, Wire, opened

EHLO = b"EHLO mx.example.org\r\n"
MUST = replace(OPTIONS, tls=Tls.MUST)
LOGIN = replace(OPTIONS, login=Login("me@example.org", "hunter2"))


def test_a_server_that_greets_is_greeted() -> None:
    wire = Wire()
    assert wire.say(b"220-mx\r\n220 ESMTP\r\n") == EHLO
    assert wire.say(b"250-mx\r\n250-PIPELINING\r\n250 SIZE 100\r\n") == b""
    assert wire.ready
    assert wire.client.usable
    assert wire.client.offered == Extensions(pipelining=True, size=100, wants_size=True)


def test_a_server_that_knows_no_ehlo_gets_helo() -> None:
    wire = Wire()
    wire.say(b"220 mx\r\n")
    assert wire.say(b"502 what?\r\n") == b"HELO mx.example.org\r\n"
    assert wire.say(b"250-PIPELINING\r\n250 STARTTLS\r\n") == b""
    assert wire.ready
    assert wire.client.offered == Extensions()


def test_starttls_is_used_where_it_is_offered_and_what_was_learned_before_is_forgotten() -> None:
    wire = Wire()
    wire.say(b"220 mx\r\n")
    assert wire.say(b"250-mx\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n") == b"STARTTLS\r\n"
    assert wire.say(b"220 go\r\n") == EHLO
    assert wire.handshakes == 1
    wire.say(b"250-mx\r\n250 SIZE\r\n")
    assert wire.ready
    assert wire.client.offered == Extensions(wants_size=True)


def test_starttls_is_not_asked_for_under_tls() -> None:
    wire = Wire(replace(MUST, under_tls=True))
    wire.say(b"220 mx\r\n")
    wire.say(b"250-mx\r\n250 STARTTLS\r\n")
    assert wire.ready
    assert wire.handshakes == 0


def test_starttls_is_not_asked_for_if_it_is_not_wanted() -> None:
    assert opened(b"STARTTLS", replace(OPTIONS, tls=Tls.NEVER)).handshakes == 0


def test_without_a_must_a_refused_starttls_is_done_without() -> None:
    wire = Wire()
    wire.say(b"220 mx\r\n")
    wire.say(b"250-mx\r\n250 STARTTLS\r\n")
    wire.say(b"454 4.7.0 not now\r\n")
    assert wire.ready


FAILURES: list[tuple[Options, list[bytes], Cause, Phase, str]] = [
    (OPTIONS, [b"554 no\r\n"], Cause.REFUSED, Phase.GREETING, "a greeting that refuses"),
    (OPTIONS, [b"421 busy\r\n"], Cause.REFUSED, Phase.GREETING, "a greeting that is busy"),
    (OPTIONS, [b"450 busy\r\n"], Cause.REFUSED, Phase.GREETING, "a greeting that defers"),
    (OPTIONS, [b"250 hi\r\n"], Cause.PROTOCOL, Phase.GREETING, "a greeting with another code"),
    (OPTIONS, [b"SSH-2.0\r\n"], Cause.PROTOCOL, Phase.GREETING, "another protocol"),
    (OPTIONS, [b"220 a\r\n220 b\r\n"], Cause.PROTOCOL, Phase.EHLO, "two greetings at once"),
    (OPTIONS, [b"220 a\r\n", b"220 b\r\n"], Cause.PROTOCOL, Phase.EHLO, "two greetings"),
    (OPTIONS, [b"220 a\r\n", b"450 no\r\n"], Cause.REFUSED, Phase.EHLO, "EHLO deferred"),
    (OPTIONS, [b"220 a\r\n", b"550 no\r\n", b"550 no\r\n"], Cause.REFUSED, Phase.EHLO, "EHLO and HELO refused"),
    (OPTIONS, [b"220 a\r\n", b"421 bye\r\n"], Cause.REFUSED, Phase.EHLO, "421 to EHLO"),
    (MUST, [b"220 a\r\n", b"502 what\r\n"], Cause.REFUSED, Phase.EHLO, "no EHLO where TLS is a must"),
    (MUST, [b"220 a\r\n", b"250 mx\r\n"], Cause.NO_TLS, Phase.EHLO, "no STARTTLS where it is a must"),
    (
        MUST,
        [b"220 a\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"454 no\r\n"],
        Cause.NO_TLS,
        Phase.STARTTLS,
        "STARTTLS refused where it is a must",
    ),
    (
        OPTIONS,
        [b"220 a\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n250 evil\r\n"],
        Cause.INJECTION,
        Phase.HANDSHAKE,
        "an answer in clear behind STARTTLS",
    ),
    (
        OPTIONS,
        [b"220 a\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n2"],
        Cause.INJECTION,
        Phase.HANDSHAKE,
        "one byte in clear behind STARTTLS",
    ),
    (LOGIN, [b"220 a\r\n", b"250-mx\r\n250 AUTH PLAIN\r\n"], Cause.LOGIN, Phase.EHLO, "a password in clear"),
]


@pytest.mark.parametrize(("options", "said", "cause", "phase", "reason"), FAILURES)
def test_a_session_that_cannot_be_is_given_up_with_its_reason(
    options: Options, said: list[bytes], cause: Cause, phase: Phase, reason: str
) -> None:
    wire = Wire(options)
    for line in said:
        wire.say(line)
    assert wire.trouble is not None, reason
    assert (wire.trouble.cause, wire.trouble.phase) == (cause, phase), reason
    assert wire.trouble.status.startswith("4")
    assert wire.closed
    assert not wire.client.usable
    assert b"MAIL" not in wire.sent
    assert b"hunter2" not in wire.sent


def test_a_byte_in_clear_during_the_handshake_ends_the_session() -> None:
    wire = Wire()
    wire.say(b"220 mx\r\n")
    wire.client.feed(b"250-mx\r\n250 STARTTLS\r\n")
    wire.client.feed(b"220 go\r\n")
    wire.do(wire.client.feed(b"250 evil\r\n"))
    assert wire.trouble is not None
    assert wire.trouble.cause is Cause.INJECTION


@pytest.mark.parametrize(
    ("said", "permanent"),
    [(b"521 no mail here\r\n", True), (b"554 not from you\r\n", False), (b"421 later\r\n", False)],
)
def test_a_greeting_says_whether_the_host_ever_takes_mail(said: bytes, permanent: bool) -> None:
    wire = Wire()
    wire.say(said)
    assert wire.trouble is not None
    assert wire.trouble.permanent is permanent
    assert wire.trouble.status[0] == ("5" if permanent else "4")


@pytest.mark.parametrize("lost", ["lost", "timed_out"])
def test_a_server_that_says_nothing_is_given_up(lost: str) -> None:
    wire = Wire()
    wire.do(getattr(wire.client, lost)())
    assert wire.trouble is not None
    assert "waiting for greeting" in wire.trouble.text


def test_a_failed_handshake_is_told_apart_so_that_it_can_be_done_without() -> None:
    wire = Wire()
    wire.say(b"220 mx\r\n")
    wire.client.feed(b"250-mx\r\n250 STARTTLS\r\n")
    wire.client.feed(b"220 go\r\n")
    wire.do(wire.client.tls_failed("certificate: expired"))
    assert wire.trouble is not None
    assert wire.trouble.cause is Cause.HANDSHAKE
    assert "expired" in wire.trouble.text


UNDER_TLS = replace(LOGIN, under_tls=True)


def test_a_smarthost_gets_our_credentials_with_plain() -> None:
    wire = Wire(UNDER_TLS)
    wire.say(b"220 mx\r\n")
    said = wire.say(b"250-mx\r\n250 AUTH LOGIN PLAIN\r\n")
    assert said.startswith(b"AUTH PLAIN ")
    assert b64decode(said.split()[2]) == b"\0me@example.org\0hunter2"
    wire.say(b"235 2.7.0 welcome\r\n")
    assert wire.ready


def test_a_smarthost_gets_our_credentials_with_login() -> None:
    wire = Wire(UNDER_TLS)
    wire.say(b"220 mx\r\n")
    assert wire.say(b"250-mx\r\n250 AUTH LOGIN\r\n") == b"AUTH LOGIN\r\n"
    assert b64decode(wire.say(b"334 VXNlcm5hbWU6\r\n")) == b"me@example.org"
    assert b64decode(wire.say(b"334 UGFzc3dvcmQ6\r\n")) == b"hunter2"
    wire.say(b"235 ok\r\n")
    assert wire.ready


def test_a_password_goes_in_clear_only_if_the_operator_says_so() -> None:
    wire = Wire(replace(LOGIN, login_in_clear=True))
    wire.say(b"220 mx\r\n")
    assert wire.say(b"250-mx\r\n250 AUTH PLAIN\r\n").startswith(b"AUTH PLAIN ")


@pytest.mark.parametrize(
    "said", [b"535 5.7.8 wrong\r\n", b"454 4.7.0 later\r\n", b"334 \r\n", b"250 ok?\r\n", b"421 bye\r\n"]
)
def test_credentials_that_do_not_do_defer_the_mail_and_bounce_none(said: bytes) -> None:
    wire = Wire(UNDER_TLS)
    wire.say(b"220 mx\r\n")
    wire.say(b"250-mx\r\n250 AUTH PLAIN\r\n")
    wire.say(said)
    assert wire.trouble is not None
    assert not wire.trouble.permanent
    assert wire.trouble.status.startswith("4")


def test_a_server_without_a_known_mechanism_gets_no_password() -> None:
    wire = Wire(UNDER_TLS)
    wire.say(b"220 mx\r\n")
    assert wire.say(b"250-mx\r\n250 AUTH CRAM-MD5\r\n") == b"QUIT\r\n"
    assert wire.trouble is not None
    assert wire.trouble.cause is Cause.LOGIN


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(LOGIN)


def test_what_the_server_says_while_nobody_asks_ends_the_session() -> None:
    wire = opened()
    wire.say(b"421 4.4.2 idle too long\r\n")
    assert wire.closed
    assert not wire.client.usable


def test_a_session_ends_with_quit() -> None:
    wire = opened()
    wire.do(wire.client.quit())
    assert wire.sent.endswith(b"QUIT\r\n")
    assert not wire.closed
    wire.say(b"221 bye\r\n")
    assert wire.closed


@pytest.mark.parametrize("ending", ["lost", "timed_out"])
def test_a_quit_that_is_not_answered_ends_the_session_too(ending: str) -> None:
    wire = opened()
    wire.do(wire.client.quit())
    wire.do(getattr(wire.client, ending)())
    assert wire.closed
    assert wire.trouble is None
