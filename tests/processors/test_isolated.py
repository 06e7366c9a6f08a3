"""Processors in processes of their own: whatever one does costs its mail alone, and bounded time (HOSTILE P1)."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import pytest

from merpati.clock import SystemClock
from merpati.errors import Misconfigured
from merpati.plugins import Finding, Mail, Quarantine, Tag
from merpati.plugins.processor import Tools
from merpati.plugins.testing import FakeDns, FakeLog, mail_from
from merpati.settings import ProcessorSettings
from processors import isolated as module
from processors.isolated import Isolated
from processors.running import GRACE, ProcessorFailed, read_policy
from processors.worker_process import MAX_LINES

USE = "tests.processors.hostile:Hostile"
TIMEOUT = 1.0


def make(use: str = USE, log: FakeLog | None = None, **more: object) -> Isolated:
    options, timeout = more.pop("options", {}), more.pop("timeout", TIMEOUT)
    policy = read_policy(ProcessorSettings(use=use, timeout=f"{timeout:g}s", options=options), "process")  # type: ignore[arg-type]
    tools = Tools(FakeDns({"site.test": [b"v=spf1", b"-all"]}), SystemClock(), log or FakeLog(), "mx.test")
    return Isolated(policy, use, tools, SystemClock(), memory=256 << 20, **more)  # type: ignore[arg-type]


@pytest.fixture
async def isolated() -> AsyncIterator[Isolated]:
    runnable = make()
    await runnable.start()
    yield runnable
    await runnable.stop()


def mail(word: str) -> Mail:
    return mail_from(subject=word)


async def test_an_answer_comes_back_from_another_process(isolated: Isolated) -> None:
    assert await isolated.answer(mail("hello")) == (Quarantine("seen"),)
    (found,) = await isolated.answer(mail("where"))
    assert isinstance(found, Finding) and found.value.split()[1:] == ["hello", "mx.test"]
    assert int(found.value.split()[0]) != os.getpid()


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("raise", "raised ZeroDivisionError"),
        ("recurse", "raised RecursionError"),
        ("exit", "raised SystemExit"),
        ("_exit", "exit status 7"),
        ("hang", "took longer"),
        ("swallow", "took longer"),
        ("block", "took longer"),
        ("busy", "took longer"),
        ("redos", "took longer"),
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("leak", "MemoryError"),
        ("junk", "junk"),
        ("flood", ""),
        ("many names", ""),
        ("child", "exit status 1"),
    ],
)
@pytest.mark.slow
async def test_whatever_it_does_costs_its_own_mail_and_bounded_time(isolated: Isolated, deed: str, reason: str) -> None:
    began = perf_counter()
    with pytest.raises(ProcessorFailed) as failed:
        await isolated.answer(mail(deed))
    assert reason in failed.value.reason
    assert perf_counter() - began < TIMEOUT + GRACE + 5.0  # where nothing else runs, 2.1 at most
    assert await isolated.answer(mail("hello")) == (Quarantine("seen"),)


async def test_it_cannot_change_the_message(isolated: Isolated) -> None:
    original = mail("mutate")
    before = bytes(original.raw())
    assert await isolated.answer(original) == (Tag("mutated"),)
    assert original.raw() == before


async def test_names_are_looked_up_by_the_service(isolated: Isolated) -> None:
    assert await isolated.answer(mail("names")) == (Finding("v=spf1 -all"),)


async def test_it_does_not_learn_the_keys_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    runnable = make()
    await runnable.start()
    (found,) = await runnable.answer(mail("keys"))
    await runnable.stop()
    assert isinstance(found, Finding) and "PATH" in found.value and "AWS" not in found.value


async def test_chatter_is_cut() -> None:
    log = FakeLog()
    runnable = make(log=log)
    await runnable.start()
    assert await runnable.answer(mail("chatter")) == (Tag("chatter"),)
    await runnable.stop()
    assert len(log.lines) == MAX_LINES


@pytest.mark.slow
async def test_a_busy_loop_delays_its_neighbours_by_less_than_its_timeout() -> None:
    runnable = make(workers=3, timeout=4.0)
    await runnable.start()

    async def timed(word: str) -> float:
        began = perf_counter()
        try:
            await runnable.answer(mail(word))
        except ProcessorFailed:
            pass
        return perf_counter() - began

    busy, *neighbours = await asyncio.gather(timed("busy"), *(timed("hello") for _ in range(20)))
    await runnable.stop()
    assert busy > 4.0 and max(neighbours) < 4.0  # where nothing else runs, 0.2


@pytest.mark.slow
async def test_more_workers_come_while_mail_waits_and_go_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    runnable = make(workers=3, timeout=5.0)
    await runnable.start()
    hung = [asyncio.create_task(runnable.answer(mail("hang"))) for _ in range(3)]
    for _ in range(100):
        if len(runnable._workers) == 3:
            break
        await asyncio.sleep(0.04)
    assert len(runnable._workers) == 3
    await asyncio.gather(*hung, return_exceptions=True)
    monkeypatch.setattr(module, "IDLE", 0.0)
    for _ in range(3):
        await runnable.answer(mail("hello"))
    assert len(runnable._workers) == 1
    await runnable.stop()


async def test_whoever_gives_up_waiting_does_not_cost_a_worker(isolated: Isolated) -> None:
    (first,) = await isolated.answer(mail("where"))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.0001):
                await isolated.answer(mail("hello"))
    (after,) = await isolated.answer(mail("where"))
    assert first == after


async def test_no_process_is_left_when_it_stops() -> None:
    runnable = make(workers=2)
    await runnable.start()
    (found,) = await runnable.answer(mail("where"))
    assert isinstance(found, Finding)
    hung = asyncio.create_task(runnable.answer(mail("swallow")))
    await asyncio.sleep(0.2)
    pids = [worker._process.pid for worker in runnable._workers]
    await runnable.stop()
    await asyncio.gather(hung, return_exceptions=True)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def is_dead(pid: int) -> bool:
    """Gone, or dead and not asked yet how it died."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


async def test_a_busy_worker_dies_with_the_service() -> None:
    program = (
        "import asyncio, os, sys; sys.path[:0] = [os.getcwd()]\n"
        "from tests.processors.test_isolated import make, mail\n"
        "async def main():\n"
        "    r = make(); await r.start()\n"
        "    t = asyncio.create_task(r.answer(mail('busy'))); await asyncio.sleep(0.3)\n"
        "    print([w._process.pid for w in r._workers][0], flush=True); await t\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert service.stdout is not None
    worker = int(await service.stdout.readline())
    os.kill(worker, 0)
    service.send_signal(signal.SIGKILL)
    await service.wait()
    for _ in range(50):
        await asyncio.sleep(0.1)
        if is_dead(worker):
            return
    pytest.fail("the worker outlived its service")


@pytest.mark.parametrize(
    ("use", "options", "words"),
    [
        ("tests.processors.hostile:BadStart", {}, "no licence"),
        ("tests.processors.hostile:NeverStarts", {}, "exit status 9"),
        ("tests.processors.hostile:NOT_ONE", {}, "is no merpati.plugins.Processor"),
        ("tests.processors.hostile:Missing", {}, "cannot import"),
        ("tests.processors.nowhere:X", {}, "cannot import"),
        (USE, {"greetin": "x"}, "unknown key `greetin`; did you mean `greeting`"),
        (USE, {"greeting": 7}, "str"),
    ],
)
async def test_what_cannot_start_is_told_at_start(use: str, options: dict, words: str) -> None:
    runnable = make(use, options=options)
    with pytest.raises(Misconfigured, match=words):
        await runnable.start()
    await runnable.stop()
