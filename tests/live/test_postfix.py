"""Postfix as the foreign mail server, in both directions and on both engines."""

import contextlib
import email
import email.message
import email.policy
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.live.conftest import Start
from tests.live.doors import as_sent, bodies, dirty_lines, eventually, imap, message, parsed, submission, wait_for
from tests.servers import Postfix, free_port, postfix
from tests.servers.merpati_installation import Installation

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Pair:
    """Two mail servers that know each other: Merpati for here.test, Postfix for foreign.test."""

    house: Installation
    foreign: Postfix


@pytest.fixture(scope="module")
def pair(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("pair")
    door = free_port()
    with contextlib.ExitStack() as stack:
        foreign = stack.enter_context(postfix(home, routes={"here.test": door}))
        sections = {
            "ingest.mx": f"127.0.0.1:{door}",
            "delivery.routes": {"foreign.test": f"127.0.0.1:{foreign.port}"},
            "delivery.retry": ["1s", "2s"],
            "delivery.tls": "must",
        }
        house = stack.enter_context(start(home / "house", users=("alice",), sections=sections))
        yield Pair(house, foreign)
    assert dirty_lines(house) == []


def submit(pair: Pair, mail: bytes, *recipients: str) -> None:
    with submission(pair.house, "alice") as session:
        assert session.sendmail("alice@here.test", list(recipients), mail, ["BODY=8BITMIME"]) == {}


def test_postfix_sends_to_us_under_tls(pair: Pair, unique: str) -> None:
    # with what Postfix adds to mail of its own clients if it is missing
    dated = {"Date": "Tue, 01 Sep 2026 10:00:00 +0000", "Message_ID": f"<{unique}@foreign.test>"}
    sent = message(unique, "Grüße,\r\n.\r\n..dots\r\n", **dated)
    pair.foreign.send("anna@foreign.test", ["alice@here.test"], sent)
    stored = wait_for(pair.house, "alice", unique)[0]
    # Postfix's own Received field comes on top of what was sent, ours on top of that
    ours, theirs = parsed(stored).get_all("Received", [])
    assert "from mx.foreign.test" in ours
    assert "with ESMTPS" in ours
    assert "by mx.foreign.test (Postfix)" in theirs
    assert stored.endswith(sent)
    eventually(pair.foreign.queue, lambda waiting: waiting == [])


def test_postfix_is_told_at_rcpt_whom_we_do_not_know(pair: Pair, unique: str) -> None:
    pair.foreign.send("anna@foreign.test", ["stranger@here.test"], message(unique))
    bounce = pair.foreign.wait_for("anna")[-1]
    assert b"550 5.1.1" in bounce
    assert unique.encode() in bounce


def test_what_we_send_on_is_what_the_user_sent(pair: Pair, unique: str) -> None:
    """A signature over header and body holds: every byte behind our Received field is as it was."""
    sent = message(
        unique,
        "Grüße,\r\n.\r\n..dots  \r\n\ttab\r\n" + "x" * 900 + "\r\n\r\n\r\n",
        From="  alice@here.test",
        X_Folded="one\r\n\ttwo\r\n   three",
        Content_Transfer_Encoding="8bit",
    )
    submit(pair, sent, "bert@foreign.test")
    stored = next(mail for mail in pair.foreign.wait_for("bert") if unique.encode() in mail)
    assert as_sent(stored.replace(b"\n", b"\r\n"), sent)
    fields = parsed(stored).get_all("Received", [])
    assert "with ESMTPS" in fields[0]
    assert "with ESMTPSA" in fields[1]
    assert parsed(stored)["Return-Path"] == "<alice@here.test>"


def test_a_large_message_is_sent_on_whole(pair: Pair, unique: str) -> None:
    sent = message(unique, "\r\n".join(f"{line:070d}" for line in range(15_000)), From="alice@here.test")
    assert len(sent) > 1_000_000
    submit(pair, sent, "large@foreign.test")
    assert as_sent(pair.foreign.wait_for("large")[0].replace(b"\n", b"\r\n"), sent)


def test_a_user_whom_postfix_refuses_comes_back_as_a_bounce(pair: Pair, unique: str) -> None:
    submit(
        pair, message(unique, From="alice@here.test"), f"nobody-{unique}@foreign.test", f"good-{unique}@foreign.test"
    )
    assert len(pair.foreign.wait_for(f"good-{unique}")) == 1
    bounce = eventually(lambda: bounces(pair, unique), bool)[0]
    assert bounce["Return-Path"] == "<>"
    # RFC 3464: words for people, fields for programs, the message or its header
    assert bounce.get_content_type() == "multipart/report"
    assert bounce.get_param("report-type") == "delivery-status"
    words, report, original = bounce.get_payload()
    assert f"nobody-{unique}@foreign.test" in words.get_content()
    of_message, of_recipient = report.get_payload()
    assert of_message["Reporting-MTA"] == "dns; mx.here.test"
    assert of_recipient["Final-Recipient"].lower() == f"rfc822; nobody-{unique}@foreign.test"
    assert of_recipient["Action"] == "failed"
    assert of_recipient["Status"].startswith("5.1.")
    assert "User unknown" in of_recipient["Diagnostic-Code"]
    assert f"Subject: {unique}" in original.as_string()
    found = pair.house.command("trace", "--from", "alice@here.test", "--to", f"nobody-{unique}@foreign.test")
    assert re.search(rf"bounced +nobody-{unique}@foreign.test", found)


def bounces(pair: Pair, mark: str) -> list[email.message.EmailMessage]:
    with imap(pair.house, "alice") as session:
        found = [mail for mail in bodies(session) if b"multipart/report" in mail and mark.encode() in mail]
    return [email.message_from_bytes(mail, policy=email.policy.default) for mail in found]


def test_what_postfix_cannot_take_now_waits_and_arrives_once(pair: Pair, unique: str) -> None:
    pair.foreign.kill()
    submit(pair, message(unique, From="alice@here.test"), f"later-{unique}@foreign.test")
    deferred = r"deferred +later-"
    eventually(lambda: trace(pair, unique), lambda found: len(re.findall(deferred, found)) >= 2)
    pair.foreign.restart()
    pair.foreign.wait_for(f"later-{unique}")
    found = eventually(lambda: trace(pair, unique), lambda found: "relayed" in found)
    assert len(re.findall(r"relayed +later-", found)) == 1
    assert len(pair.foreign.messages(f"later-{unique}")) == 1
    assert bounces(pair, unique) == []


def trace(pair: Pair, mark: str) -> str:
    with contextlib.suppress(RuntimeError):  # status 1: nothing is known yet
        return pair.house.command("trace", "--to", f"later-{mark}@foreign.test", "--since", "1h")
    return ""


def test_a_smarthost_takes_what_has_no_route(start: Start, tmp_path: pathlib.Path, unique: str) -> None:
    with postfix(tmp_path) as hop:
        sections = {"delivery.smarthost": f"127.0.0.1:{hop.port}"}
        with start(tmp_path / "house", users=("alice",), sections=sections) as house:
            submit(Pair(house, hop), message(unique, From="alice@here.test"), "bert@foreign.test")
            assert len(hop.wait_for("bert")) == 1
            assert "with ESMTPS" in parsed(hop.messages("bert")[0]).get_all("Received", [])[0]
