"""Writes the pages that follow from the code: docs/settings.md, docs/metrics.md, docs/events.schema.json.

`make docs` runs it; a test runs it with nothing written and compares.  It reads the package, changes only those pages.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import msgspec

from merpati import settings
from merpati.events import Happened
from merpati.telemetry import Metrics

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = {
    "BusSettings": "[bus]",
    "StoreSettings": "[store]",
    "IngestSettings": "[ingest]",
    "AccessSettings": "[access]",
    "AuthSettings": "[auth]",
    "OAuthSettings": "[[auth.oauth]]",
    "DeliverySettings": "[delivery]",
    "UpkeepSettings": "[upkeep]",
    "DnsSettings": "[dns]",
    "TlsSettings": "[tls]",
    "HttpSettings": "[http]",
    "ProcessorSettings": "[[processors]]",
}


def settings_page() -> str:
    """Every setting with its default and what it is, in the order of the file."""
    tree = ast.parse(Path(settings.__file__).read_text("utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    lines = [
        "# Settings",
        "",
        "Generated from `merpati/settings.py` by `make docs`. One TOML file; `MERPATI_SECTION__KEY` in the environment",
        "overrides a key. An unknown key is an error that names the nearest known one.",
        "",
        "## Top level",
        "",
        *_table(classes["Settings"], skip=set(_inner(classes["Settings"]))),
    ]
    for name, title in SECTIONS.items():
        lines += ["", f"## `{title}`", "", ast.get_docstring(classes[name]) or "", "", *_table(classes[name])]
    return "\n".join(lines) + "\n"


def _inner(node: ast.ClassDef) -> list[str]:
    """Fields that are tables of their own."""
    return [target for target, annotation, _, _ in _fields(node) if "Settings" in annotation]


def _fields(node: ast.ClassDef) -> list[tuple[str, str, str, str]]:
    """(name, annotation, default, documentation) of each field."""
    found = []
    for at, line in enumerate(node.body):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        follows = node.body[at + 1] if at + 1 < len(node.body) else None
        words = ""
        if isinstance(follows, ast.Expr) and isinstance(follows.value, ast.Constant):
            words = " ".join(str(follows.value.value).split())
        default = ast.unparse(line.value) if line.value is not None else ""
        found.append((line.target.id, ast.unparse(line.annotation), default, words))
    return found


def _table(node: ast.ClassDef, skip: set[str] | None = None) -> list[str]:
    rows = ["| key | default | what it is |", "|---|---|---|"]
    for name, _, default, words in _fields(node):
        if name not in (skip or ()):
            cell = f"`{_toml(default)}`" if default else "must be set"
            rows.append(f"| `{name}` | {cell} | {words.replace('|', chr(92) + '|')} |")
    return rows


def _toml(default: str) -> str:
    """A default as TOML would have it."""
    value = eval(default, vars(settings))  # noqa: S307  (our own source)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, tuple | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def metrics_page() -> str:
    """Every metric of ours with its labels and what it says."""
    lines = [
        "# Metrics",
        "",
        "Generated from `merpati/telemetry.py` by `make docs`. Served at `/metrics` of every process; beside these",
        "stand the usual ones of the process and of Python.",
        "",
        "| metric | kind | labels | what it says |",
        "|---|---|---|---|",
    ]
    made = Metrics()
    for value in vars(made).values():
        if hasattr(value, "_labelnames"):
            labels = ", ".join(f"`{label}`" for label in value._labelnames)
            name = value._name + ("_total" if value._type == "counter" else "")
            lines.append(f"| `{name}` | {value._type} | {labels} | {value._documentation} |")
    return "\n".join(lines) + "\n"


def schema_page() -> str:
    """The JSON Schema of what stands on `mail.events`: a public contract."""
    schema = msgspec.json.schema(Happened)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


PAGES = {"settings.md": settings_page, "metrics.md": metrics_page, "events.schema.json": schema_page}


def main() -> None:
    """Write all pages, or the names of those that are not as they should be with `--check`."""
    check = "--check" in sys.argv
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / "docs" / name, make()
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run make docs")


if __name__ == "__main__":
    main()
