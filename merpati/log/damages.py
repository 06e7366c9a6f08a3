"""Damage that a process has met, told once each: a line of the log with key and rule, and a metric to be woken by.

Kept by `Reader`, for each log; told by whoever meets damage and goes on around it, so that it does not go unnoticed.
"""

from __future__ import annotations

from merpati.errors import MerpatiError
from merpati.telemetry import Metrics, logger

MOST = 100
"""Objects of a log that are told of; whoever wants to know all asks `verify`."""


class Damages:
    """Of one log."""

    def __init__(self, kind: str, prefix: str, metrics: Metrics | None = None) -> None:
        """`kind` is `mailbox` or `directory`, the label of the metric."""
        self._kind = kind
        self._prefix = prefix
        self._metrics = metrics
        self._told: set[str] = set()
        self._say = logger("log")

    def met(self, damage: MerpatiError) -> None:
        """An object is missing or not what was written, and `damage` says so in its facts `key` and `rule`."""
        key = str(damage.facts.get("key", ""))
        if key in self._told or len(self._told) >= MOST:
            return
        self._told.add(key)
        if self._metrics is not None:
            self._metrics.damaged.labels(self._kind).inc()
        facts = {name: str(value) for name, value in damage.facts.items() if name not in ("log", "what")}
        self._say.warning("damage", log=self._prefix, what=damage.public, **facts)
