"""One message, the whole way, on both engines: in by SMTP, over the log, into the mailbox, out by IMAP and POP3."""

import hashlib
import json
import pathlib
import re
import smtplib
import urllib.request

import pytest

from tests.live.conftest import Start
from tests.live.doors import (
    as_sent,
    bodies,
    dirty_lines,
    eventually,
    imap,
    message,
    mx,
    parsed,
    pop3,
    submission,
    wait_for,
)
from tests.servers.merpati_installation import PASSWORD, ROLES, Installation

STRANGER = "xenia@elsewhere.test"


def deliver(house: Installation, recipients: list[str], mail: bytes, sender: str = STRANGER) -> str:
    """Hand a message in at the MX door; what it is called, as the 250 says."""
    with mx(house) as session:
        session.ehlo("mx.elsewhere.test")
        assert session.mail(sender)[0] == 250
        for recipient in recipients:
            assert session.rcpt(recipient)[0] == 250
        code, words = session.data(mail)
    assert code == 250, words
    return words.decode().split()[-1]


def test_mail_from_a_stranger_is_read_by_imap_and_by_pop3(house: Installation, unique: str) -> None:
    sent = message(unique)
    deliver(house, ["bob@here.test", "alice@here.test"], sent)
    stored = wait_for(house, "bob", unique)[0]
    assert as_sent(stored, sent)
    assert stored.startswith(b"Return-Path: <xenia@elsewhere.test>\r\n")
    wait_for(house, "alice", unique)
    with pop3(house, "bob") as session:
        numbers = range(1, session.stat()[0] + 1)
        read = [b"\r\n".join(session.retr(number)[1]) + b"\r\n" for number in numbers]
    assert stored in read


def test_mail_that_pop3_deletes_is_gone_for_imap_too(house: Installation, unique: str) -> None:
    deliver(house, ["dave@here.test"], message(unique))
    wait_for(house, "dave", unique)
    with pop3(house, "dave") as session:
        number = next(
            number for number in range(1, session.stat()[0] + 1) if unique.encode() in b"".join(session.retr(number)[1])
        )
        session.dele(number)
    with imap(house, "dave") as session:
        eventually(lambda: bodies(session), lambda found: not any(unique.encode() in body for body in found))


def test_a_user_submits_to_a_neighbour(house: Installation, unique: str) -> None:
    sent = message(unique, From="alice@here.test")
    with submission(house, "alice") as session:
        assert session.sendmail("alice@here.test", ["bob@here.test"], sent) == {}
    stored = parsed(wait_for(house, "bob", unique)[0])
    assert "with ESMTPSA" in stored["Received"]


def test_a_user_cannot_send_as_another(house: Installation, unique: str) -> None:
    with submission(house, "alice") as session, pytest.raises(smtplib.SMTPResponseException) as refused:
        session.sendmail("bob@here.test", ["carol@here.test"], message(unique, From="bob@here.test"))
    assert refused.value.smtp_code == 553


def test_no_password_is_taken_in_clear(house: Installation) -> None:
    with smtplib.SMTP("127.0.0.1", house.ports["submission"], timeout=30) as session:
        session.ehlo()
        assert not session.has_extn("auth")
        assert session.docmd("AUTH", "PLAIN AGFsaWNlAHB3")[0] == 538
        assert session.docmd("MAIL", "FROM:<alice@here.test>")[0] == 530


def test_a_wrong_password_is_refused_at_every_door(house: Installation) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError), submission(house, "alice", "wrong-horse-7"):
        pass
    with pytest.raises(Exception, match="AUTHENTICATIONFAILED"), imap(house, "alice", "wrong-horse-7"):
        pass
    with pytest.raises(Exception, match=r"-ERR \[AUTH\]"), pop3(house, "alice", "wrong-horse-7"):
        pass


REFUSED = [
    pytest.param("nobody@here.test", 550, id="no such user"),
    pytest.param("bob@elsewhere.test", 550, id="no relaying"),
    pytest.param("bob%elsewhere.test@here.test", 550, id="no relaying in disguise"),
    pytest.param("@elsewhere.test:bob@elsewhere.test", 550, id="no relaying by a source route"),
]


@pytest.mark.parametrize(("recipient", "code"), REFUSED)
def test_the_mx_refuses_what_is_not_ours_at_once(house: Installation, recipient: str, code: int) -> None:
    with mx(house) as session:
        session.ehlo()
        session.mail(STRANGER)
        assert session.docmd("RCPT", f"TO:<{recipient}>")[0] == code
        assert session.docmd("DATA")[0] == 554


LEADS_TO = [
    pytest.param("team@here.test", ["alice", "bob"], id="an alias reaches all it stands for"),
    pytest.param("whoever@any.test", ["carol"], id="a catch-all takes every name"),
    pytest.param("bob+lists@here.test", ["bob"], id="a plus address is the account's"),
    pytest.param("BOB@HERE.test", ["bob"], id="case does not matter"),
]


