"""A processor that does whatever the subject of a mail tells it, the worst included: HOSTILE P1."""

import asyncio
import ctypes
import os
import re
import subprocess
import sys
import time
from typing import Any

import msgspec

from merpati.plugins import Finding, Mail, Processor, Quarantine, Tag


class Hostile(Processor):
    class Options(msgspec.Struct, frozen=True):
        greeting: str = "hello"

    async def process(self, mail: Mail) -> Any:
        word = mail.subject
        if word in DEEDS:
            return DEEDS[word](mail)
        if word == "hang":
            await asyncio.sleep(1000)
        if word == "swallow":  # will not be cancelled
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    continue
        if word == "names":
            return Finding(" ".join(text.decode() for text in await self.tools.dns.txt("site.test")))
        if word == "many names":
            await asyncio.gather(*(self.tools.dns.txt("site.test") for _ in range(5000)))
        if word == "chatter":
            for number in range(5000):
                self.tools.log.info("said", number=number)
            return Tag("chatter")
        if word == "where":
            return Finding(f"{os.getpid()} {self.options.greeting} {self.tools.hostname}")
        if word == "keys":
            return Finding(" ".join(sorted(os.environ)))
        return Quarantine("seen")


def _leak(mail: Mail) -> None:
    kept = []
    while True:
        kept.append(bytearray(10_000_000))


def _busy(mail: Mail) -> None:
    while True:
        pass


def _mutate(mail: Mail) -> object:
    ctypes.memset(id(mail.raw()) + 32, 0x58, 4)
    return Tag("mutated")


def _flood(mail: Mail) -> None:
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 100_000)
        except OSError:
            continue
    time.sleep(1000)


DEEDS = {
    "raise": lambda mail: 1 // 0,
    "exit": lambda mail: sys.exit(3),
    "_exit": lambda mail: os._exit(7),
    "block": lambda mail: time.sleep(1000),
    "busy": _busy,
    "redos": lambda mail: re.match(r"(a+)+$", "a" * 60 + "b"),
    "segfault": lambda mail: ctypes.string_at(0),
    "abort": lambda mail: os.abort(),
    "leak": _leak,
    "junk": lambda mail: "junk",
    "mutate": _mutate,
    "flood": _flood,
    "recurse": lambda mail: _recurse(),
    "child": lambda mail: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) and os._exit(1),
}


def _recurse() -> object:
    return _recurse()


class BadStart(Processor):
    async def start(self) -> None:
        raise RuntimeError("no licence")


class NeverStarts(Processor):
    async def start(self) -> None:
        os._exit(9)


NOT_ONE = object()
