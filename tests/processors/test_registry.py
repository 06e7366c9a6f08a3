"""From the settings to processors: every mistake is told before the first message, in words that help."""

import pytest

from merpati.clock import ManualClock
from merpati.errors import Misconfigured
from merpati.plugins.testing import FakeDns
from merpati.settings import ProcessorSettings
from merpati.telemetry import Metrics
from processors.inline import Inline
from processors.isolated import Isolated
from processors.loading import resolve
from processors.registry import build_row
from processors.row import Row
from processors.running import read_mode

FILE = {"contains": "[list]", "folder": "Lists"}


def row(*entries: dict, stage: str = "stream") -> Row:
    settings = [ProcessorSettings(**entry) for entry in entries]
    return build_row(settings, stage, FakeDns(), ManualClock(), "mx.test", Metrics())


def test_our_own_run_inline_and_those_of_others_in_a_process() -> None:
    ours, others, asked, inline = row(
        {"use": "file-by-subject", "options": FILE},
        {"use": "tests.processors.hostile:Hostile"},
        {"use": "file-by-subject", "name": "second", "options": FILE, "isolation": "process"},
        {"use": "tests.processors.hostile:Hostile", "name": "trusted", "isolation": "inline"},
    )._processors
    assert [type(each.runnable) for each in (ours, others, asked, inline)] == [Inline, Isolated, Isolated, Inline]
    assert [each.policy.name for each in (ours, others, asked)] == [
        "file-by-subject",
        "tests.processors.hostile:Hostile",
        "second",
    ]


def test_each_stage_has_its_own_row() -> None:
    entries = ({"use": "file-by-subject", "options": FILE, "stage": "edge"}, {"use": "x.y:Z"})
    assert [each.policy.name for each in row(*entries, stage="edge")._processors] == ["file-by-subject"]
    assert [each.policy.name for each in row(*entries)._processors] == ["x.y:Z"]
    assert row().empty and not row().wants_body


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"use": "file-by-subjekt"}, "no processor `file-by-subjekt`; did you mean `file-by-subject`"),
        ({"use": "zzz"}, "known are file-by-subject"),
        ({"use": "file-by-subject"}, "contains"),
        ({"use": "file-by-subject", "options": {**FILE, "foldr": "x"}}, "unknown key `foldr`; did you mean `folder`"),
        ({"use": "file-by-subject", "options": {**FILE, "folder": 7}}, "str"),
        ({"use": "file-by-subject", "options": FILE, "stage": "door"}, "stage is `edge` or `stream`, not `door`"),
        ({"use": "file-by-subject", "options": FILE, "on_error": "ignore"}, "on_error is"),
        ({"use": "file-by-subject", "options": FILE, "isolation": "vm"}, "isolation is"),
        ({"use": "file-by-subject", "options": FILE, "mode": "canary"}, "mode is"),
        ({"use": "file-by-subject", "options": FILE, "mode": "canary:5"}, "mode is"),
        ({"use": "file-by-subject", "options": FILE, "mode": "canary:101%"}, "mode is"),
        ({"use": "tests.processors.nowhere:X", "isolation": "inline"}, "cannot import"),
        ({"use": "tests.processors.hostile:NOT_ONE", "isolation": "inline"}, "is no merpati.plugins.Processor"),
    ],
)
def test_a_mistake_is_told_with_what_was_perhaps_meant(entry: dict, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        row(entry)


def test_two_of_one_name_cannot_be_told_apart() -> None:
    entry = {"use": "file-by-subject", "options": FILE}
    with pytest.raises(Misconfigured, match="two processors are called `file-by-subject`"):
        row(entry, entry)


def test_looking_a_name_up_imports_nothing() -> None:
    assert not resolve("tests.processors.nowhere:X").ours
    assert resolve("file-by-subject").ours


@pytest.mark.parametrize(
    ("text", "share"),
    [("enforce", 1.0), ("shadow", 0.0), ("canary:5%", 0.05), ("canary:0%", 0.0), ("canary:100%", 1.0)],
)
def test_a_mode_is_a_share(text: str, share: float) -> None:
    mode = read_mode(text, "x")
    assert mode.share == share
    drawn = sum(mode.applies(f"message-{n}", "p") for n in range(4000)) / 4000
    assert abs(drawn - share) < 0.02


async def test_what_was_started_is_let_go_when_a_later_one_does_not_start() -> None:
    pipeline = row(
        {"use": "tests.processors.hostile:Hostile"}, {"use": "tests.processors.hostile:BadStart", "name": "bad"}
    )
    with pytest.raises(Misconfigured, match="no licence"):
        await pipeline.start()
    first = pipeline._processors[0].runnable
    assert isinstance(first, Isolated) and not first._workers