@pytest.mark.parametrize(("recipient", "users"), LEADS_TO)
def test_an_address_leads_to(house: Installation, unique: str, recipient: str, users: list[str]) -> None:
    deliver(house, [recipient], message(unique))
    for user in users:
        wait_for(house, user, unique)


def test_who_is_reached_twice_gets_one_copy(house: Installation, unique: str) -> None:
    deliver(house, ["bob@here.test", "team@here.test", "bob+x@here.test"], message(unique))
    wait_for(house, "alice", unique)
    wait_for(house, "bob", unique)


def test_a_large_message_comes_out_as_it_went_in(house: Installation, unique: str) -> None:
    lines = [hashlib.sha256(f"{unique}{at}".encode()).hexdigest() for at in range(16_000)]
    sent = message(unique, "\r\n".join([".", "..", *lines, "."]))
    assert len(sent) > 1_000_000
    deliver(house, ["carol@here.test"], sent)
    stored = wait_for(house, "carol", unique)[0]
    assert as_sent(stored, sent)
    with imap(house, "carol") as session:
        session.select(readonly=True)
        last = session.uid("SEARCH", "SUBJECT", unique)[1][0]
        part = session.uid("FETCH", last.decode(), "(RFC822.SIZE BODY.PEEK[]<500000.1000>)")[1][0]
    assert part[1] == stored[500_000:501_000]
    assert f"RFC822.SIZE {len(stored)}".encode() in part[0]
    with pop3(house, "carol") as session:
        read = [session.retr(number)[1] for number in range(1, session.stat()[0] + 1)]
    assert stored in [b"\r\n".join(each) + b"\r\n" for each in read]


def test_utf8_and_eight_bits_pass_unchanged(house: Installation, unique: str) -> None:
    sent = message(unique, "Grüße 🕊 \x7f\x01", X_Bird="merpati pos 🕊", Content_Type="text/plain; charset=utf-8")
    with mx(house) as session:
        session.ehlo()
        assert session.has_extn("8bitmime")
        assert session.has_extn("smtputf8")
        session.sendmail(STRANGER, ["bob@here.test"], sent, ["BODY=8BITMIME", "SMTPUTF8"])
    assert as_sent(wait_for(house, "bob", unique)[0], sent)


def hops_of(house: Installation, name: str) -> list[dict]:
    return json.loads(house.command("trace", name, "--json"))[0]["hops"]


def test_a_trace_tells_the_way_from_the_door_to_the_mailbox(house: Installation, unique: str) -> None:
    name = deliver(house, ["bob@here.test"], message(unique))
    wait_for(house, "bob", unique)
    hops = hops_of(house, name)
    assert [hop["event"]["what"] for hop in hops] == ["accepted", "routed", "stored"]
    assert hops[-1]["event"]["detail"]["folder"] == "INBOX"
    plain = house.command("trace", name)
    assert plain.index("accepted") < plain.index("routed") < plain.index("stored")
    found = house.command("trace", "--to", "bob@here.test", "--since", "1h")
    assert f"message {name}" in found


COUNTED = {
    "ingest": r'^merpati_accepted_messages_total{door="mx"',
    "processors": r'^merpati_events_total{service="processors",what="routed"',
    "delivery": r'^merpati_events_total{service="delivery/local",what="stored"',
    "access": r'^merpati_logins_total{outcome="ok",protocol="imap"',
}


def test_each_role_tells_of_itself(house: Installation, unique: str) -> None:
    deliver(house, ["bob@here.test"], message(unique))
    wait_for(house, "bob", unique)
    for role in ROLES:
        assert re.search(COUNTED[role] + r"[^}]*} [1-9]", house.metrics(role), re.MULTILINE), role
        port = next(port for name, port in house.ports.items() if name.startswith("http ") and role in name)
        for look in ("live", "ready"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{look}", timeout=10) as answer:
                assert answer.status == 200


def test_no_secret_and_no_body_is_in_the_logs(house: Installation, unique: str) -> None:
    with submission(house, "alice") as session:
        session.sendmail(
            "alice@here.test", ["bob@here.test"], message(unique, f"whispered-{unique}", From="alice@here.test")
        )
    wait_for(house, "bob", unique)
    for secret in (PASSWORD, f"whispered-{unique}"):
        assert secret not in house.logs()


@pytest.mark.timeout(180)
def test_a_drain_takes_everything_along_and_leaves_clean_logs(
    start: Start, tmp_path: pathlib.Path, unique: str
) -> None:
    """SIGTERM behind the last 250: after a restart every message is there, and no process has complained."""
    with start(tmp_path / "house", users=("bob",)) as house:
        with mx(house) as session:
            for _ in range(20):
                assert session.sendmail(STRANGER, ["bob@here.test"], message(unique)) == {}
        house.stop()
        for server in house.servers.values():
            server.launch()
        for server in house.servers.values():
            server.wait_ready()
        wait_for(house, "bob", unique, count=20)
        house.stop()
        assert dirty_lines(house) == []
        # said once at each of the two stops, by each process
        assert house.logs().count("event=stopped") == 2 * len(house.servers)
