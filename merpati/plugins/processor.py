"""What a processor is made of: the class to derive from, its options, and the tools it is handed.

Read by the processors service, which finds, checks, starts and calls processors; written against by their authors.
A processor has no effect of its own on mail: it looks, and answers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from merpati.clock import Clock
from merpati.errors import Misconfigured, Permanent
from merpati.plugins.actions import Answer
from merpati.plugins.mail import Mail
from merpati.settings_reading import refuse_unknown

ENTRY_POINTS = "merpati.processors"
"""The entry point group in which processors of installed packages are found."""


class Log(Protocol):
    """Writes one line of key=value; the processor's name is on it already.  Never a secret, never a body."""

    def debug(self, event: str, **facts: object) -> None: ...
    def info(self, event: str, **facts: object) -> None: ...
    def warning(self, event: str, **facts: object) -> None: ...
    def error(self, event: str, **facts: object) -> None: ...


class Dns(Protocol):
    """Look-ups with a time limit.  An empty list: the name is not there, or has no such record.

    Each raises `merpati.errors.Temporary` when the servers do not answer; left to pass, the message is tried again.
    """

    async def txt(self, name: str) -> list[bytes]: ...
    async def mx(self, name: str) -> list[tuple[int, str]]: ...
    async def addresses(self, name: str) -> list[str]: ...
    async def names(self, address: str) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a processor may use beside the mail; tests hand it others."""

    dns: Dns
    clock: Clock
    log: Log
    hostname: str = "localhost"
    """The installation's name, as in Received fields and Authentication-Results."""


class NoOptions(msgspec.Struct, frozen=True):
    """The options of a processor that has none."""


class Processor:
    """Derive from this and write `process`.

    Options are a struct of type `Options`, read from the settings and checked at start:

        class HoldLists(Processor):
            class Options(msgspec.Struct, frozen=True):
                folder: str = "Lists"
    """

    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    wants_body: ClassVar[bool] = True
    """False if it only looks at envelope and size: then a large message is not fetched from the store for it."""

    def __init__(self, tools: Tools, options: Any = None) -> None:
        self.tools = tools
        self.options: Any = self.Options() if options is None else options

    async def start(self) -> None:
        """Called once before the first message: load what is needed.  Raises `Misconfigured`."""

    async def stop(self) -> None:
        """Called once after the last message."""

    async def process(self, mail: Mail) -> Answer:
        """Look at `mail` and answer with an action, a list of them, or None.  May also be written without `async`."""
        raise NotImplementedError


async def ask(processor: Processor, mail: Mail) -> object:
    """Whatever `process` answers, written with or without `async`."""
    answer: Any = processor.process(mail)
    return await answer if inspect.isawaitable(answer) else answer


P = TypeVar("P", bound=Processor)


def read_options(kind: type[Processor], raw: Mapping[str, object], where: str) -> msgspec.Struct:
    """The options of a processor from the settings.  Raises `Misconfigured`, naming the key and the nearest known."""
    if raw and not kind.Options.__struct_fields__:
        raise Misconfigured(f"{where} takes no options, and has `{next(iter(raw))}`")
    refuse_unknown(raw, kind.Options, where)
    try:
        return msgspec.convert(dict(raw), kind.Options, strict=True)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise Misconfigured(f"{where}: {error}") from None


def make(kind: type[P], tools: Tools, raw: Mapping[str, object], where: str) -> P:
    """A processor with its options read and checked.  Raises `Misconfigured`."""
    options = read_options(kind, raw, where)
    try:
        return kind(tools, options)
    except Permanent as error:
        raise Misconfigured(f"{where}: {error.public}") from error
