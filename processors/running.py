"""What it means to run a processor on a mail: the one shape that inline and isolated processors share.

`inline` and `isolated` implement `Runnable`; `pipeline_run` drives a row of them.  Whatever a processor does, the
answer is actions or `ProcessorFailed`, within its timeout.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from merpati.errors import Misconfigured
from merpati.plugins.actions import AnyAction
from merpati.plugins.mail import Mail
from merpati.settings import ProcessorSettings, seconds

OnError = Literal["retry", "skip", "quarantine"]
GRACE = 0.5
"""Seconds beyond its timeout in which a processor may say itself that it took too long."""


class ProcessorFailed(Exception):
    """A processor gave no answer.  `reason` is for operators: log, trace and event."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Runnable(Protocol):
    """A processor that can be asked, wherever it runs."""

    @property
    def wants_body(self) -> bool:
        """Whether it needs more of a large message than its beginning."""
        ...

    async def start(self) -> None:
        """Load it.  Raises `Misconfigured`."""
        ...

    async def stop(self) -> None:
        """Let go of it."""
        ...

    async def answer(self, mail: Mail) -> tuple[AnyAction, ...]:
        """What it says about `mail`.  Raises `ProcessorFailed`, at the latest `GRACE` after its timeout."""
        ...


@dataclass(frozen=True, slots=True)
class Mode:
    """Whether answers are applied: to all messages, to none, or to a share of them."""

    share: float
    """0 to 1: enforce is 1, shadow 0."""
    word: str

    def applies(self, message_id: str, name: str) -> bool:
        """Whether this message is in the share: the same for the same message, however often it is asked."""
        if self.share in (0.0, 1.0):
            return self.share == 1.0
        drawn = hashlib.blake2b(f"{name}\0{message_id}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") < self.share * 2**64


def read_mode(text: str, where: str) -> Mode:
    """The mode of `enforce`, `shadow` or `canary:5%`.  Raises `Misconfigured`."""
    if text in ("enforce", "shadow"):
        return Mode(1.0 if text == "enforce" else 0.0, text)
    word, _, percent = text.partition(":")
    try:
        share = float(percent.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if word != "canary" or not percent.endswith("%") or not 0 <= share <= 1:
        raise Misconfigured(f"{where}: mode is `enforce`, `shadow` or `canary:5%`, not `{text}`")
    return Mode(share, text)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about one processor, read and checked."""

    name: str
    use: str
    stage: str
    mode: Mode
    timeout: float
    on_error: OnError
    isolation: str
    """`inline` or `process`."""
    options: dict[str, object]


def read_policy(settings: ProcessorSettings, isolation: str) -> Policy:
    """The policy of an entry of `[[processors]]`; `isolation` holds if the entry says none.  Raises `Misconfigured`."""
    name = settings.name or settings.use
    where = f"processor `{name}`"
    _one_of(where, "stage", settings.stage, ("edge", "stream"))
    _one_of(where, "on_error", settings.on_error, ("retry", "skip", "quarantine"))
    isolation = settings.isolation or isolation
    _one_of(where, "isolation", isolation, ("inline", "process"))
    return Policy(
        name=name,
        use=settings.use,
        stage=settings.stage,
        mode=read_mode(settings.mode, where),
        timeout=seconds(settings.timeout),
        on_error=settings.on_error,  # type: ignore[arg-type]
        isolation=isolation,
        options=dict(settings.options),
    )


def _one_of(where: str, key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise Misconfigured(f"{where}: {key} is {' or '.join(f'`{word}`' for word in known)}, not `{value}`")
