"""Servers that all workers of one test run share: each started when it is first asked for, and stopped with the run.

Called by tests/conftest.py. A keeper process (this module, run) holds one server; it watches the test run itself, so
the server ends with the run even if that is killed. A test that kills or pauses a server starts one of its own.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.servers.installed import ROOT, Missing
from tests.servers.kafka_cluster import kafka
from tests.servers.object_stores import minio, seaweedfs

RUN = "MERPATI_TEST_RUN"
START_SECONDS = 110.0
END_SECONDS = 30.0


@contextlib.contextmanager
def _serve(name: str, tmp: pathlib.Path) -> Iterator[str]:
    if name == "kafka":
        with kafka(tmp) as cluster:
            yield cluster.url
    else:
        with {"minio": minio, "seaweedfs": seaweedfs}[name](tmp) as store:
            yield store.endpoint


def begin() -> bool:
    """Open a run, whose servers end with this process. False if this process is inside a run already."""
    if RUN in os.environ:
        return False
    run = pathlib.Path(tempfile.mkdtemp(prefix="merpati-tests-"))
    (run / "pid").write_text(str(os.getpid()))
    os.environ[RUN] = str(run)
    return True


def end() -> None:
    """Stop the servers of the run and remove its folder."""
    run = pathlib.Path(os.environ.pop(RUN))
    for answer in run.glob("*.json"):
        _end_keeper(json.loads(answer.read_text())["pid"])
    shutil.rmtree(run, ignore_errors=True)


def _end_keeper(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        gone = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGTERM)
            select.select([gone], [], [], END_SECONDS)
        finally:
            os.close(gone)


def where(name: str) -> str:
    """The URL of the shared kafka, or the endpoint of minio or seaweedfs. Raises Missing, in the same words to all."""
    run = pathlib.Path(os.environ[RUN])
    answer = run / f"{name}.json"
    with (run / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            _start_keeper(name, run, answer)
    said = json.loads(answer.read_text())
    if "missing" in said:
        raise Missing(said["missing"])
    if "failed" in said:
        raise RuntimeError(said["failed"])
    return str(said["where"])


def _start_keeper(name: str, run: pathlib.Path, answer: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tests.servers.shared", name, str(run)]
    with (run / f"{name}.keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
        )
    until = time.monotonic() + START_SECONDS
    while not answer.exists():
        if keeper.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{name} could not be started: {(run / f'{name}.keeper.log').read_text()}")
        time.sleep(0.05)


def _say(answer: pathlib.Path, **words: str) -> None:
    whole = answer.with_suffix(".part")
    whole.write_text(json.dumps({"pid": os.getpid(), **words}))
    whole.rename(answer)


def _keep(name: str, run: pathlib.Path) -> None:
    """Hold the server until the run ends: by our SIGTERM, or by the end of its process."""
    answer, run_ends = run / f"{name}.json", os.pidfd_open(int((run / "pid").read_text()))
    asked_to_end, writer = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"."))
    tmp = run / name
    tmp.mkdir()
    try:
        with _serve(name, tmp) as found:
            _say(answer, where=found)
            ready, _, _ = select.select([run_ends, asked_to_end], [], [])
    except Missing as missing:
        _say(answer, missing=str(missing))
        return
    except Exception as failure:
        _say(answer, failed=f"{name} could not be started: {failure}")
        raise
    # Killed runs do not tidy up after themselves.
    if run_ends in ready:
        shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    _keep(sys.argv[1], pathlib.Path(sys.argv[2]))
