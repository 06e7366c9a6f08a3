"""The project's files as the shape tests see them: what git tracks, read once.

Called by the tests of this folder. A checkout without git (an unpacked archive) is walked instead.
"""

import ast
import functools
import gc
import pathlib
import subprocess
from collections.abc import Iterable, Iterator

import pytest

from tests.servers.installed import ROOT

SERVICES = ("ingest", "processors", "delivery", "access")
PACKAGES = ("merpati", *SERVICES)
# What a tool made, in a checkout without git.
UNTRACKED = {".venv", ".git", "build", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


@functools.cache
def files() -> tuple[str, ...]:
    """Paths relative to the checkout, of files that exist."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
        paths = [path for path in listed.stdout.split("\0") if path]
    else:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        paths = [str(path) for path in found if not UNTRACKED & set(path.parts)]
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def python_files() -> list[str]:
    """The Python files that are not tests."""
    return [path for path in files() if path.endswith(".py") and not path.startswith("tests/")]


@functools.cache
def text(path: str) -> str:
    """A file's text; bytes that are not UTF-8 (a hostile sample) are replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@functools.cache
def tree(path: str) -> ast.Module:
    # CPython 3.11 miscounts its depth if a collection runs some other test's finalizer in the middle of this.
    gc.disable()
    try:
        return ast.parse(text(path), filename=path)
    finally:
        gc.enable()


def imports(module: ast.Module, path: str) -> Iterator[tuple[str, int]]:
    """Each module that is imported, with its line; relative imports and import_module("…") included."""
    package = pathlib.PurePosixPath(path).parent.parts
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            named = ".".join([*above, *([node.module] if node.module else [])])
            # `from . import x` and `from merpati import cli` name a module after the word import.
            yield from ((f"{named}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from ((str(name.value), node.lineno) for name in node.args[:1] if isinstance(name, ast.Constant))


def nothing(complaints: Iterable[str]) -> None:
    """Fail with all complaints, a line each."""
    if words := "\n".join(complaints):
        pytest.fail(words, pytrace=False)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
