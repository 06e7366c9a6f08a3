"""A file is one idea, a function too: each ends before a line that says so, and a module says what it is."""

import ast
from collections.abc import Iterator

import pytest

from tests.shape.tree import nothing, python_files, text, tree

FILE_LINES = 400
FUNCTION_LINES = 40


def too_long(path: str, source: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines >= FILE_LINES:
        yield f"{path} has {lines} lines: which two ideas does it hold?"


def long_functions(path: str, module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines >= FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines: which two ideas does it hold?"


def headless(path: str, module: ast.Module) -> Iterator[str]:
    """A module without a paragraph that says what lives in it; an empty __init__.py has nothing to say."""
    if module.body and not (ast.get_docstring(module) or "").strip():
        yield f"{path} does not open with a docstring"


def test_each_file_is_short() -> None:
    assert python_files()
    nothing(words for path in python_files() for words in too_long(path, text(path)))


def test_each_function_is_short() -> None:
    nothing(words for path in python_files() for words in long_functions(path, tree(path)))


def test_each_module_says_what_lives_in_it() -> None:
    nothing(words for path in python_files() for words in headless(path, tree(path)))


def function_of(lines: int) -> str:
    return "async def f():\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(("lines", "complaints"), [(FUNCTION_LINES - 1, 0), (FUNCTION_LINES, 1)])
def test_a_function_is_measured_from_its_def_to_its_last_line(lines: int, complaints: int) -> None:
    assert len(list(long_functions("x.py", ast.parse(function_of(lines))))) == complaints


@pytest.mark.parametrize(("lines", "complaints"), [(FILE_LINES - 1, 0), (FILE_LINES, 1)])
def test_a_file_is_measured_in_lines(lines: int, complaints: int) -> None:
    assert len(list(too_long("x.py", "pass\n" * lines))) == complaints


@pytest.mark.parametrize(("source", "complaints"), [('"""Words."""', 0), ("", 0), ("x = 1", 1), ('"""  """\nx = 1', 1)])
def test_a_module_with_code_needs_words(source: str, complaints: int) -> None:
    assert len(list(headless("x.py", ast.parse(source)))) == complaints
