"""What a process says of itself: metrics for Prometheus and log lines of key=value.  The one door of both libraries.

Every metric of Merpati is declared here, in one table of attributes; `docs/metrics.md` is held against it by a test.  A
component that counts is handed a `Metrics`; it never makes a metric of its own.  Labels have bounded values: never an
address, a message id or anything else that a stranger can choose.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from merpati import __version__

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one process.  Tests make their own; `Metrics()` shares nothing with another."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.build = self._gauge("merpati_build_info", "Always 1; the version is a label", "version")
        self.build.labels(__version__).set(1)
        self.restarts = self._counter("merpati_task_restarts_total", "Background tasks begun again after a bug", "task")
        self._doors()
        self._messages()
        self._engines()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _doors(self) -> None:
        self.sessions = self._gauge("merpati_sessions", "Open client connections", "protocol")
        self.connections = self._counter(
            "merpati_connections_total", "Connections taken or refused", "protocol", "outcome"
        )
        self.logins = self._counter("merpati_logins_total", "Logins by outcome", "protocol", "outcome")
        self.dismissed = self._counter(
            "merpati_dismissed_sessions_total", "Sessions ended because their account changed", "protocol"
        )
        self.commands = self._counter("merpati_commands_total", "Client commands", "protocol", "command", "outcome")
        self.command_seconds = self._histogram(
            "merpati_command_seconds", "One client command", FAST, "protocol", "command"
        )
        self.accepted = self._counter("merpati_accepted_messages_total", "Messages answered with 250", "door")
        self.accepted_bytes = self._counter(
            "merpati_accepted_bytes_total", "Bytes of messages answered with 250", "door"
        )
        self.refused = self._counter("merpati_refused_commands_total", "SMTP replies of 4yz and 5yz", "door", "code")
        self.accept_seconds = self._histogram("merpati_accept_seconds", "From the final dot to the reply", FAST, "door")

    def _messages(self) -> None:
        self.happened = self._counter(
            "merpati_events_total", "What happened to messages and recipients", "service", "what"
        )
        self.processor_seconds = self._histogram(
            "merpati_processor_seconds", "One processor on one message", FAST, "processor", "outcome"
        )
        self.remote_sessions = self._gauge("merpati_remote_sessions", "Connections to other mail servers")
        self.remote_attempts = self._counter(
            "merpati_remote_attempts_total", "Attempts at relaying by outcome", "outcome"
        )
        self.delivered_seconds = self._histogram(
            "merpati_delivered_seconds", "From acceptance to the end of a recipient", SLOW, "end"
        )

    def _engines(self) -> None:
        self.publish_seconds = self._histogram(
            "merpati_bus_publish_seconds", "One publish until durable", FAST, "outcome"
        )
        self.published = self._counter("merpati_bus_published_records_total", "Records published", "topic")
        self.lag = self._gauge("merpati_bus_lag_records", "Records a group has yet to finish", "group", "topic")
        self.store_seconds = self._histogram(
            "merpati_store_seconds", "Object store requests", FAST, "operation", "outcome"
        )
        self.commit_seconds = self._histogram(
            "merpati_commit_seconds", "Commits to a log, all tries included", FAST, "log", "outcome"
        )
        self.commit_races = self._counter(
            "merpati_commit_races_total", "Commits that another writer was first with", "log"
        )
        self.damaged = self._counter(
            "merpati_damaged_objects_total", "Objects of logs met that are missing or damaged: verify names them", "log"
        )
        self.snapshots = self._counter(
            "merpati_snapshots_total", "Snapshots and compactions after commits, by what came of it", "outcome"
        )
        self.pushes_waiting = self._gauge(
            "merpati_pushes_waiting", "Commits that are still to be made known to other processes"
        )
        self._remembered()
        self._upkeep()

    def _remembered(self) -> None:
        self.mailboxes = self._gauge("merpati_mailboxes", "Mailboxes in memory")
        self.mailbox_bytes = self._gauge(
            "merpati_mailbox_memory_bytes", "What mailboxes in memory take, about: access.memory is the limit"
        )
        self.cache_reads = self._counter(
            "merpati_cache_reads_total", "Reads of immutable objects: a hit is one by the disk cache", "outcome"
        )

    def _upkeep(self) -> None:
        self.upkeep_logs = self._counter(
            "merpati_upkeep_logs_total", "Logs the daily upkeep looked at, by what came of it", "log", "outcome"
        )
        self.upkeep_moved = self._counter("merpati_upkeep_moved_commits_total", "Commits the upkeep moved into packs")
        self.upkeep_removed = self._counter("merpati_upkeep_removed_objects_total", "Objects the upkeep removed")
        self.upkeep_chores = self._counter(
            "merpati_upkeep_chores_total",
            "Work for the installation as a whole, by what came of it",
            "chore",
            "outcome",
        )
        self.upkeep_finished = self._gauge(
            "merpati_upkeep_finished_timestamp_seconds", "When this process last ended a round of upkeep"
        )

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class _StandardError:
    """Standard error as it is at each line.  Where it is closed or full the line is lost: mail does not stop for it."""

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            return


def configure_logging(
    *, json: bool = False, debug: bool = False, quiet: bool = False, stream: TextIO | None = None
) -> None:
    """One line for each fact, on standard error: `time level event key=value …`, or JSON with the same keys.

    `quiet`: only what somebody should do something about.
    """
    level = logging.WARNING if quiet else logging.DEBUG if debug else logging.INFO
    out: Any = stream or _StandardError()
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=out, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
    for noisy in ("kafka", "aiokafka", "faust", "mode"):
        # what matters of it we say ourselves, once, in our words; a broker that is away is no reason for pages of it
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def logger(part: str) -> Any:
    """A log whose lines carry `part` (`ingest`, `delivery/remote`): `logger("ingest").info("accepted", message=id)`."""
    return structlog.get_logger(part=part)
