"""One server process for the tests: started on a leash, waited for, killed, paused, started again, stopped by its id.

Called by the modules that know a server's command line. Never ends a process that it did not start.
"""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

LEASH = pathlib.Path(__file__).with_name("leash.py")
STOP_SECONDS = 20.0

# The kernel's death signal follows the thread that forked, so one thread that lives as long as the process forks them
# all: a server that a test restarts from a worker thread then stays.
_spawner = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="servers")


class Server:
    """A server with one process id. `ready` is asked until it says yes; it may raise OSError while it is too early."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        log: pathlib.Path,
        ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [os.fspath(part) for part in command]
        self._ready = ready
        self._environment = dict(environment or {})
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        if self.alive:
            raise RuntimeError(f"{self.name} is running already")
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        self._process = _spawner.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        leash = [sys.executable, "-I", "-S", os.fspath(LEASH), str(os.getpid())]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                leash + self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                cwd=self.log.parent,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        until = time.monotonic() + self._start_seconds
        while not self._is_ready():
            if not self.alive:
                raise RuntimeError(f"{self.name} ended while starting; its log ends with:\n{self.log_tail()}")
            if time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.name} is not ready after {self._start_seconds:.0f} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return self._ready()
        except OSError:
            return False

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def kill(self) -> None:
        """SIGKILL, as a power cut for this process and for the children it has."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        self._reap(STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: the process is there, its connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not follow; a stopped server is left alone."""
        if not self.alive:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._reap(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Start again on the same data and port, after kill(), or after a stop() that this does."""
        self.stop()
        self.start()

    def _signal(self, number: int) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def _reap(self, seconds: float) -> None:
        if self._process is not None:
            self._process.wait(seconds)

    def log_since_start(self) -> str:
        """What the server has logged since it was last started."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_begins)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 25) -> str:
        return "\n".join(self.log_since_start().splitlines()[-lines:])
