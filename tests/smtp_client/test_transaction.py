"""One message: one outcome for each recipient, whatever the server says and wherever it stops."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from delivery.smtp.outcome import Phase, Verdict
from tests.smtp_client.talk import OPTIONS, STUFFED, Wire, envelope, opened

A, T, P, U = Verdict.ACCEPTED, Verdict.TEMPORARY, Verdict.PERMANENT, Verdict.UNKNOWN
GROUP = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"


def verdicts(wire: Wire) -> list[Verdict]:
    assert wire.outcomes is not None
    return [outcome.verdict for outcome in wire.outcomes]


def test_with_pipelining_the_commands_go_together() -> None:
    wire = opened(b"PIPELINING")
    assert wire.deliver(envelope()) == GROUP
    assert wire.client.phase is Phase.MAIL
    wire.say(b"250 ok\r\n")
    assert wire.client.phase is Phase.RCPT
    wire.say(b"250 ok\r\n")
    assert wire.client.phase is Phase.DATA
    assert wire.say(b"354 go\r\n") == STUFFED
    assert wire.client.phase is Phase.DOT
    wire.say(b"250 2.0.0 queued as 1\r\n")
    assert wire.outcomes is not None
    (outcome,) = wire.outcomes
    assert (outcome.verdict, outcome.status, outcome.text, outcome.code, outcome.phase, outcome.dsn_passed_on) == (
        *(A, "2.0.0", "250 2.0.0 queued as 1", 250, Phase.DOT, False),
    )
    assert wire.client.usable


@pytest.mark.parametrize(("offer", "believed"), [(b"SIZE", True), (b"PIPELINING", False)])
def test_without_pipelining_each_command_waits_for_its_answer(offer: bytes, believed: bool) -> None:
    wire = opened(offer, replace(OPTIONS, pipelining=believed))
    assert wire.deliver(envelope("c@d", "e@f")).startswith(b"MAIL FROM:<a@b.test>")
    assert wire.say(b"250 ok\r\n") == b"RCPT TO:<c@d>\r\n"
    assert wire.say(b"250 ok\r\n") == b"RCPT TO:<e@f>\r\n"
    assert wire.say(b"250 ok\r\n") == b"DATA\r\n"
    assert wire.say(b"354 go\r\n") == STUFFED
    wire.say(b"250 ok\r\n")
    assert verdicts(wire) == [A, A]


def test_that_the_peer_reports_is_told() -> None:
    wire = opened(b"PIPELINING\nDSN")
    wire.deliver(envelope())
    wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
    wire.say(b"250 ok\r\n")
    assert wire.outcomes is not None
    assert wire.outcomes[0].dsn_passed_on


# Answers to MAIL, RCPT c, RCPT e, DATA and the dot, in that order, as far as they come; what becomes of c and e

TABLE: list[tuple[list[bytes], list[Verdict], str]] = [
    ([b"250", b"250", b"250", b"354", b"250"], [A, A], "all is well"),
    ([b"250", b"251", b"252", b"354", b"250"], [A, A], "other ways of saying yes"),
    ([b"250", b"250", b"550", b"354", b"250"], [A, P], "one unknown"),
    ([b"250", b"450", b"250", b"354", b"250"], [T, A], "one greylisted"),
    ([b"250", b"552", b"250", b"354", b"250"], [T, A], "552 is too many (RFC 5321 section 4.5.3.1.10)"),
    ([b"250", b"550", b"450", b"503"], [P, T], "nobody"),
    ([b"250", b"550", b"450", b"354", b"554"], [P, T], "nobody, and a server that waits for data all the same"),
    ([b"250", b"550", b"450", b"354", b"250"], [P, T], "nobody, and a server that takes an empty message for it"),
    ([b"550", b"503", b"503", b"503"], [P, P], "the sender is refused"),
    ([b"450", b"250", b"250", b"354", b"250"], [T, T], "the sender is deferred and all else is answered yes"),
    ([b"250", b"250", b"250", b"451"], [T, T], "DATA deferred"),
    ([b"250", b"250", b"250", b"554"], [P, P], "DATA refused"),
    ([b"250", b"250", b"550", b"354", b"451"], [T, P], "the message deferred"),
    ([b"250", b"250", b"450", b"354", b"552"], [P, T], "the message refused"),
    ([b"250", b"550", b"421"], [P, T], "421 to a recipient"),
    ([b"421"], [T, T], "421 to MAIL"),
    ([b"250", b"250", b"250", b"421"], [T, T], "421 to DATA"),
    ([b"250", b"250", b"550", b"354", b"421"], [T, P], "421 to the dot"),
    ([b"354"], [T, T], "354 to MAIL"),
    ([b"250", b"354"], [T, T], "354 to a recipient: out of step"),
    ([b"250", b"250", b"250", b"250"], [T, T], "250 to DATA"),
    ([b"250", b"250", b"550", b"334"], [T, P], "334 to DATA"),
    ([b"250", b"250", b"550", b"354", b"354"], [U, P], "354 to the dot"),
    ([b"250", b"250", b"550", b"354", b"hello"], [U, P], "junk for an answer to the dot"),
    ([b"250", b"250", b"hello"], [T, T], "junk for an answer to a recipient"),
]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(("answers", "wanted", "reason"), TABLE)
def test_each_recipient_has_the_outcome_that_was_said_of_it(
    answers: list[bytes], wanted: list[Verdict], reason: str, pipelining: bool
) -> None:
    wire = opened(b"PIPELINING", replace(OPTIONS, pipelining=pipelining))
    wire.deliver(envelope("c@d", "e@f"))
    for answer in answers:
        if wire.outcomes is None:
            wire.say(answer + b" said\r\n")
    assert verdicts(wire) == wanted, reason
    assert wire.closed is not wire.client.usable
    for outcome in wire.outcomes or ():
        assert outcome.status[0] == {A: "2", T: "4", P: "5", U: "4"}[outcome.verdict]
        assert outcome.text.isprintable()


def test_nobody_gets_a_message_that_all_refused_but_a_lone_dot_where_the_server_waits() -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.say(b"250 ok\r\n550 no\r\n")
    assert wire.say(b"354 go\r\n") == b".\r\n"
    wire.say(b"554 empty\r\n")
    assert verdicts(wire) == [P]
    assert wire.client.usable


def test_no_data_is_said_when_all_refused_before_it_was() -> None:
    wire = opened(b"SIZE")
    wire.deliver(envelope())
    wire.say(b"250 ok\r\n")
    wire.say(b"550 no\r\n")
    assert b"DATA" not in wire.sent
    assert verdicts(wire) == [P]


def test_a_message_follows_another_on_one_connection() -> None:
    wire = opened(b"PIPELINING")
    for _ in range(3):
        assert wire.deliver(envelope()) == GROUP
        wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
        wire.say(b"250 ok\r\n")
        assert verdicts(wire) == [A]


@pytest.mark.parametrize(
    "answers", [b"550 no\r\n503 no\r\n503 no\r\n", b"250 ok\r\n550 no\r\n503 no\r\n", b"250 ok\r\n250 ok\r\n451 no\r\n"]
)
def test_after_a_failure_the_next_message_begins_with_rset(answers: bytes) -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.say(answers)
    assert wire.deliver(envelope()) == b"RSET\r\n" + GROUP
    wire.say(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    wire.say(b"250 ok\r\n")
    assert verdicts(wire) == [A]
    assert wire.deliver(envelope()) == GROUP


def test_a_refused_rset_ends_the_session() -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.say(b"550 no\r\n503 no\r\n503 no\r\n")
    wire.deliver(envelope())
    wire.say(b"500 what\r\n")
    assert verdicts(wire) == [T]
    assert wire.closed


WHERE: list[tuple[bytes, Verdict, Phase]] = [
    (b"", T, Phase.MAIL),
    (b"250 ok\r\n", T, Phase.RCPT),
    (b"250 ok\r\n250 ok\r\n", T, Phase.DATA),
    (b"250 ok\r\n250 ok\r\n354 go\r\n", U, Phase.DOT),
]


@pytest.mark.parametrize("ending", ["lost", "timed_out"])
@pytest.mark.parametrize(("said", "verdict", "phase"), WHERE)
def test_a_lost_answer_is_unknown_behind_the_dot_and_a_no_before_it(
    said: bytes, verdict: Verdict, phase: Phase, ending: str
) -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.say(said)
    wire.do(getattr(wire.client, ending)())
    assert wire.outcomes is not None
    assert [(each.verdict, each.phase, each.status) for each in wire.outcomes] == [(verdict, phase, "4.4.2")]
    assert f"waiting for {phase.value}" in wire.outcomes[0].text
    assert wire.closed


def test_a_message_that_is_not_sent_to_its_end_is_not_sent() -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.client.feed(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert wire.client.phase is Phase.BODY
    wire.do(wire.client.body_failed("store unavailable"))
    assert verdicts(wire) == [T]
    assert wire.closed


@pytest.mark.parametrize(
    ("said", "verdict"), [(b"552 too big\r\n", P), (b"451 no\r\n", T), (b"421 bye\r\n", T), (b"250 ok\r\n", T)]
)
def test_an_answer_in_the_middle_of_the_message_ends_the_session(said: bytes, verdict: Verdict) -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    wire.client.feed(b"250 ok\r\n250 ok\r\n354 go\r\n")
    wire.do(wire.client.feed(said))
    assert verdicts(wire) == [verdict]
    assert wire.closed


def test_an_answer_to_the_dot_before_the_message_was_sent_is_not_believed() -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope())
    assert wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n") == b""
    assert verdicts(wire) == [T]
    assert wire.closed


def test_answers_to_what_was_not_said_are_not_believed() -> None:
    wire = opened(b"SIZE")
    wire.deliver(envelope())
    assert wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n") == b""
    assert verdicts(wire) == [T]
    assert wire.closed


def test_a_message_for_a_session_that_is_over_waits() -> None:
    wire = opened()
    wire.say(b"421 bye\r\n")
    assert wire.client.deliver(envelope())[0].outcomes[0].verdict is T  # type: ignore[union-attr]


def test_a_message_to_nobody_is_done_at_once() -> None:
    wire = opened()
    assert wire.deliver(replace(envelope(), recipients=())) == b""
    assert wire.outcomes == ()


def test_a_thousand_recipients_go_in_one_message() -> None:
    wire = opened(b"PIPELINING")
    wire.deliver(envelope(*(f"u{number}@d" for number in range(1000))))
    wire.say(b"250 ok\r\n" * 1001 + b"354 go\r\n")
    wire.say(b"250 ok\r\n")
    assert verdicts(wire) == [A] * 1000


# A server of chance: for each command it picks one of these

CODES = st.sampled_from([250, 250, 250, 251, 354, 354, 421, 450, 451, 550, 552, 554, 220, 334])


def conversation(codes: list[int], *, pipelining: bool, cut: int) -> tuple[Wire, list[int]]:
    """A server that answers each command as it comes, and the message; how many of `codes` it used."""
    wire = opened(b"PIPELINING", replace(OPTIONS, pipelining=pipelining))
    wire.deliver(envelope("c@d", "e@f", "g@h"))
    seen = len(wire.sent) - len(wire.sent[wire.sent.index(b"MAIL") :])
    used: list[int] = []
    data = False
    while wire.outcomes is None and len(used) < len(codes):
        end = wire.sent.find(b"\r\n.\r\n" if data else b"\r\n", seen - 2 if data else seen)
        if end < 0:
            break
        seen = end + (5 if data else 2)
        data = codes[len(used)] == 354 and wire.sent[:seen].endswith(b"DATA\r\n")
        used.append(codes[len(used)])
        wire.say(b"%d-one\r\n%d two\r\n" % (used[-1], used[-1]), cut)
    if wire.outcomes is None:
        wire.do(wire.client.lost())
    return wire, used


@settings(max_examples=400, deadline=None)
@given(st.lists(CODES, min_size=0, max_size=8), st.integers(0, 5))
def test_whatever_the_server_answers_each_recipient_has_one_outcome(codes: list[int], cut: int) -> None:
    told = []
    for pipelining in (True, False):
        wire, used = conversation(codes, pipelining=pipelining, cut=cut)
        whole, _ = conversation(codes, pipelining=pipelining, cut=0)
        assert wire.outcomes == whole.outcomes
        assert wire.sent == whole.sent
        assert wire.outcomes is not None
        assert [outcome.recipient.address for outcome in wire.outcomes] == ["c@d", "e@f", "g@h"]
        accepted = [outcome for outcome in wire.outcomes if outcome.verdict is A]
        if accepted:
            # nothing is believed but a yes to MAIL, to the recipient, 354 to DATA, a yes to the dot
            assert used[0] // 100 == 2
            assert used[4] == 354
            assert used[5] // 100 == 2
            assert len(accepted) == sum(code // 100 == 2 for code in used[1:4])
        if any(outcome.verdict is U for outcome in wire.outcomes):
            assert wire.sent.endswith(STUFFED)
        told.append([outcome.verdict for outcome in wire.outcomes])
    refused_early = codes[:1] and codes[0] // 100 != 2
    if len(codes) >= 6 and not refused_early and any(code // 100 == 2 for code in codes[1:4]):
        assert told[0] == told[1]
