"""From `use = "…"` in the settings to a class: our own by name, others by entry point or `module:Class`.

`resolve` looks a name up without importing anything: code that is not ours is imported in its own process alone.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from merpati.errors import Misconfigured
from merpati.plugins.processor import ENTRY_POINTS, Processor

OURS: Mapping[str, str] = {
    "file-by-subject": "processors.filters.file_by_subject:FileBySubject",
}
"""The processors that come with Merpati."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a processor's class is: `module:Class`, and whether it is ours."""

    path: str
    ours: bool


def resolve(use: str) -> Target:
    """The class that `use` means, not imported yet.  Raises `Misconfigured`, naming the nearest known name."""
    if use in OURS:
        return Target(OURS[use], True)
    if ":" in use:
        return Target(use, use in OURS.values())
    installed: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        installed.setdefault(point.name, []).append(point)
    found = {point.value for point in installed.get(use, [])}
    if len(found) > 1:
        raise Misconfigured(f"processor `{use}` is in several packages: {', '.join(sorted(found))}; use `module:Class`")
    if found:
        return Target(found.pop(), False)
    known = sorted({*OURS, *installed})
    near = difflib.get_close_matches(use, known, n=1, cutoff=0.5)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}, or write `module:Class`"
    raise Misconfigured(f"no processor `{use}`{hint}")


def load(path: str, where: str) -> type[Processor]:
    """Import `module:Class`.  Raises `Misconfigured`."""
    module, _, name = path.partition(":")
    try:
        found = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except Exception as error:
        raise Misconfigured(f"{where}: cannot import {path}: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Processor)):
        raise Misconfigured(f"{where}: {path} is no merpati.plugins.Processor")
    return found
