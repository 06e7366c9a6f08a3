"""Nothing in the tree depends on the machine it was written on, or tells where packages are to be fetched from."""

import re
from collections.abc import Iterator

import pytest

from tests.shape.tree import files, nothing, text

MACHINE = re.compile(r"(?<![\w.$}])/(?:work|root)/")
REGISTRY = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|maven\.org|proxy\.golang\.org|sum\.golang\.org|npmjs\.(?:org|com)"
    r"|(?:deb|security|ftp)\.debian\.org|docker\.io/|ghcr\.io|quay\.io|gcr\.io)"
)


def traces(path: str, source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), start=1):
        if MACHINE.search(line):
            yield f"{path}:{number} names a path of one machine"
        if REGISTRY.search(line):
            yield f"{path}:{number} names the host of a registry"


def test_no_file_names_a_path_of_one_machine_or_the_host_of_a_registry() -> None:
    assert "pyproject.toml" in files()
    nothing(words for path in files() for words in traces(path, text(path)))


@pytest.mark.parametrize(
    "line", ["/ro" + "ot/x", "cd /wo" + "rk/here", "https://py" + "pi.org/simple", "ghcr" + ".io/a/b"]
)
def test_a_trace_is_found(line: str) -> None:
    assert len(list(traces("x", f"fine\n{line}\n"))) == 1


@pytest.mark.parametrize("line", ["the /work of many", "data/work/x", "postgres.io", "from pypi import x", "~/root"])
def test_what_only_looks_like_one_is_not(line: str) -> None:
    assert list(traces("x", line)) == []
