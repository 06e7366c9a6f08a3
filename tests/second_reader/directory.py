"""A second reader of directories: the domains of a store, their accounts and aliases, as of the newest commits.

For the second reader, so nothing here comes from merpati: written from `docs/mailbox-log.md` and `PROTOCOL.md` alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

from tests.second_reader.log import Log
from tests.second_reader.objects import Bucket, Refused, TooNew

Entries = dict[str, dict[str, dict[str, Any]]]
"""Kind, key, entry."""
KEYS = {"domain": "name", "account": "address", "alias": "address", "removed": "id"}
"""What an entry of each kind is found by."""
PIECES = {"domains": "domain", "accounts": "account", "aliases": "alias", "removed": "removed"}


def read_directory(root: Path) -> dict[str, Entries]:
    """All that the logs of the domains say, by domain.  The domain's own entry is among them."""
    bucket = Bucket(root)
    domains = _read(bucket, "directory")["domain"]
    return {name: _read(bucket, f"directory\0{name}") | {"domain": {name: entry}} for name, entry in domains.items()}


def former_domains(root: Path) -> set[str]:
    """Domains that were removed, and did not come back."""
    return set(_read(Bucket(root), "directory")["former"])


def log_id(words: str) -> str:
    """The log that is found by words."""
    return base64.b32encode(hashlib.blake2b(words.encode(), digest_size=16).digest()).decode().rstrip("=").lower()


def _read(bucket: Bucket, words: str) -> Entries:
    log = Log(bucket, log_id(words))
    entries: Entries = {kind: {} for kind in (*KEYS, "former")}
    number, id, at = 1, b"", 0.0
    for snapshot in log.snapshots()[:1]:
        if snapshot.kind != "directory":
            raise Refused(f"{log.prefix} is the log of a {snapshot.kind}")
        number, id, at = snapshot.number, snapshot.id, snapshot.at
        for name in json.loads(snapshot.state)["pieces"]:
            piece = json.loads(log.chunk(name))
            for list_of, kind in PIECES.items():
                for entry in piece.get(list_of, ()):
                    entries[kind][_key(kind, entry[KEYS[kind]])] = entry
            entries["former"] |= {name: {} for name in piece.get("former", ())}
    for commit in log.commits(number, id, at):
        for changes, _ in commit.parts:
            for change in json.loads(changes):
                _apply(entries, change)
    return entries


def _apply(entries: Entries, change: dict[str, Any]) -> None:
    kind = change["kind"].removeprefix("no-")
    if kind not in KEYS:
        raise TooNew(f"a change {change['kind']!r} [B3]")
    if kind == change["kind"]:
        entries[kind][_key(kind, change["entry"][KEYS[kind]])] = change["entry"]
        if kind == "domain":
            entries["former"].pop(change["entry"]["name"], None)
    else:
        entries[kind].pop(_key(kind, change[KEYS[kind]]), None)
        if kind == "domain":
            entries["former"][change["name"]] = {}


def _key(kind: str, name: str) -> str:
    return unicodedata.normalize("NFC", name).lower() if kind in ("account", "alias") else name
