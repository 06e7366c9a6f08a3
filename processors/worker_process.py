"""One worker process seen from the service: starting it, giving it a mail, answering its look-ups, ending it.

Used by `isolated` alone.  What comes from the process is believed only as far as `frames` checks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from merpati.errors import MerpatiError, Misconfigured, Temporary
from merpati.plugins.actions import AnyAction, BadAnswer, read_actions
from merpati.plugins.mail import Mail
from merpati.plugins.processor import Tools
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
    to_service,
    write_frame,
)
from processors.running import Policy, ProcessorFailed

STARTING = 30.0
"""Seconds a processor may take to be imported and started."""
ENDING = 2.0
"""Seconds it may take to end when it is let go."""
MAX_LINES = 100
"""Log lines of one mail; more are dropped."""
MAX_LOOKUPS = 500
"""Look-ups for one mail."""
LOOKUPS = ("txt", "mx", "addresses", "names")
LEVELS = ("debug", "info", "warning", "error")
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")
"""What a worker is told of our environment: the keys of the object store are none of its business."""

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from processors.worker import main; main()"
"""The worker finds modules where we do.  Not by PYTHONPATH: a stray `types.py` there would stop Python itself."""


class WorkerProcess:
    """A process with one processor in it."""

    def __init__(
        self, policy: Policy, tools: Tools, process: asyncio.subprocess.Process, streams: tuple[Any, Any]
    ) -> None:
        self._policy = policy
        self._tools = tools
        self._process = process
        self._reader: asyncio.StreamReader = streams[0]
        self._writer: asyncio.StreamWriter = streams[1]
        self._number = 0
        self._lines = 0
        self._lookups: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self.usable = True
        self.wants_body = True

    @classmethod
    async def start(cls, policy: Policy, path: str, tools: Tools, memory: int) -> WorkerProcess:
        """Start the process and load the processor.  Raises `Misconfigured`."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.__stderr__ and sys.__stderr__.fileno(),
                env=_environment(),
                start_new_session=True,
            )
        ours.setblocking(False)
        worker = cls(policy, tools, process, await asyncio.open_unix_connection(sock=ours))
        try:
            await worker._load(Load(path, policy.name, policy.options, tools.hostname, policy.timeout, memory))
        except BaseException:
            worker.kill()
            await worker.close()
            raise
        return worker

    async def _load(self, load: Load) -> None:
        where = f"processor `{self._policy.name}`"
        write_frame(self._writer, load)
        try:
            async with asyncio.timeout(STARTING):
                while True:
                    message = await self._receive()
                    if isinstance(message, Ready):
                        self.wants_body = message.wants_body
                        return
                    if isinstance(message, Refused):
                        raise Misconfigured(message.reason)
                    await self._serve(message)
        except TimeoutError:
            raise Misconfigured(f"{where} took longer than {STARTING:g} s to start") from None
        except Broken as error:
            raise Misconfigured(f"{where} ended while it started: {await self._end()}") from error

    async def judge(self, mail: Mail, within: float) -> tuple[AnyAction, ...]:
        """What the processor says about `mail`.  Raises `ProcessorFailed`; `usable` tells whether to go on with it."""
        self._number += 1
        self._lines = 0
        try:
            async with asyncio.timeout(within):
                return await self._exchange(mail)
        except TimeoutError:
            self.kill()
            raise ProcessorFailed(f"took longer than {self._policy.timeout:g} s and was killed") from None
        except Broken as error:
            raise ProcessorFailed(f"{error}: {await self._end()}") from error
        except BadAnswer as error:
            raise ProcessorFailed(f"answered with junk: {error}") from error
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            for task in self._lookups:
                task.cancel()

    async def _exchange(self, mail: Mail) -> tuple[AnyAction, ...]:
        write_frame(self._writer, Judge(self._number, mail.facts), mail.data)
        with contextlib.suppress(ConnectionError):  # the reading side tells how it ended
            await self._writer.drain()
        while True:
            message = await self._receive()
            if isinstance(message, Answered) and message.number == self._number:
                return read_actions(message.actions)
            if isinstance(message, Failed) and message.number == self._number:
                if message.spent:
                    self.kill()
                raise ProcessorFailed(message.reason)
            await self._serve(message)

    async def _receive(self) -> ToService:
        header, _ = await read_frame(self._reader)
        try:
            return to_service.decode(header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.kill()
            raise Broken(f"sent what is no frame: {error}") from error

    async def _serve(self, message: ToService) -> None:
        if isinstance(message, Asked):
            if len(self._lookups) >= MAX_LOOKUPS:
                self.kill()
                raise Broken(f"asked for more than {MAX_LOOKUPS} look-ups at once")
            task = asyncio.create_task(self._look_up(message))
            self._lookups.add(task)
            task.add_done_callback(self._lookups.discard)
        elif isinstance(message, Logged):
            self._lines += 1
            if self._lines <= MAX_LINES and message.level in LEVELS:
                facts = {f"plugin_{name}"[:50]: value for name, value in list(message.facts.items())[:20]}
                getattr(self._tools.log, message.level)(message.event, **facts)

    async def _look_up(self, asked: Asked) -> None:
        try:
            if asked.method not in LOOKUPS or len(asked.argument) > 255:
                raise Temporary("no such look-up")
            found = await getattr(self._tools.dns, asked.method)(asked.argument)
            if asked.method == "txt":
                found = [text.decode("latin-1") for text in found]
            told = Told(asked.number, msgspec.json.encode(found))
        except MerpatiError as error:
            told = Told(asked.number, b"", error.public or "failed", isinstance(error, Temporary))
        if self.usable:
            write_frame(self._writer, told)

    # ---- ending

    def kill(self) -> None:
        """End the process and all it has started, at once."""
        self.usable = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """End it in the background, giving it a moment."""
        self.usable = False
        self._ending = asyncio.create_task(self.close())

    async def close(self) -> None:
        """End it, giving it a moment to stop by itself if it still listens."""
        self.usable = False
        self._writer.close()
        try:
            async with asyncio.timeout(ENDING):
                await self._process.wait()
        except TimeoutError:
            pass
        self.kill()
        await self._process.wait()
        await asyncio.gather(*self._lookups, return_exceptions=True)

    async def _end(self) -> str:
        """How the process ended, in words."""
        await self.close()
        status = self._process.returncode or 0
        if status >= 0:
            return f"exit status {status}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
        return f"signal {-status}"


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
