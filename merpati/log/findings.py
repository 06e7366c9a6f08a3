"""What `verify` says of a log: values, and the places where they are gathered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from merpati.log.api import Damaged, NewerFormat


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the object, the rule of PROTOCOL.md that it breaks, and what is lost by it."""

    key: str
    rule: str
    what: str
    lost: str = ""

    def __str__(self) -> str:
        lost = f"; lost: {self.lost}" if self.lost else ""
        return f"{self.key}: {self.what} ({self.rule}){lost}"


def finding_of(error: Damaged | NewerFormat, lost: str = "") -> Finding:
    """A failure to read something, as a finding.  By a newer version nothing is lost."""
    reason = f": {error.facts['reason']}" if "reason" in error.facts else ""
    rule = str(error.facts.get("rule", ""))
    lost = "" if isinstance(error, NewerFormat) else lost
    return Finding(str(error.facts.get("key", "")), rule, f"{error.public}{reason}", lost)


class Findings:
    """What was found so far; the same thing once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Finding] = {}

    def say(self, key: str, rule: str, what: str, lost: str = "") -> None:
        self.take(Finding(key, rule, what, lost))

    def take(self, finding: Finding) -> None:
        self._found.setdefault((finding.key, finding.rule, finding.lost), finding)

    @contextmanager
    def gathering(self, lost: str = "") -> Iterator[None]:
        """Whatever cannot be read in here is a finding."""
        try:
            yield
        except (Damaged, NewerFormat) as error:
            self.take(finding_of(error, lost))

    @property
    def all(self) -> list[Finding]:
        """By key."""
        return sorted(self._found.values(), key=lambda each: (each.key, each.rule, each.lost))
