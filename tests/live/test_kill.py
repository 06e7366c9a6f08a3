"""Nothing is lost and nothing doubled, whichever process, broker or store is killed or frozen in the middle of mail."""

import contextlib
import re
import smtplib
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.live.conftest import Start
from tests.live.doors import bodies, dirty_lines, eventually, imap, message, mx, wait_for
from tests.live.sender import Sender
from tests.servers import S3_ENVIRONMENT, Cluster, ObjectStoreServer, kafka, minio, new_bucket
from tests.servers.merpati_installation import ROLES, Installation, merpati

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

COUNT = 500
APART = [[role] for role in ROLES]


@pytest.fixture(scope="module")
def victim(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A process for each role, on both engines."""
    with start(tmp_path_factory.mktemp("victim"), users=("bob",), groups=APART) as house:
        yield house
    assert dirty_lines(house) == []


Mailbox = dict[int, str]


def mailbox(house: Installation, mark: str) -> Mailbox:
    """UID → subject of the messages with this mark; what cannot be asked now is empty."""
    found: Mailbox = {}
    with contextlib.suppress(OSError, AssertionError), imap(house, "bob") as session:
        session.select(readonly=True)
        status, said = session.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert status == "OK"
        for part in said:
            if isinstance(part, tuple) and (subject := re.search(rb"Subject: (\S+)", part[1])):
                uid = re.search(rb"UID (\d+)", part[0])
                assert uid
                if subject[1].startswith(mark.encode()):
                    found[int(uid[1])] = subject[1].decode()
    return found


def assert_each_once(house: Installation, sender: Sender, mark: str, before: Mailbox) -> None:
    """Every message is there once; twice only where the sender had no answer and sent it again."""
    eventually(lambda: mailbox(house, mark), lambda found: set(found.values()) >= set(sender.subjects), 90)
    # What is delivered a second time would come before what is sent now, on whichever partition it waits.
    after = Sender(house, f"after-{mark}", 40)
    after.run()
    eventually(lambda: mailbox(house, f"after-{mark}"), lambda found: set(found.values()) == set(after.subjects), 60)
    now = mailbox(house, mark)
    counts = Counter(now.values())
    wrong = {
        subject: count
        for subject in sender.subjects
        if not 1 <= (count := counts[subject]) <= 1 + sender.unanswered[subject]
    }
    assert wrong == {}
    # UIDs only rise: what was there kept its number, and all that came later stands behind it
    assert {uid: now[uid] for uid in before} == before
    assert all(uid > max(before) for uid in now if uid not in before)


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_loses_and_doubles_nothing(victim: Installation, unique: str, role: str) -> None:
    sender = Sender(victim, unique, COUNT)
    before: Mailbox = {}

    def look() -> None:
        before.update(eventually(lambda: mailbox(victim, unique), lambda found: len(found) > 20))

    def kill() -> None:
        victim.of(role).kill()
        time.sleep(0.3)
        victim.of(role).restart()

    sender.run((60, look), (150, kill))
    assert_each_once(victim, sender, unique, before)


def test_what_imap_has_answered_ok_survives_the_kill(victim: Installation, unique: str) -> None:
    with imap(victim, "bob") as session:
        session.create(unique)
        for number in range(5):
            assert session.append(unique, r"(\Seen)", "", message(f"{unique} {number}"))[0] == "OK"
        session.select(unique)
        assert session.store("2", "+FLAGS", r"(\Flagged kept)")[0] == "OK"
        assert session.store("3", "+FLAGS", r"(\Deleted)")[0] == "OK"
        assert session.expunge()[0] == "OK"
        victim.of("access").kill()
    victim.of("access").restart()
    with imap(victim, "bob") as session:
        assert len(bodies(session, unique)) == 4
        flags = b" ".join(session.uid("FETCH", "1:*", "(FLAGS)")[1]).decode()
        assert re.findall(r"UID (\d+)", flags) == ["1", "2", "4", "5"]
        assert re.findall(r"\\Flagged|kept", flags) == [r"\Flagged", "kept"]
        session.append(unique, "", "", message("next"))
        session.select(unique)
        assert session.uid("SEARCH", "SUBJECT", "next")[1] == [b"6"]


class Servers:
    """A house on a broker and a store of its own, which may be killed."""

    def __init__(self, house: Installation, broker: Cluster, store: ObjectStoreServer) -> None:
        self.house, self.broker, self.store = house, broker, store


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = tmp_path_factory.mktemp("fragile")
    for folder in ("kafka", "minio"):
        (home / folder).mkdir()
    with kafka(home / "kafka") as broker, minio(home / "minio") as store:
        words = {"bus": broker.url, "store": new_bucket(store.endpoint), "environment": S3_ENVIRONMENT}
        with merpati(home / "house", users=("bob",), groups=APART, **words) as house:
            yield Servers(house, broker, store)
    # Kafka's clients print tracebacks of their own when a broker is gone; a bug of ours is a loop that began again.
    assert "event=restarted" not in house.logs()
    assert "never retrieved" not in house.logs()


def kill_broker(servers: Servers) -> None:
    servers.broker.kill()
    time.sleep(2)
    servers.broker.restart()


def freeze_broker(servers: Servers) -> None:
    servers.broker.pause()
    time.sleep(6)
    servers.broker.resume()


def kill_store(servers: Servers) -> None:
    servers.store.kill()
    time.sleep(2)
    servers.store.restart()


def freeze_store(servers: Servers) -> None:
    servers.store.pause()
    time.sleep(6)
    servers.store.resume()


@pytest.mark.xdist_group("live-scaled")
@pytest.mark.parametrize("harm", [kill_broker, freeze_broker, kill_store, freeze_store])
def test_a_lost_broker_or_store_loses_and_doubles_nothing(
    fragile: Servers, unique: str, harm: Callable[[Servers], None]
) -> None:
    sender = Sender(fragile.house, unique, 150)
    before: Mailbox = {}

    def look() -> None:
        before.update(eventually(lambda: mailbox(fragile.house, unique), bool, 60))

    sender.run((20, look), (50, lambda: harm(fragile)))
    assert_each_once(fragile.house, sender, unique, before)


@pytest.mark.xdist_group("live-scaled")
def test_while_the_broker_is_down_the_answer_is_later(fragile: Servers, unique: str) -> None:
    fragile.broker.kill()
    try:
        with smtplib.SMTP("127.0.0.1", fragile.house.ports["mx"], timeout=100) as session:
            session.ehlo()
            session.mail("xenia@elsewhere.test")
            code = session.rcpt("bob@here.test")[0]
            if code == 250:
                code = session.data(message(unique))[0]
        assert 400 <= code < 500
    finally:
        fragile.broker.restart()
    sender = Sender(fragile.house, unique, 1)
    sender.run()
    wait_for(fragile.house, "bob", f"{unique}-0000", seconds=60)


@pytest.mark.xdist_group("live-scaled")
def test_while_the_store_is_down_a_large_message_is_told_later(fragile: Servers, unique: str) -> None:
    large = message(unique, "\r\n".join(["x" * 70] * 10_000))
    fragile.store.kill()
    try:
        with mx(fragile.house) as session:
            session.sock.settimeout(100)
            session.ehlo()
            session.mail("xenia@elsewhere.test")
            code = session.rcpt("bob@here.test")[0]
            if code == 250:
                code = session.data(large)[0]
        assert 400 <= code < 500
    finally:
        fragile.store.restart()
    with mx(fragile.house) as session:
        session.sendmail("xenia@elsewhere.test", ["bob@here.test"], large)
    assert wait_for(fragile.house, "bob", unique, seconds=60)[0].endswith(large)
