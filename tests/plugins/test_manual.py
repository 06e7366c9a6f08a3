"""docs/processors.md tells of every action, property of a mail and setting there is, and of no other."""

import re
import tomllib
from pathlib import Path

from merpati import plugins
from merpati.plugins.actions import Action
from merpati.plugins.mail import Mail
from merpati.plugins.testing import mail_from
from merpati.settings import ProcessorSettings, parse
from processors.isolated import MAX_WORKERS, MEMORY
from processors.pipeline import SAFEST
from processors.working import RETRIES, TIER

MANUAL = (Path(__file__).parents[2] / "docs" / "processors.md").read_text()


def test_it_tells_of_every_action_and_its_fields() -> None:
    told = dict(re.findall(r"^\| `([A-Z]\w+)\(([^)]*)\)` \|", MANUAL, re.MULTILINE))
    known = {kind.__name__: ", ".join(kind.__struct_fields__[:-1]) for kind in Action.__subclasses__()}
    assert told == known
    assert set(known) < set(plugins.__all__)


def test_it_tells_of_everything_that_can_be_asked_of_a_mail() -> None:
    told = set(re.findall(r"`mail\.(\w+)", MANUAL))
    known = {name for name in dir(Mail) if not name.startswith("_")}
    assert told - {"dead", "retry"} == known - {"facts", "data", "read_ahead"}
    assert all(hasattr(mail_from(), name) for name in told & known)


def test_its_settings_are_settings() -> None:
    text = MANUAL.split("```toml\n")[1].split("```")[0]
    (entry,) = parse(tomllib.loads(text)).processors
    defaults = ProcessorSettings(use="x")
    for name in ("stage", "mode", "timeout", "on_error"):
        assert getattr(entry, name) == getattr(defaults, name)


def test_its_numbers_are_the_numbers() -> None:
    assert f"after {RETRIES} times" in MANUAL and TIER[1] == 120.0 and "every two minutes" in MANUAL
    assert MEMORY == 1 << 30 and "1 GiB" in MANUAL and MAX_WORKERS == 4 and "up to four" in MANUAL
    assert ", ".join(f"`{kind.__name__}`" for kind in SAFEST) in MANUAL
