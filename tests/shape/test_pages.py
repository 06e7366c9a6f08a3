"""The pages that follow from the code are what the code says: settings, metrics, the events' schema."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("pages", ROOT / "deploy" / "dev" / "pages.py")
assert spec is not None and spec.loader is not None
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


@pytest.mark.parametrize("name", sorted(pages.PAGES))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == pages.PAGES[name](), "run make docs"


def test_every_setting_is_documented() -> None:
    silent = [line for line in pages.settings_page().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert silent == []
