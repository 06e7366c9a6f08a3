"""How the words of several processors combine: the rules of `processors.pipeline`, one row each."""

import pytest

from merpati.plugins import (
    Accept,
    AddHeader,
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
from merpati.plugins.actions import AnyAction
from processors.pipeline import Fate, Judgement, begin, combine

A, B = "a@x.test", "b@x.test"
ONLY_A = frozenset({A})


def judged(*answers: AnyAction | list[AnyAction], applied: bool = True) -> Judgement:
    judgement = begin([A, B])
    for number, answer in enumerate(answers):
        actions = tuple(answer) if isinstance(answer, list) else (answer,)
        judgement = combine(judgement, f"p{number}", actions, applied=applied)
    return judgement


@pytest.mark.parametrize(
    ("answers", "word", "by"),
    [
        ([], None, ""),
        ([Tag("x"), FileInto("F")], None, ""),
        ([Quarantine("x")], Quarantine("x"), "p0"),
        ([Tag("x"), Quarantine("x")], Quarantine("x"), "p1"),
        # the first that settles has the last word
        ([Accept(), Refuse()], Accept(), "p0"),
        ([Quarantine("x"), Accept()], Quarantine("x"), "p0"),
        ([Discard(), Quarantine()], Discard(), "p0"),
        ([Refuse(), Defer()], Refuse(), "p0"),
        # within one answer the safest wins
        ([[Accept(), Discard()]], Discard(), "p0"),
        ([[Discard(), Refuse()]], Refuse(), "p0"),
        ([[Refuse(), Quarantine()]], Quarantine(), "p0"),
        ([[Quarantine(), Defer()]], Defer(), "p0"),
        ([[Accept(), Discard(), Refuse(), Quarantine(), Defer()]], Defer(), "p0"),
    ],
)
def test_who_has_the_last_word(answers: list, word: AnyAction | None, by: str) -> None:
    fate = judged(*answers).fates[A]
    assert (fate.last_word, fate.said_by) == (word, by)


def test_a_word_for_some_leaves_the_others_to_later_processors() -> None:
    judgement = judged(Discard(recipients=ONLY_A), Quarantine("later"))
    assert judgement.fates[A].last_word == Discard(recipients=ONLY_A)
    assert judgement.fates[B].last_word == Quarantine("later")


def test_settled_recipients_are_not_shown_again() -> None:
    assert judged(Accept(recipients=ONLY_A)).open == (B,)
    assert judged(Accept()).open == ()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([FileInto("one"), FileInto("two")], Fate(folder="two")),
        ([SetFlags("\\Seen"), SetFlags(("$Junk", "\\Seen"))], Fate(flags=("\\Seen", "$Junk"))),
        ([AddHeader("X", "1"), AddHeader("X", "2")], Fate(added=(("X", "1"), ("X", "2")))),
        ([RemoveHeader("Subject"), RemoveHeader("SUBJECT")], Fate(removed=frozenset({"subject"}))),
        ([Redirect("c@y.test")], Fate(redirects=("c@y.test",), keep=False)),
        ([Redirect("c@y.test", keep=True)], Fate(redirects=("c@y.test",), keep=True)),
        (
            [Redirect("c@y.test", keep=True), Redirect(("d@y.test", "c@y.test"))],
            Fate(redirects=("c@y.test", "d@y.test"), keep=False),
        ),
        ([[Accept(), FileInto("F")], FileInto("G")], Fate(Accept(), "p0", folder="F")),
        ([[Quarantine(), AddHeader("X", "1")]], Fate(Quarantine(), "p0", added=(("X", "1"),))),
    ],
)
def test_what_shapes_the_mail_adds_up(answers: list, expected: Fate) -> None:
    assert judged(*answers).fates[A] == expected


def test_tags_and_findings_are_for_those_who_come_after() -> None:
    judgement = judged([Tag("one"), Finding("pass", {"domain": "x.test"})], [Tag("two"), Tag("one")])
    assert judgement.tags == ("one", "two")
    assert (judgement.results["p0"].value, judgement.results["p0"].details) == ("pass", {"domain": "x.test"})
    assert judgement.results["p0"].actions == (Tag("one"),)


def test_what_is_said_in_shadow_is_noted_and_not_done() -> None:
    judgement = judged([Quarantine("x"), Tag("t"), Finding("fail")], applied=False)
    assert judgement.fates == {A: Fate(), B: Fate()} and judgement.tags == ()
    result = judgement.results["p0"]
    assert (result.value, result.applied, result.actions) == ("fail", False, (Quarantine("x"), Tag("t")))


def test_a_stranger_among_the_recipients_is_noted_and_changes_nobody() -> None:
    judgement = judged(Quarantine("x", recipients=frozenset({"eve@z.test"})))
    assert judgement.fates == {A: Fate(), B: Fate()}
    assert judgement.results["p0"].strangers == ("eve@z.test",)


def test_a_word_for_nobody_is_for_nobody() -> None:
    assert judged(Discard(recipients=frozenset())).fates == {A: Fate(), B: Fate()}
