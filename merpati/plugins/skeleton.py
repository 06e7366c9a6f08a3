"""A package to begin a processor with, for `merpati plugin new NAME`: what stands in it works, and its tests pass.

The templates are as small as can be; `docs/example-plugin` is a larger one to read.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from merpati.errors import Permanent

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["merpati"]

[project.entry-points."merpati.processors"]
{name} = "{module}:{kind}"

[tool.setuptools.packages.find]
where = ["src"]
"""

MODULE = '''\
"""What this processor is for."""

import msgspec

from merpati.plugins import Answer, Mail, Processor, Tag


class {kind}(Processor):
    """Say what it does with mail, and why."""

    class Options(msgspec.Struct, frozen=True):
        word: str = "seen"

    async def process(self, mail: Mail) -> Answer:
        return Tag(self.options.word)
'''

TEST = """\
from {module} import {kind}

from merpati.plugins import Tag
from merpati.plugins.testing import mail_from, run


def test_mail_is_tagged() -> None:
    assert run({kind}, mail_from()) == [Tag("seen")]
    assert run({kind}, mail_from(), {{"word": "other"}}) == [Tag("other")]
"""

README = """\
# {name}

Try it: `python -m pip install --editable .` and `python -m pytest`.  Use it:

```toml
[[processors]]
use = "{name}"
```
"""


def write_package(folder: Path, name: str) -> list[Path]:
    """Write a package called `name` into `folder / name`; the files written.  Raises `Permanent`."""
    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        raise Permanent(f"{name!r} is no name for a package: small letters, digits and single hyphens")
    root = folder / name
    if root.exists():
        raise Permanent(f"{root} is there already")
    kind = "".join(word.capitalize() for word in name.split("-"))
    files = {
        "pyproject.toml": PYPROJECT,
        "README.md": README,
        f"src/{module}/__init__.py": MODULE,
        f"tests/test_{module}.py": TEST,
    }
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(name=name, module=module, kind=kind), "utf-8")
    return [root / path for path in files]
