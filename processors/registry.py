"""From the `[[processors]]` of the settings to rows of processors, every mistake told before the first message.

Called once at start, by `service` for the stream and by `edge` for the door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.plugins.processor import Dns, Tools, make
from merpati.settings import ProcessorSettings
from merpati.telemetry import Metrics, logger
from processors.inline import Inline
from processors.isolated import Isolated
from processors.loading import load, resolve
from processors.row import Configured, Row
from processors.running import Policy, Runnable, read_policy


def build_row(
    entries: Sequence[ProcessorSettings], stage: str, dns: Dns, clock: Clock, hostname: str, metrics: Metrics
) -> Row:
    """The processors of one stage, in order, not started.  Raises `Misconfigured` for any entry, of any stage."""
    tools = Tools(dns=dns, clock=clock, log=logger("processors"), hostname=hostname)
    built: list[Configured] = []
    names: set[str] = set()
    for entry in entries:
        target = resolve(entry.use)
        policy = read_policy(entry, "inline" if target.ours else "process")
        if policy.name in names:
            raise Misconfigured(f"two processors are called `{policy.name}`: give one a `name`")
        names.add(policy.name)
        if policy.stage == stage:
            built.append(Configured(policy, _runnable(policy, target.path, tools, clock)))

    def observe(name: str, outcome: str, took: float) -> None:
        metrics.processor_seconds.labels(name, outcome).observe(took)

    return Row(built, clock, observe)


def _runnable(policy: Policy, path: str, tools: Tools, clock: Clock) -> Runnable:
    log: Any = tools.log
    tools = replace(tools, log=log.bind(processor=policy.name))
    if policy.isolation == "process":
        return Isolated(policy, path, tools, clock)
    where = f"processor `{policy.name}`"
    return Inline(make(load(path, where), tools, policy.options, where), policy.timeout)
