"""How settings are read: overrides from the environment, and an answer to a mistyped key that helps.

Called by `settings` alone; knows structs in general and none of ours in particular.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from merpati.errors import Misconfigured

PREFIX = "MERPATI_"
NOT_SETTINGS = ("MERPATI_CONFIG", "MERPATI_TEST_", "MERPATI_DEV_")
"""Variables with our prefix that are no keys."""


def refuse_unknown(raw: Mapping[str, object], struct: type[msgspec.Struct], where: str) -> None:
    """Raise `Misconfigured` if `raw` has a key that `struct`, or a struct inside it, does not know."""
    for path, name, known in _unknown(raw, struct, ()):
        dotted = ".".join((*path, name))
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean `{'.'.join((*path, near[0]))}`?" if near else f"; known are {', '.join(known)}"
        raise Misconfigured(f"{where}: unknown key `{dotted}`{hint}")


def _unknown(
    raw: Mapping[str, object], struct: type[msgspec.Struct], path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], str, list[str]]]:
    hints = get_type_hints(struct)
    found: list[tuple[tuple[str, ...], str, list[str]]] = []
    for name, value in raw.items():
        if name not in hints:
            found.append((path, name, list(hints)))
            continue
        inner = _struct_in(hints[name])
        if inner is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                found += _unknown(item, inner, (*path, name))
    return found


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a hint is, or is a sequence of."""
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    return hint if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None


def merge_environment(raw: dict[str, Any], environment: Mapping[str, str], struct: type[msgspec.Struct]) -> None:
    """Put `MERPATI_SECTION__KEY` variables over `raw`, in place.

    A value is read as TOML where the key wants something else than a string (`true`, `10`, `["a", "b"]`).
    """
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable.startswith(NOT_SETTINGS):
            continue
        *sections, key = variable.removeprefix(PREFIX).lower().split("__")
        _put(raw, struct, sections, key, text, variable)


def _put(
    raw: dict[str, Any], struct: type[msgspec.Struct], sections: list[str], key: str, text: str, variable: str
) -> None:
    place, known = raw, struct
    for section in sections:
        hints = get_type_hints(known)
        inner = _struct_in(hints.get(section))
        if section not in hints or (inner is None and get_origin(hints[section]) is not dict):
            near = difflib.get_close_matches(section, hints, n=1, cutoff=0.5)
            raise Misconfigured(
                f"{variable}: no section `{section}`" + (f"; did you mean `{near[0]}`?" if near else "")
            )
        place = place.setdefault(section, {})
        if inner is None:  # a free table, such as delivery.routes
            place[key] = text
            return
        known = inner
    place[key] = text if get_type_hints(known).get(key) is str else _value_of(text)


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
