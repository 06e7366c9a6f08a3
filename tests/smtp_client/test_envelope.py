"""MAIL and RCPT: what they tell a server that can do this and that, and what cannot be told at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.smtp.envelope import Envelope, envelope_of, is_address, mail_command, rcpt_command
from delivery.smtp.extensions import NONE, Extensions
from delivery.smtp.outcome import Verdict
from merpati.events import Recipient
from tests.smtp_client.talk import envelope, opened

ALL = Extensions(eightbit=True, smtputf8=True, dsn=True, wants_size=True)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("a@b", True),
        ("a..b.@docomo.test", True),
        ('"a b"@c.test', True),
        ('"a\\"b>"@c.test', True),
        ("a+b=c/d!e%f@g.test", True),
        ("a@[192.0.2.1]", True),
        ("a@[IPv6:2001:db8::1]", True),
        ("ü@ü.test", True),
        ("", False),
        ("a", False),
        ("a@", False),
        ("@b", False),
        ("a@b c", False),
        ("a b@c", False),
        ("a@b@c", False),
        ("a>@b", False),
        ("a@b>", False),
        ("<a@b", False),
        ("a@b\r\nRCPT TO:<x@y>", False),
        ('"a\r\nb"@c', False),
        ('"a@b', False),
        ("a\0@b", False),
        ("a\x85@b", False),
        ("a\u2028@b", False),
        ("x" * 2000 + "@b", False),
    ],
)
def test_an_address_is_what_can_stand_between_angle_brackets(address: str, good: bool) -> None:
    assert is_address(address) is good


MAILS: list[tuple[Envelope, Extensions, bytes]] = [
    (envelope(), NONE, b"MAIL FROM:<a@b.test>"),
    (envelope(sender=""), ALL, b"MAIL FROM:<> SIZE=19"),
    (envelope(message=b"\xe4\r\n"), ALL, b"MAIL FROM:<a@b.test> SIZE=3 BODY=8BITMIME"),
    (envelope(message=b"\xe4\r\n"), NONE, b"MAIL FROM:<a@b.test>"),
    (envelope(ret="HDRS", envid="a+b c"), ALL, b"MAIL FROM:<a@b.test> SIZE=19 RET=HDRS ENVID=a+2Bb+20c"),
    (envelope(ret="HDRS", envid="x"), NONE, b"MAIL FROM:<a@b.test>"),
    (envelope(ret="FOO\r\n", envid="x\r\nRSET"), ALL, b"MAIL FROM:<a@b.test> SIZE=19 ENVID=x+0D+0ARSET"),
]


@pytest.mark.parametrize(("wanted", "offered", "line"), MAILS)
def test_mail_tells_what_the_server_knows(wanted: Envelope, offered: Extensions, line: bytes) -> None:
    assert mail_command(wanted, offered, smtputf8=False) == line + b"\r\n"


def test_mail_says_that_it_is_internationalized() -> None:
    line = mail_command(envelope(sender="ü@b.test"), ALL, smtputf8=True)
    assert line == "MAIL FROM:<ü@b.test> SIZE=19 SMTPUTF8\r\n".encode()


RCPTS: list[tuple[Recipient, Extensions, str]] = [
    (Recipient("c@d"), ALL, "RCPT TO:<c@d>"),
    (Recipient("c@d", ("NEVER",), "rfc822;x@y"), NONE, "RCPT TO:<c@d>"),
    (
        Recipient("c@d", ("SUCCESS", "FAILURE"), "rfc822;x+y@z"),
        ALL,
        "RCPT TO:<c@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@z",
    ),
    (Recipient("c@d", (), "utf-8;ü@z"), ALL, "RCPT TO:<c@d> ORCPT=utf-8;\\x{FC}@z"),
    (Recipient("c@d", ("FOO\r\n",), "rfc822 x;y"), ALL, "RCPT TO:<c@d>"),
    (Recipient("c@d", (), "rfc822;x\r\nDATA"), ALL, "RCPT TO:<c@d> ORCPT=rfc822;x+0D+0ADATA"),
    (Recipient("c@d", (), "rfc822;"), ALL, "RCPT TO:<c@d>"),
]


@pytest.mark.parametrize(("recipient", "offered", "line"), RCPTS)
def test_rcpt_passes_delivery_status_parameters_on(recipient: Recipient, offered: Extensions, line: str) -> None:
    assert rcpt_command(recipient, offered) == line.encode() + b"\r\n"


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_the_envelope_holds_each_command_is_one_line(one: str, two: str, envid: str, orcpt: str) -> None:
    wire = opened(b"PIPELINING\nDSN\nSMTPUTF8")
    wanted = Envelope(one, (Recipient(two, (orcpt,), orcpt), Recipient("c@d")), 5, ret=orcpt, envid=envid)
    said = wire.deliver(wanted)
    if said:
        lines = said.split(b"\r\n")
        assert lines.pop() == b""
        assert all(re.match(rb"(MAIL FROM:<.*>|RCPT TO:<.*>|DATA\Z)", line) for line in lines)
        assert not re.search(rb"[\r\n]", b"".join(lines))
        assert 3 <= len(lines) <= 4


REFUSED: list[tuple[Envelope, bytes, str, str]] = [
    (envelope(message=b"x" * 101), b"SIZE 100", "5.3.4", "a message too big for the server"),
    (envelope(sender="ü@b.test"), b"8BITMIME", "5.6.7", "a sender in UTF-8"),
    (envelope(message="Subject: ü\r\n\r\n".encode(), smtputf8=True), b"8BITMIME", "5.6.7", "a header in UTF-8"),
    (envelope(sender="a\r\nb@c"), b"8BITMIME", "5.1.7", "a sender that breaks the line"),
]


@pytest.mark.parametrize(("wanted", "offer", "status", "reason"), REFUSED)
def test_what_the_server_cannot_take_is_refused_without_a_word_to_it(
    wanted: Envelope, offer: bytes, status: str, reason: str
) -> None:
    wire = opened(offer)
    assert wire.deliver(wanted) == b"", reason
    assert wire.outcomes is not None
    assert [(each.verdict, each.status, each.code) for each in wire.outcomes] == [(Verdict.PERMANENT, status, 0)]
    assert wire.client.usable


@pytest.mark.parametrize("offer", [b"SIZE 0", b"SIZE", b"SIZE 1000"])
def test_a_size_of_nothing_is_no_limit(offer: bytes) -> None:
    assert opened(offer).deliver(envelope(message=b"x" * 101)).startswith(b"MAIL FROM:<a@b.test> SIZE=101")


def test_one_recipient_that_cannot_be_named_does_not_hold_up_the_others() -> None:
    wire = opened(b"PIPELINING")
    assert wire.deliver(envelope("a\0@b", "c@d", "ü@e")) == b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
    wire.say(b"250 ok\r\n")
    assert wire.outcomes is not None
    assert [(each.verdict, each.status) for each in wire.outcomes] == [
        (Verdict.PERMANENT, "5.1.3"),
        (Verdict.ACCEPTED, "2.0.0"),
        (Verdict.PERMANENT, "5.6.7"),
    ]


def test_a_recipient_in_utf8_makes_the_mail_internationalized() -> None:
    wire = opened(b"PIPELINING\nSMTPUTF8")
    assert b"> SMTPUTF8\r\n" in wire.deliver(envelope("ü@e"))
    assert b"SMTPUTF8" not in opened(b"PIPELINING\nSMTPUTF8").deliver(envelope("u@e"))


def test_an_8_bit_header_of_old_mail_needs_no_extension() -> None:
    message = b"Subject: \xe4\r\n\r\n"
    assert not envelope_of(message, "", ()).smtputf8
    assert envelope_of(message, "", (), smtputf8=True).smtputf8
    assert not envelope_of(b"Subject: a\r\n\r\n\xe4", "", (), smtputf8=True).smtputf8
