"""Mailboxes out to mbox and in again, byte for byte; and the mboxes of others, good and bad."""

from __future__ import annotations

import io
import mailbox as stdlib_mailbox
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merpati.errors import Permanent
from merpati.mailbox.api import Append
from merpati.mailbox.carrying import status
from merpati.mailbox.carrying.arriving import carried_in
from merpati.mailbox.carrying.mbox import MboxReader, MboxWriter, folder_name, folder_path
from merpati.mailbox.carrying.spooling import Content
from merpati.mailbox.carrying.values import Carried, Departing, Incoming, Outgoing, Unreadable
from tests.carrying.everything import NAMES, empty, everything, filled, from_mbox, to_mbox
from tests.mailbox.worlds import mail

HARD_NAMES = [*NAMES, "..", "../../etc/passwd", "a/..", "CON:", "x.sbd/y", "%2E", "a.mbox", "a.mbox/b", "\\", "ü" * 100]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_name_comes_back_and_leads_nowhere_else(name: str) -> None:
    path = folder_path(name)
    assert folder_name(path) == name
    assert not Path(path).is_absolute() and ".." not in Path(path).parts


def test_no_two_folders_have_one_file() -> None:
    paths = [folder_path(name) for name in HARD_NAMES]
    folders = {str(parent) for path in paths for parent in Path(path).parents}
    assert len(set(paths)) == len(set(HARD_NAMES)) and not folders & set(paths)


@pytest.mark.parametrize(
    ("path", "name"),
    [("Inbox", "INBOX"), ("Work.sbd/Old", "Work/Old"), ("INBOX.mbox/mbox", "INBOX"), ("All mail.mbox", "All mail")],
)
def test_names_of_other_programs_are_understood(path: str, name: str) -> None:
    assert folder_name(path) == name


async def test_what_goes_out_comes_in(tmp_path: Path) -> None:
    account, other = await filled(), await empty()
    expected = await everything(account)
    carried = await to_mbox(account, tmp_path / "out")
    assert (carried.folders, carried.messages) == (len(expected), 11)
    came = await from_mbox(other, tmp_path / "out")
    assert (came.folders, came.messages, came.there, came.notes) == (len(expected), 11, 0, ())
    assert await everything(other) == expected
    again = await from_mbox(other, tmp_path / "out")
    assert (again.messages, again.there) == (0, 11), "a second time adds nothing"


async def test_one_folder_is_one_file_and_goes_where_it_is_told(tmp_path: Path) -> None:
    account, other = await filled(), await empty()
    await to_mbox(account, tmp_path / "Old.mbox", "Work")
    await from_mbox(other, tmp_path / "Old.mbox")
    await from_mbox(other, tmp_path / "Old.mbox", "New")
    found, expected = await everything(other), (await everything(account))["Work"]
    assert found["Old"] == found["New"] == expected
    with pytest.raises(Permanent, match="there already"):
        await to_mbox(account, tmp_path / "Old.mbox", "Work")


HEADERS = [
    b"Subject: x",
    b"Status: RO",
    b"X-Keywords: spam",
    b"content-length: 5",
    b" folded",
    b"From x",
    b"\tStatus: R",
]
LINES = [
    *HEADERS,
    b"",
    b">From x",
    b"From a@b.test Sun Sep 13 12:26:40 2020",
    b".",
    b"\0",
    b"\xff",
    b">" * 700 + b"From ",
]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"]
MESSAGES = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)), min_size=1, max_size=8).map(
    lambda lines: b"".join(line + end for line, end in lines)
)
FOLDER = Departing(1, "INBOX", 1_700_000_000, 100, 1, 1, 1, True, "", ("$a", "b"))


def through(raws: list[bytes], flags: tuple[str, ...] = (), limit: int = 1 << 18) -> list[Incoming]:
    """Out to an mbox and in again."""
    file = io.BytesIO()
    writer = MboxWriter(file, single=True)
    writer.folder(FOLDER)
    writer.write([Outgoing(uid, flags, uid, 1, len(raw), Content(raw, limit)) for uid, raw in enumerate(raws, 1)])
    writer.close(Carried())
    file.seek(0)
    return list(MboxReader(file).messages())


@settings(max_examples=300)
@given(st.lists(st.tuples(MESSAGES, st.booleans()), min_size=1, max_size=3), st.sampled_from([10, 1 << 18]))
def test_any_message_comes_back_but_for_the_fields_of_the_file(cases: list[tuple[bytes, bool]], limit: int) -> None:
    raws = [raw.rstrip(b"\r\n") or b"x" if ended else raw for raw, ended in cases]
    expected = [status.without_fields(raw, whole=True) for raw in raws]
    assert [message.content.whole() for message in through(raws, limit=limit)] == expected


ALL_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "$a", "b")


