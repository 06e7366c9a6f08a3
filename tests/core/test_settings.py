"""Settings: the defaults are DESIGN's, the environment goes over the file, a mistake is answered in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from merpati import settings
from merpati.errors import Misconfigured
from merpati.settings import Settings, load, parse, seconds


def test_the_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(None, {})
    assert found == Settings()
    assert found.bus.url == "sqlite:" and found.store.url == "file:" and found.ingest.mx == "127.0.0.1:2525"


def test_a_file_named_in_the_environment_is_read_and_its_paths_are_its_own(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "merpati.toml"
    file.parent.mkdir()
    file.write_text('hostname = "mx.a.test"\ndata = "mail"\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n')
    found = load(None, {"MERPATI_CONFIG": str(file)})
    assert found.hostname == "mx.a.test"
    assert found.data_path == tmp_path / "etc" / "mail"
    assert found.tls.certificate == str(tmp_path / "etc" / "c.pem")


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "merpati.toml"
    file.write_text('[bus]\nurl = "sqlite:"\npartitions = 3\n[delivery.routes]\n"a.test" = "127.0.0.1:25"\n')
    environment = {
        "MERPATI_BUS__URL": "kafka://b:9092",
        "MERPATI_DELIVERY__RETRY": '["1s", "2s"]',
        "MERPATI_INGEST__MAX_RECIPIENTS": "7",
        "MERPATI_HOSTNAME": "mx.b.test",
    }
    found = load(str(file), environment)
    assert found.bus.url == "kafka://b:9092" and found.bus.partitions == 3
    assert found.delivery.retry == ("1s", "2s") and found.delivery.routes == {"a.test": "127.0.0.1:25"}
    assert found.ingest.max_recipients == 7 and found.hostname == "mx.b.test"


MISTAKES = [
    ({"bus": {"ulr": "x"}}, "did you mean `bus.url`?"),
    ({"hostnam": "x"}, "did you mean `hostname`?"),
    ({"processors": [{"use": "a", "stag": "edge"}]}, "did you mean `processors.stage`?"),
    ({"ingest": {"mx": "2525"}}, '`ingest.mx`: expected "address:port"'),
    ({"delivery": {"retry": ["5 minutes"]}}, "expected a time such as 30s"),
    ({"bus": {"partitions": 0}}, "`bus.partitions`"),
    ({"bus": {"partitions": "8"}}, "`bus.partitions`"),
    ({"processors": [{}]}, "missing required field `use`"),
]


@pytest.mark.parametrize(("raw", "words"), MISTAKES)
def test_a_mistake_is_answered_in_words_that_help(raw: dict[str, object], words: str) -> None:
    with pytest.raises(Misconfigured) as failure:
        parse(raw)
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("variable", "words"),
    [("MERPATI_BUSS__URL", "did you mean `bus`?"), ("MERPATI_BUS__ULR", "did you mean `bus.url`?")],
)
def test_a_mistyped_variable_is_answered_too(variable: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as failure:
        load(None, {variable: "x"})
    assert words in str(failure.value)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no settings file"):
        load(str(tmp_path / "none.toml"), {})


def test_broken_toml_names_the_file_and_the_place(tmp_path: Path) -> None:
    file = tmp_path / "merpati.toml"
    file.write_text("hostname = \n")
    with pytest.raises(Misconfigured, match=r"merpati\.toml.*line 1"):
        load(str(file), {})


@pytest.mark.parametrize(
    ("text", "value"), [("250ms", 0.25), ("30s", 30.0), ("5m", 300.0), ("2h", 7200.0), ("5d", 432_000.0)]
)
def test_a_span_is_read_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


def test_every_setting_says_what_it_is() -> None:
    source = Path(settings.__file__).read_text()
    for line in source.splitlines():
        if line.startswith("class ") and "Struct" in line:
            name = line.split()[1].split("(")[0]
            assert getattr(settings, name).__doc__, name


def test_variables_of_the_tests_and_of_development_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {"MERPATI_DEV_CACHE": "/c", "MERPATI_TEST_KAFKA": "kafka://b:9092"}) == Settings()
