"""The base subject of RFC 5256 section 2.1."""

import pytest

from merpati.message.subject import MAX_SUBJECT, base_subject

SUBJECTS = [
    # subject, base, is it an answer
    ("hello", "hello", False),
    ("  hello \t world ", "hello world", False),
    ("Re: hello", "hello", True),
    ("RE:hello", "hello", True),
    ("Re: Re: re : hello", "hello", True),
    ("Fwd: hello", "hello", True),
    ("FW: hello", "hello", True),
    ("Re[2]: hello", "hello", True),
    ("[list] hello", "hello", False),
    ("[list] Re: [other] hello", "hello", True),
    ("Re: [list] Re: hello", "hello", True),
    ("hello (fwd)", "hello", True),
    ("hello (fwd) (FWD)", "hello", True),
    ("[Fwd: hello]", "hello", True),
    ("[fwd: Re: [Fwd: [x] hello (fwd)]]", "hello", True),
    ("[hello]", "[hello]", False),  # nothing would be left
    ("Re: [hello]", "[hello]", True),
    ("[a][b]", "[b]", False),
    ("Re:", "", True),
    ("Reply: hello", "Reply: hello", False),
    ("Re hello", "Re hello", False),
    ("[unclosed hello", "[unclosed hello", False),
    ("", "", False),
    ("(fwd)", "", True),
    ("ÄÖ: x", "ÄÖ: x", False),
]


@pytest.mark.parametrize(("subject", "base", "answer"), SUBJECTS)
def test_the_base_of_a_subject_is_what_it_is_about(subject: str, base: str, answer: bool) -> None:
    assert base_subject(subject) == (base, answer)
    assert base_subject(base)[0] == base


def test_a_subject_is_cut_at_the_limit() -> None:
    assert base_subject("x" * (2 * MAX_SUBJECT)) == ("x" * MAX_SUBJECT, False)
