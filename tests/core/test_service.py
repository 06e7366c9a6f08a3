"""Running services: order of start and stop, loops that survive bugs, health and metrics over HTTP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from merpati.clock import SystemClock
from merpati.endpoint import Endpoint
from merpati.errors import Misconfigured, Unavailable
from merpati.service import Tasks, running
from merpati.telemetry import Metrics


class Part:
    """A service that writes down what is done to it."""

    def __init__(self, name: str, log: list[str], broken: bool = False) -> None:
        self.name = name
        self.reason = ""
        self._log = log
        self._broken = broken

    async def start(self) -> None:
        self._log.append(f"start {self.name}")
        if self._broken:
            raise Misconfigured("broken")

    async def stop(self, grace: float) -> None:
        self._log.append(f"stop {self.name}")

    def ready(self) -> str:
        return self.reason


async def test_services_stop_in_reverse_order() -> None:
    log: list[str] = []
    async with running(Part("a", log), Part("b", log)):
        log.append("work")
    assert log == ["start a", "start b", "work", "stop b", "stop a"]


async def test_one_that_cannot_start_leaves_none_running() -> None:
    log: list[str] = []
    with pytest.raises(Misconfigured):
        async with running(Part("a", log), Part("b", log, broken=True)):
            raise AssertionError("not reached")
    assert log[-1] == "stop a"


async def test_a_loop_begins_again_after_a_bug_and_after_a_failure() -> None:
    metrics = Metrics()
    tasks = Tasks("test", SystemClock(), metrics)
    tried: list[int] = []
    done = asyncio.Event()

    async def body() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise RuntimeError("a bug")
        if len(tried) == 2:
            raise Unavailable("away")
        done.set()

    tasks.loop("body", body)
    async with asyncio.timeout(10):
        await done.wait()
    await tasks.cancel()
    assert len(tried) == 3
    assert b'merpati_task_restarts_total{task="body"} 1.0' in metrics.render()


async def test_health_and_metrics_are_told_over_http() -> None:
    part = Part("a", [])
    endpoint = Endpoint("127.0.0.1:0", Metrics(), [part])
    async with running(endpoint), aiohttp.ClientSession(f"http://127.0.0.1:{endpoint.port}") as session:
        async with session.get("/health/live") as answer:
            assert answer.status == 200
        async with session.get("/health/ready") as answer:
            assert answer.status == 200
        part.reason = "the store does not answer"
        async with session.get("/health/ready") as answer:
            assert answer.status == 503
            assert (await answer.json())["waiting"] == {"a": "the store does not answer"}
        async with session.get("/metrics") as answer:
            text = await answer.text()
            assert "merpati_build_info" in text and "process_cpu_seconds_total" in text


async def test_a_taken_port_is_told_in_words() -> None:
    first = Endpoint("127.0.0.1:0", Metrics(), [])
    async with running(first):
        with pytest.raises(Misconfigured, match="listen"):
            await Endpoint(f"127.0.0.1:{first.port}", Metrics(), []).start()
