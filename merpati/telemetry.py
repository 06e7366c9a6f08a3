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
        r: dict[str, Any] = {"registry": self.registry}
        self.build = Gauge("merpati_build_info", "Always 1; the version is a label", ["version"], **r)
        self.build.labels(__version__).set(1)
        self.sessions = Gauge("merpati_sessions", "Open client connections", ["protocol"], **r)
        self.connections = Counter(
            "merpati_connections_total", "Connections taken or refused", ["protocol", "outcome"], **r
        )
        self.logins = Counter("merpati_logins_total", "Logins by outcome", ["protocol", "outcome"], **r)
        self.accepted = Counter("merpati_accepted_messages_total", "Messages answered with 250", ["door"], **r)
        self.accepted_bytes = Counter(
            "merpati_accepted_bytes_total", "Bytes of messages answered with 250", ["door"], **r
        )
        self.refused = Counter("merpati_refused_commands_total", "SMTP replies of 4yz and 5yz", ["door", "code"], **r)
        self.accept_seconds = Histogram(
            "merpati_accept_seconds", "From the final dot to the reply", ["door"], buckets=FAST, **r
        )
        self.happened = Counter(
            "merpati_events_total", "What happened to messages and recipients", ["service", "what"], **r
        )
        self.publish_seconds = Histogram(
            "merpati_bus_publish_seconds", "One publish until durable", ["outcome"], buckets=FAST, **r
        )
        self.published = Counter("merpati_bus_published_records_total", "Records published", ["topic"], **r)
        self.lag = Gauge("merpati_bus_lag_records", "Records a group has yet to finish", ["group", "topic"], **r)
        self.store_seconds = Histogram(
            "merpati_store_seconds", "Object store requests", ["operation", "outcome"], buckets=FAST, **r
        )
        self.commit_seconds = Histogram(
            "merpati_commit_seconds", "Commits to a log, all tries included", ["log", "outcome"], buckets=FAST, **r
        )
        self.commit_races = Counter(
            "merpati_commit_races_total", "Commits that another writer was first with", ["log"], **r
        )
        self.processor_seconds = Histogram(
            "merpati_processor_seconds", "One processor on one message", ["processor", "outcome"], buckets=FAST, **r
        )
        self.remote_sessions = Gauge("merpati_remote_sessions", "Connections to other mail servers", **r)
        self.remote_attempts = Counter(
            "merpati_remote_attempts_total", "Attempts at relaying by outcome", ["outcome"], **r
        )
        self.delivered_seconds = Histogram(
            "merpati_delivered_seconds", "From acceptance to the end of a recipient", ["end"], buckets=SLOW, **r
        )
        self.commands = Counter("merpati_commands_total", "Client commands", ["protocol", "command", "outcome"], **r)
        self.command_seconds = Histogram(
            "merpati_command_seconds", "One client command", ["protocol", "command"], buckets=FAST, **r
        )
        self.restarts = Counter(
            "merpati_task_restarts_total", "Background tasks begun again after a bug", ["task"], **r
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


def configure_logging(*, json: bool = False, debug: bool = False, stream: TextIO | None = None) -> None:
    """One line for each fact, on standard error: `time level event key=value …`, or JSON with the same keys."""
    out = stream or sys.stderr
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
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=out, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)


def logger(part: str) -> Any:
    """A log whose lines carry `part` (`ingest`, `delivery/remote`): `logger("ingest").info("accepted", message=id)`."""
    return structlog.get_logger(part=part)
