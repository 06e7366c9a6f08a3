"""The configured processors of one stage, asked one after another about a message.

Built by `registry`; driven by `handler` on the stream and by `edge` at the door.  Turns whatever a processor does into
a step that the trace can show, and combines the answers with `pipeline`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from merpati.clock import Clock
from merpati.plugins.actions import AnyAction, Quarantine, said
from merpati.plugins.mail import Content, Facts, Mail, Result
from processors.pipeline import Judgement, combine, noted
from processors.running import Policy, ProcessorFailed, Runnable

Observe = Callable[[str, str, float], None]
"""Told of each step: name of the processor, outcome, seconds."""


@dataclass(frozen=True, slots=True)
class Configured:
    """A processor and what the settings say about it."""

    policy: Policy
    runnable: Runnable


@dataclass(frozen=True, slots=True)
class Step:
    """What one processor did with one message."""

    name: str
    outcome: str
    """`answered`, `failed` or `slow`."""
    words: str
    """What it said, or why it said nothing."""
    mode: str
    applied: bool
    took: float


@dataclass(frozen=True, slots=True)
class Walked:
    """The way of a message along the row, as far as it came."""

    judgement: Judgement
    steps: tuple[Step, ...]
    stopped_by: Step | None = None
    """The step after which the message has to be tried again."""


class Row:
    """Processors in order."""

    def __init__(self, processors: list[Configured], clock: Clock, observe: Observe) -> None:
        self._processors = processors
        self._clock = clock
        self._observe = observe

    @property
    def empty(self) -> bool:
        """Whether there is nobody to ask."""
        return not self._processors

    @property
    def wants_body(self) -> bool:
        """Whether any of them needs more of a large message than its beginning."""
        return any(each.runnable.wants_body for each in self._processors)

    async def start(self) -> None:
        """Load all.  Raises `Misconfigured`; then those that were loaded are let go again."""
        try:
            for each in self._processors:
                await each.runnable.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(each.runnable.stop() for each in self._processors), return_exceptions=True)

    async def walk(self, facts: Facts, content: Content, judgement: Judgement, patience: float | None) -> Walked:
        """Ask each processor that is needed.  `patience` is the time for all together; None leaves it to theirs."""
        steps: list[Step] = []
        left = patience
        for each in self._processors:
            if not judgement.open:
                break
            shown = msgspec.structs.replace(
                facts,
                envelope=msgspec.structs.replace(facts.envelope, recipients=judgement.open),
                tags=judgement.tags,
                results=judgement.results,
            )
            judgement, step = await self._step(each.policy, each.runnable, Mail(shown, content), judgement, left)
            steps.append(step)
            if step.outcome == "slow" or (
                step.outcome == "failed" and step.applied and each.policy.on_error == "retry"
            ):
                return Walked(judgement, tuple(steps), step)
            left = None if left is None else max(0.01, left - step.took)
        return Walked(judgement, tuple(steps))

    async def _step(
        self, policy: Policy, runnable: Runnable, mail: Mail, judgement: Judgement, patience: float | None
    ) -> tuple[Judgement, Step]:
        applied = policy.mode.applies(mail.id, policy.name)
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(patience):
                actions = await runnable.answer(mail)
            outcome, words = "answered", "; ".join(said(action) for action in actions)
            judgement = combine(judgement, policy.name, actions, applied=applied)
        except ProcessorFailed as failure:
            outcome, words = "failed", failure.reason
            judgement = _after_failure(judgement, policy, failure.reason, applied)
        except TimeoutError:
            outcome, words = "slow", f"no answer within {patience or 0:.1f} s"
        took = self._clock.monotonic() - began
        self._observe(policy.name, outcome, took)
        return judgement, Step(policy.name, outcome, words, policy.mode.word, applied, took)


def _after_failure(judgement: Judgement, policy: Policy, reason: str, applied: bool) -> Judgement:
    held: tuple[AnyAction, ...] = ()
    if applied and policy.on_error == "quarantine":
        held = (Quarantine(f"processor {policy.name} failed"),)
        judgement = combine(judgement, policy.name, held)
    return noted(judgement, policy.name, Result(actions=held, applied=applied, error=reason))
