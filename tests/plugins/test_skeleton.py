"""What `merpati plugin new` writes works as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from merpati.errors import Permanent
from merpati.plugins.skeleton import write_package

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tests_of_a_new_package_pass(tmp_path: Path) -> None:
    written = write_package(tmp_path, "hold-big-mail")
    package = tmp_path / "hold-big-mail"
    assert package / "src/hold_big_mail/__init__.py" in written
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{package / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "a--b", "-a", "1a", "a_b", "class", "a/b", "a\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Permanent, match="no name"):
        write_package(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write_package(tmp_path, "mine")
    with pytest.raises(Permanent, match="there already"):
        write_package(tmp_path, "mine")
