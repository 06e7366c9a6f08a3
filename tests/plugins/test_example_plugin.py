"""The package under docs/example-plugin: installed as by an operator, its own tests run, and mail sent through it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from merpati.clock import SystemClock
from merpati.events import Happened, Local, What
from merpati.plugins.testing import FakeDns
from merpati.settings import ProcessorSettings, parse
from merpati.telemetry import Metrics
from processors.handler import Handler
from processors.isolated import Isolated
from processors.loading import resolve
from processors.registry import build_row
from tests.processors.site import HOST, Site

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example-plugin"
OPTIONS = {"parent": "Mailing lists"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, and beside it the folder `site` it is installed into."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "plugin")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [*pip, "--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "plugin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_its_own_tests_pass(installed: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{installed / 'site'}:{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        command, cwd=installed / "plugin", env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_settings_of_its_readme_are_settings(installed: Path) -> None:
    text = (EXAMPLE / "README.md").read_text()
    block = text.split("```toml\n")[1].split("```")[0]
    (entry,) = parse(tomllib.loads(block)).processors
    assert (entry.use, entry.on_error, entry.options) == ("list-folders", "skip", {"parent": "Lists"})


@pytest.mark.slow
async def test_mail_goes_through_it_by_the_name_of_its_entry_point(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed / "site"))
    target = resolve("list-folders")
    assert (target.path, target.ours) == ("merpati_list_folders:ListFolders", False)
    clock = SystemClock()
    site = await Site(clock).open()
    entry = ProcessorSettings(use="list-folders", options=OPTIONS)
    row = build_row([entry], "stream", FakeDns(), clock, HOST, Metrics())
    assert isinstance(row._processors[0].runnable, Isolated)
    await row.start()
    handler = Handler(row, site.directory, clock, HOST)
    folders = []
    for raw in (b"List-Id: <talk.x.org>\r\nSubject: a\r\n\r\nx\r\n", b"Subject: b\r\n\r\nx\r\n"):
        outputs = await handler.handle(site.received(raw=raw), raw, clock.time())
        folders += [event.folder for event, _ in outputs.events if isinstance(event, Local)]
        said = [
            event.detail for event, _ in outputs.events if isinstance(event, Happened) and event.what is What.PROCESSED
        ]
        assert said[0]["processor"] == "list-folders" and said[0]["outcome"] == "answered"
    assert not row.wants_body
    await row.stop()
    assert folders == ["Mailing lists/talk", "INBOX"]
