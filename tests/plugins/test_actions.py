"""What a processor may answer, and what is no answer."""

import pytest

from merpati.plugins import (
    Accept,
    AddHeader,
    BadAnswer,
    Defer,
    Discard,
    FileInto,
    Finding,
    Quarantine,
    Redirect,
    Refuse,
    RemoveHeader,
    SetFlags,
    Tag,
)
from merpati.plugins.actions import MAX_ACTIONS, read_actions, read_answer, said, write_actions

GOOD = [
    (Accept(), "accept"),
    (Refuse("no", code=554, enhanced="5.7.0"), "refuse: 554 5.7.0 no"),
    (Defer(), "defer: 451 4.7.1 try again later"),
    (Quarantine("virus", recipients={"b@c.d", "a@b.c"}), "quarantine: virus"),
    (Discard("duplicate"), "discard: duplicate"),
    (Redirect("a@b.c", keep=True), "redirect: a@b.c"),
    (Redirect(("a@b.c", "d@e.f")), "redirect: a@b.c, d@e.f"),
    (FileInto("Lists/ünï"), "file into: Lists/ünï"),
    (AddHeader("X-Spam", "yes\r\n no"), "add header: X-Spam"),
    (RemoveHeader("X-Spam"), "remove header: X-Spam"),
    (Tag("spam"), "tag: spam"),
    (SetFlags("\\Flagged"), "set flags: \\Flagged"),
    (SetFlags(["\\Seen", "$Junk"]), "set flags: \\Seen $Junk"),
    (Finding("pass", {"domain": "example.org"}), "finding: pass"),
]


@pytest.mark.parametrize(("action", "words"), GOOD)
def test_an_action_is_read_told_and_written(action, words: str) -> None:  # type: ignore[no-untyped-def]
    (read,) = read_answer(action)
    assert read_actions(write_actions([read])) == (read,)
    assert said(read) == words


def test_nothing_one_and_many_are_answers() -> None:
    assert read_answer(None) == ()
    assert read_answer(Tag("x")) == (Tag("x"),)
    assert read_answer([Tag("x"), Accept()]) == (Tag("x"), Accept())
    assert read_answer(()) == ()


@pytest.mark.parametrize(
    "answer",
    [
        "quarantine",
        True,
        0,
        {"do": "accept"},
        object(),
        [Accept(), "x"],
        [[Accept()]],
        Accept,  # the class, not a value of it
        (x for x in [Accept()]),
        Quarantine("two\nlines"),
        Quarantine("one line\n"),
        Quarantine("x" * 1001),
        Quarantine(7),  # type: ignore[arg-type]
        Quarantine("x", recipients="a@b.c"),  # type: ignore[arg-type]
        Quarantine("x", recipients=[7]),  # type: ignore[arg-type]
        Quarantine("\ud800"),
        Refuse(code=250),
        Refuse(code=450),
        Refuse(enhanced="5.7"),
        Defer(code=550),
        FileInto(""),
        FileInto("a\0b"),
        FileInto("a\r\nb"),
        AddHeader("X Y", "z"),
        AddHeader("X:", "z"),
        AddHeader("", "z"),
        AddHeader("X\r\nY", "z"),
        AddHeader("X", "a\0b"),
        AddHeader("X", "y" * 10_001),
        Tag("two words"),
        Tag(""),
        [Tag("x")] * (MAX_ACTIONS + 1),
    ],
)
def test_junk_is_no_answer(answer: object) -> None:
    with pytest.raises(BadAnswer):
        read_answer(answer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Redirect("nobody"),
        lambda: Redirect("a b@c.d"),
        lambda: Redirect("a@b.c\r\nX: y"),
        lambda: Redirect(7),
        lambda: Redirect(("a@b.c", None)),
        lambda: Redirect(()),
        lambda: SetFlags("\\Deleted"),
        lambda: SetFlags("\\Recent"),
        lambda: SetFlags("a b"),
        lambda: SetFlags("(x)"),
        lambda: SetFlags("é"),
        lambda: SetFlags([]),
        lambda: SetFlags(None),
    ],
)
def test_an_impossible_action_cannot_be_made(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError):
        make()


def test_the_same_actions_are_the_same_bytes() -> None:
    a = Quarantine("x", recipients=frozenset(f"r{i}@a.test" for i in range(100)))
    b = Quarantine("x", recipients=frozenset(f"r{i}@a.test" for i in reversed(range(100))))
    assert write_actions([a]) == write_actions([b])
