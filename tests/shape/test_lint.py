"""Lint, layout and types hold. `make check` runs the same tools by themselves, so that they answer at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.installed import ROOT

TOOLS = {
    "lint": ["ruff", "check", "."],
    "layout": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_has_nothing_to_say(tool: str, tmp_path: Path) -> None:
    # mypy that goes on from the cache of another state of the tree may miss attributes that are there
    fresh = os.environ | {"MYPY_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", *TOOLS[tool]], cwd=ROOT, env=fresh, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