@pytest.mark.parametrize("flags", [(), ("\\Seen",), ALL_FLAGS, ("\\Draft", "b"), ("\\Deleted",)])
def test_flags_and_dates_come_back(flags: tuple[str, ...]) -> None:
    (message,) = through([mail(1)], flags)
    assert set(message.flags) == set(flags) and message.date == 1


def test_a_message_cannot_set_its_own_flags() -> None:
    raw = b"X-Keywords: spam\r\nStatus: RO\r\nX-Status: F\r\nX-Merpati-Lines: unended\r\nSubject: x\r\n\r\nx\r\n"
    (message,) = through([raw])
    assert message.flags == () and message.content.whole() == b"Subject: x\r\n\r\nx\r\n"


F = b"From a@b.test Sun Sep 13 12:26:40 2020\n"
FOREIGN = [
    # an mbox of somebody's, and of its messages: the bytes, the flags
    (F + b"Subject: x\nStatus: RO\nX-Status: AF\nX-Keywords: one   two\n\ny\n", [b"Subject: x\r\n\r\ny\r\n"],
     [{"\\Seen", "\\Answered", "\\Flagged", "one", "two"}]),
    (F + b"X-Mozilla-Status: 0001\nX-Mozilla-Keys: $label1   \nA: b\n\ny\n" + F + b"X-Mozilla-Status: 0009\n\nz\n",
     [b"A: b\r\n\r\ny\r\n"], [{"\\Seen", "$label1"}]),
    (F + b"From: MAILER-DAEMON\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nz\n\n" + F
     + b"X-UID: 7\nA: b\n\ny\n", [b"A: b\r\n\r\ny\r\n"], [set()]),
    ((F + b"A: b\nStatus: R\n\ny\n\n").replace(b"\n", b"\r\n"), [b"A: b\r\n\r\ny\r\n"], [{"\\Seen"}]),
    (F + b"A: b\n\n>From me\n\n" + F + b"C: d\n\n\xff\0\n", [b"A: b\r\n\r\nFrom me\r\n", b"C: d\r\n\r\n\xff\0\r\n"],
     [set(), set()]),
    (b"\xef\xbb\xbf\n\n" + F + b"A: b\n\ny\n", [b"A: b\r\n\r\ny\r\n"], [set()]),
    (F + b"X-Merpati-Lines: unended kept x\n\n" + F + b"X-Merpati-Lines: unended\nA: b", [b"", b"A: b"],
     [set(), set()]),
    (F + b"Status:\nX-Status\nX-Keywords: \\Seen ,,\nX-Mozilla-Status: -1\n\ny\n", [b"X-Status\r\n\r\ny\r\n"], [set()]),
    (b"", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("data", "raws", "flags"), FOREIGN)
def test_the_mboxes_of_others_are_read(tmp_path: Path, data: bytes, raws: list[bytes], flags: list[set[str]]) -> None:
    (tmp_path / "x.mbox").write_bytes(data)
    for source in (tmp_path / "x.mbox", io.BytesIO(data)):
        found = list(MboxReader(source).messages())
        assert [message.content.whole() for message in found] == raws
        assert [set(message.flags) for message in found] == flags


def test_a_content_length_that_leads_to_the_next_message_is_believed(tmp_path: Path) -> None:
    body = F + b"not a message\n>From me\n"
    head = b"A: b\nContent-Length: %d\n\n"
    right, wrong = head % len(body), head % (len(body) + 5)
    (tmp_path / "x.mbox").write_bytes(F + right + body + b"\n" + F + b"C: d\n\ny\n")
    found = [message.content.whole() for message in MboxReader(tmp_path / "x.mbox").messages()]
    assert found == [b"A: b\r\n\r\n" + body.replace(b"\n", b"\r\n"), b"C: d\r\n\r\ny\r\n"]
    (tmp_path / "y.mbox").write_bytes(F + wrong + body + b"\n" + F + b"C: d\n\ny\n")
    found = [message.content.whole() for message in MboxReader(tmp_path / "y.mbox").messages()]
    assert found == [b"A: b\r\n", b"not a message\r\nFrom me\r\n", b"C: d\r\n\r\ny\r\n"]


GARBAGE = {
    "a word": b"garbage\n" + F + b"x\n",
    "NULs": b"\0" * 100,
    "a long line": b"x" * (1 << 20),
    "blank lines": b"\n" * (1 << 20) + F,
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_a_file_that_begins_with_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.mbox").write_bytes(data)
    account = await empty()
    with pytest.raises(Unreadable, match="does not begin with"):
        await from_mbox(account, tmp_path / "x.mbox")
    assert (await account.refresh()).messages == 0


async def test_among_files_only_the_mboxes_are_taken(tmp_path: Path) -> None:
    for name, data in [("Work", F + b"A: b\n\ny\n"), ("Work.msf", b"<mork>"), ("Work.sbd/Old", F + b"C: d\n\ny\n")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "Work")
    (tmp_path / "Empty.mbox").write_bytes(b"")
    account = await empty()
    carried = await from_mbox(account, tmp_path)
    found = await everything(account)
    assert carried.messages == 2 and carried.folders == 3
    assert len(found["Work"]) == len(found["Work/Old"]) == 1 and found["Empty"] == []
    with pytest.raises(Unreadable, match="no mbox Other"):
        MboxReader(tmp_path, "Other")


async def test_a_message_of_nothing_is_named_and_the_others_come(tmp_path: Path) -> None:
    (tmp_path / "x.mbox").write_bytes(F + F + b"A: b\n\ny\n\n" + F + b"Status: RO\n\n")
    account = await empty()
    carried = await from_mbox(account, tmp_path / "x.mbox")
    assert (carried.messages, carried.refused) == (1, 2)
    assert carried.notes == tuple(f"{tmp_path}/x.mbox message {number}: it is empty" for number in (1, 3))


async def test_the_same_message_twice_in_a_file_comes_twice(tmp_path: Path) -> None:
    (tmp_path / "x.mbox").write_bytes((F + b"A: b\n\ny\n\n") * 2)
    account = await empty()
    assert (await from_mbox(account, tmp_path / "x.mbox")).messages == 2
    assert (await from_mbox(account, tmp_path / "x.mbox")).there == 2


def test_headers_and_lines_of_ten_megabytes_are_carried(tmp_path: Path) -> None:
    raws = [
        b"Subject: " + b"x" * 10_000_000 + b"\n\ny\n",
        b"A: b\n\n" + b">" * 10_000_000 + b"From \n",
        b"z" * 10_000_000 + b"\n",
    ]
    (tmp_path / "x.mbox").write_bytes(b"".join(F + raw + b"\n" for raw in raws))
    with open(tmp_path / "x.mbox", "rb") as file:
        sizes = []
        for message in MboxReader(file).messages():
            assert not message.content.small
            sizes.append(message.content.size)
    assert sizes == [len(raws[0]) + 3, len(raws[1]) + 2, len(raws[2]) + 1]


async def test_python_reads_it(tmp_path: Path) -> None:
    account = await empty()
    raw = b"Subject: x\r\n\r\nFrom me\r\n\r\nFrom a@b.test Sun Sep 13 12:26:40 2020\r\n"
    await account.append([Append("INBOX", raw, ("\\Seen", "\\Flagged"), 1_600_000_000), Append("INBOX", mail(2))])
    await to_mbox(account, tmp_path / "x.mbox", "INBOX")
    first, second = stdlib_mailbox.mbox(tmp_path / "x.mbox")
    assert first.get_payload() == ">From me\n\n>From a@b.test Sun Sep 13 12:26:40 2020\n"
    assert set(first.get_flags()) == {"R", "O", "F"} and second.get_flags() == "O"
    assert first.get_from() == "MAILER-DAEMON Sun Sep 13 12:26:40 2020"


def test_the_sender_is_on_the_line_that_begins_a_message() -> None:
    file = io.BytesIO()
    writer = MboxWriter(file, single=True)
    writer.folder(FOLDER)
    for raw in (
        b"Return-Path: <a@b.test>\r\nA: b\r\n\r\n",
        b"Return-Path: <>\r\n\r\n",
        b"Return-Path: <a b\nFrom x>\r\n",
    ):
        writer.write([Outgoing(1, (), 1_600_000_000, 1, len(raw), Content(raw))])
    senders = [line.split()[1] for line in file.getvalue().splitlines() if line.startswith(b"From ")]
    assert senders == [b"a@b.test", b"MAILER-DAEMON", b"MAILER-DAEMON"]


async def test_what_python_writes_is_read(tmp_path: Path) -> None:
    box = stdlib_mailbox.mbox(tmp_path / "x.mbox")
    message = stdlib_mailbox.mboxMessage(b"Subject: x\n\nFrom me\n\nlast\n")
    message.set_flags("RAF")
    message.set_from("a@b.test", (2020, 9, 13, 12, 26, 40, 6, 257, 0))
    box.add(message)
    box.add(stdlib_mailbox.mboxMessage(b"Subject: y\n\ny\n"))
    box.close()
    account = await empty()
    assert (await carried_in(account, MboxReader(tmp_path / "x.mbox", "INBOX"))).messages == 2
    first, second = (await everything(account))["INBOX"]
    assert first == (b"Subject: x\r\n\r\nFrom me\r\n\r\nlast\r\n", {"\\Seen", "\\Answered", "\\Flagged"}, 1_600_000_000)
    assert second[0] == b"Subject: y\r\n\r\ny\r\n"
