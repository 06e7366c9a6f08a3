"""What the processor answers, tried with Merpati's own kit: no server, no network, no waiting."""

import pytest
from merpati_list_folders import ListFolders, folder_of, list_id_of

from merpati.errors import Misconfigured
from merpati.plugins import FileInto, Finding
from merpati.plugins.testing import mail_from, run

ANNOUNCE = mail_from(headers={"List-Id": "Announcements <announce.lists.example.org>"})


def test_mail_of_a_list_goes_into_the_folder_of_the_list() -> None:
    assert run(ListFolders, ANNOUNCE) == [Finding("announce.lists.example.org"), FileInto("Lists/announce")]


def test_other_mail_is_left_alone() -> None:
    assert run(ListFolders, mail_from()) == []


def test_the_parent_folder_is_an_option() -> None:
    assert run(ListFolders, ANNOUNCE, {"parent": "Mailing lists"})[1] == FileInto("Mailing lists/announce")


def test_a_list_can_be_left_in_the_inbox() -> None:
    assert run(ListFolders, ANNOUNCE, {"except_from": ["announce.lists.example.org"]}) == [
        Finding("announce.lists.example.org")
    ]


def test_a_mistyped_option_is_told_with_the_right_one() -> None:
    with pytest.raises(Misconfigured, match="did you mean `parent`"):
        run(ListFolders, ANNOUNCE, {"parents": "Lists"})


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("<a.b.c>", "a.b.c"),
        ("Words <A.b.C>", "a.b.c"),
        ("a.b.c", ""),
        ("", ""),
        ("<>", ""),
        ("<a b>", ""),
        ("<a.b> and more", ""),
        ("<" + "x" * 300 + ">", ""),
    ],
)
def test_a_list_id_is_read_or_is_none(field: str, expected: str) -> None:
    assert list_id_of(field) == expected


@pytest.mark.parametrize(
    ("list_id", "folder"),
    [
        ("announce.lists.example.org", "announce"),
        ("../../etc", "other"),
        ("a/../b", "a"),
        ("%00", "00"),
        ("Ä.x", "other"),
    ],
)
def test_a_folder_name_is_harmless(list_id: str, folder: str) -> None:
    assert folder_of(list_id.lower()) == folder
