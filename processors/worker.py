"""The process in which a processor runs that is not ours: `main()` with arguments FD and PARENT.

Started and killed by `isolated`.  Takes one mail at a time from the socket `FD`, asks the processor, sends its answer.
The processor may block, leak, exit or crash here; that ends this process at worst.  It is a fence against mistakes,
not against malice: the code runs as the same user.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import resource
import signal
import socket
import sys
from typing import Any

import msgspec

from merpati.clock import SystemClock
from merpati.errors import MerpatiError, Permanent, Temporary
from merpati.plugins.actions import write_actions
from merpati.plugins.mail import Mail
from merpati.plugins.processor import Processor, Tools, make
from processors.frames import (
    Answered,
    Asked,
    Broken,
    Failed,
    Judge,
    Load,
    Logged,
    Ready,
    Refused,
    Told,
    ToService,
    read_frame,
    to_worker,
    write_frame,
)
from processors.inline import Inline, describe
from processors.loading import load
from processors.running import ProcessorFailed

MAX_MAIL = 1 << 32
PR_SET_PDEATHSIG = 1


class Line:
    """The socket to the service, with the look-ups that wait for an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[bytes]] = {}

    def send(self, header: ToService) -> None:
        write_frame(self.writer, header)

    async def ask(self, method: str, argument: str) -> Any:
        """A look-up done by the service."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self.send(Asked(number, method, argument))
        try:
            return msgspec.json.decode(await answer)
        finally:
            del self._asked[number]

    def told(self, told: Told) -> None:
        """The answer to a look-up has come."""
        answer = self._asked.get(told.number)
        if answer is None or answer.done():
            return
        if told.failure:
            answer.set_exception(Temporary(told.failure) if told.temporary else Permanent(told.failure))
        else:
            answer.set_result(told.value)


class RemoteDns:
    """`merpati.plugins.Dns` by way of the service: one resolver and one cache for all."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def txt(self, name: str) -> list[bytes]:
        return [text.encode("latin-1") for text in await self._line.ask("txt", name)]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        return [(preference, host) for preference, host in await self._line.ask("mx", name)]

    async def addresses(self, name: str) -> list[str]:
        return list(await self._line.ask("addresses", name))

    async def names(self, address: str) -> list[str]:
        return list(await self._line.ask("names", address))


class RemoteLog:
    """`merpati.plugins.Log` by way of the service."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def _write(self, level: str, event: str, facts: dict[str, object]) -> None:
        self._line.send(Logged(level, str(event)[:200], {name: str(value)[:500] for name, value in facts.items()}))

    def debug(self, event: str, **facts: object) -> None:
        self._write("debug", event, facts)

    def info(self, event: str, **facts: object) -> None:
        self._write("info", event, facts)

    def warning(self, event: str, **facts: object) -> None:
        self._write("warning", event, facts)

    def error(self, event: str, **facts: object) -> None:
        self._write("error", event, facts)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the service dies: a busy loop never reads that the socket is closed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the service is gone")


def limit_memory(more: int) -> None:
    """Let the address space grow by `more` bytes from here."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not more or sys.platform != "linux":
        return
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


async def _loaded(line: Line, header: bytes) -> tuple[Processor, Inline]:
    request = to_worker.decode(header)
    if not isinstance(request, Load):
        raise Broken("expected `load`")
    where = f"processor `{request.name}`"
    limit_memory(request.memory)
    try:
        tools = Tools(dns=RemoteDns(line), clock=SystemClock(), log=RemoteLog(line), hostname=request.hostname)
        processor = make(load(request.use, where), tools, request.options, where)
        await processor.start()
    except MerpatiError as error:
        line.send(Refused(error.public))
        await line.writer.drain()
        raise
    except BaseException as error:
        line.send(Refused(f"{where}: {describe(error)}"))
        await line.writer.drain()
        raise
    return processor, Inline(processor, request.timeout)


async def _judge(line: Line, inline: Inline, judge: Judge, body: bytes) -> None:
    try:
        actions = await inline.answer(Mail(judge.facts, body))
        line.send(Answered(judge.number, write_actions(actions)))
    except ProcessorFailed as failure:
        line.send(Failed(judge.number, failure.reason, spent=isinstance(failure.__cause__, MemoryError)))
    await line.writer.drain()


async def _work(line: Line) -> None:
    processor, inline = await _loaded(line, (await read_frame(line.reader))[0])
    line.send(Ready(processor.wants_body))
    judging: asyncio.Task[None] | None = None
    try:
        while True:
            header, body = await read_frame(line.reader, MAX_MAIL)
            message = to_worker.decode(header)
            if isinstance(message, Told):
                line.told(message)
            elif isinstance(message, Judge):
                judging = asyncio.create_task(_judge(line, inline, message, body))
    except Broken:
        pass  # the service has let go of us
    finally:
        if judging is not None:
            judging.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(processor.stop(), 1.0)


async def _main(descriptor: int) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    line = Line(reader, writer)
    with contextlib.suppress(MerpatiError, Broken):
        await _work(line)
    writer.close()


def main() -> None:
    """Serve until the socket closes."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the socket
    os.set_inheritable(descriptor, False)
    asyncio.run(_main(descriptor))
