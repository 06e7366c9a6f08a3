"""Folder names: what can be one, and in which form it is kept."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.clock import ManualClock
from merpati.mailbox.api import BadName, MailboxLimits
from merpati.mailbox.names import checked_name
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, mailboxes, messages

LIMITS = MailboxLimits()

GOOD = [  # given, kept
    ("a", "a"),
    ("Sent Items", "Sent Items"),
    ("inbox", "INBOX"),
    ("InBoX/x", "INBOX/x"),
    ("INBOXES", "INBOXES"),
    ("x/inbox", "x/inbox"),
    ("a/b/", "a/b"),  # a client that says "there will be folders below"
    ("Entwürfe", "Entwürfe"),
    ("e\u0301te\u0301", "été"),  # NFD becomes NFC
    ("受信箱", "受信箱"),
    ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    ("~user", "~user"),
    ("#shared", "#shared"),
    ("back\\slash", "back\\slash"),
    ("&-", "&-"),
    ("..a", "..a"),
    ('q"uote', 'q"uote'),
    ("%2e%2e".replace("%", "="), "=2e=2e"),
    ("x" * 255, "x" * 255),
    ("/".join("abcdefghij" * 5), "/".join("abcdefghij" * 5)),
]

BAD = [
    "",
    "/",
    "//",
    "/abs",
    "a//b",
    "../x",
    "a/../../other/INBOX",
    "./a",
    "a/.",
    "%2e%2e",  # a wildcard of LIST
    "a*",
    "a\0b",
    "a\rb",
    "a\r\n* OK forged",
    "tab\there",
    "del\x7f",
    "\u202edrawkcab",
    "line\u2028separator",
    "zero\ufeffwidth",
    "lone\ud800surrogate",
    " begins",
    "ends ",
    "a/ b",
    "x" * 256,
    "ü" * 128,  # 256 bytes
    "/".join(["y" * 200] * 6),
    "/".join("a" * 51),
]


@pytest.mark.parametrize(("name", "kept"), GOOD)
def test_a_good_name_is_kept(name: str, kept: str) -> None:
    assert checked_name(name, LIMITS) == kept
    assert checked_name(kept, LIMITS) == kept


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        checked_name(name, LIMITS)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_is_refused(name: str) -> None:
    try:
        kept = checked_name(name, LIMITS)
    except BadName:
        return
    assert checked_name(kept, LIMITS) == kept
    assert not re.search(r"[\r\n\0*%]", kept)


async def test_whatever_a_folder_is_called_no_key_of_the_store_comes_from_it() -> None:
    store = MemoryStore(ManualClock())
    account = await mailboxes(store).open(ACCOUNT)
    for name, kept in GOOD:
        if kept not in account.view().folders:
            await account.create(name)
        await account.append(messages(1, folder=name))
        assert (await account.folder(name)).exists == 1
    keys = [info.key async for info in store.list("")]
    assert all(re.fullmatch(rf"accounts/{ACCOUNT}/log/\d{{20}}", key) for key in keys)
