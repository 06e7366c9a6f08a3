"""A processor in processes of its own: it may block, hang, leak, exit or crash, and only its mail is late.

Each worker process has one mail at a time, so a worker that must be killed takes no other mail with it.  There is one
worker to begin with; while mail waits for longer than a moment more are started, up to `MAX_WORKERS`, and those that
idle end.  `worker` is the program, `frames` the language.
"""

from __future__ import annotations

import asyncio
from collections import deque

from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.plugins.actions import AnyAction
from merpati.plugins.mail import Mail
from merpati.plugins.processor import Tools
from processors.running import GRACE, Policy, ProcessorFailed
from processors.worker_process import WorkerProcess

MAX_WORKERS = 4
"""Processes of one processor, in each process of ours."""
IMPATIENCE = 0.05
"""Seconds that mail waits for a free worker before another is started."""
IDLE = 60.0
"""Seconds after which a worker that is not needed ends."""
MEMORY = 1 << 30
"""Bytes of address space a processor may use in one worker."""
RESTART = 1.0
"""Seconds between attempts at starting a worker that fail."""


class Isolated:
    """`Runnable` in other processes."""

    def __init__(
        self, policy: Policy, path: str, tools: Tools, clock: Clock, *, workers: int = MAX_WORKERS, memory: int = MEMORY
    ) -> None:
        self._policy = policy
        self._path = path
        self._tools = tools
        self._clock = clock
        self._limit = workers
        self._memory = memory
        self._workers: set[WorkerProcess] = set()
        self._idle: list[tuple[float, WorkerProcess]] = []
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._growing: asyncio.Task[None] | None = None
        self._judging: set[asyncio.Task[tuple[AnyAction, ...]]] = set()
        self.wants_body = True

    async def start(self) -> None:
        first = await self._spawn()
        self.wants_body = first.wants_body
        self._give(first)

    async def stop(self) -> None:
        tasks = [*self._judging, *([self._growing] if self._growing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in list(self._workers)))
        self._workers.clear()
        self._idle.clear()

    async def answer(self, mail: Mail) -> tuple[AnyAction, ...]:
        # In a task of its own: whoever waits may give up, and the worker is free again only when it has answered
        task = asyncio.create_task(self._judged(mail))
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _judged(self, mail: Mail) -> tuple[AnyAction, ...]:
        worker = await self._take()
        try:
            return await worker.judge(mail, self._policy.timeout + GRACE)
        finally:
            if worker.usable:
                self._give(worker)
            else:
                self._workers.discard(worker)
                await worker.close()
                self._grow(at_once=not self._workers)

    async def _take(self) -> WorkerProcess:
        while self._idle:
            _, worker = self._idle.pop()
            if worker.usable:
                return worker
            self._workers.discard(worker)
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._grow(at_once=not self._workers)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())
            raise

    def _give(self, worker: WorkerProcess) -> None:
        """Hand a free worker to whoever waits longest, or keep it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._idle.append((self._clock.monotonic(), worker))
        self._shrink()

    def _shrink(self) -> None:
        now = self._clock.monotonic()
        while len(self._idle) > 1 and now - self._idle[0][0] > IDLE:
            _, worker = self._idle.pop(0)
            self._workers.discard(worker)
            worker.let_go()

    def _grow(self, *, at_once: bool) -> None:
        if self._growing is None and self._waiting and len(self._workers) < self._limit:
            self._growing = asyncio.create_task(self._start_more(at_once))
            self._growing.add_done_callback(lambda _: None)

    async def _start_more(self, at_once: bool) -> None:
        try:
            if not at_once:
                await self._clock.sleep(IMPATIENCE)
            while self._waiting and len(self._workers) < self._limit:
                try:
                    self._give(await self._spawn())
                except Misconfigured as error:
                    self._tools.log.error("processor does not start", reason=error.public)
                    if not self._workers:
                        self._fail_waiting(error.public)
                    await self._clock.sleep(RESTART)
        finally:
            self._growing = None

    def _fail_waiting(self, reason: str) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(ProcessorFailed(f"cannot be started: {reason}"))

    async def _spawn(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._policy, self._path, self._tools, self._memory)
        self._workers.add(worker)
        return worker
