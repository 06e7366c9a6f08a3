"""Logging: one line a fact, in words or JSON, and a standard error that is gone stops nobody."""

from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from merpati.telemetry import configure_logging, logger


@pytest.fixture(autouse=True)
def as_before():  # type: ignore[no-untyped-def]
    yield
    structlog.reset_defaults()


def test_a_fact_is_one_line_of_keys_and_values() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    logger("ingest").info("accepted", message="m", words="two words\nand a line")
    (line,) = out.getvalue().splitlines()
    assert "event=accepted" in line and "part=ingest" in line and "message=m" in line


def test_the_same_in_json() -> None:
    out = io.StringIO()
    configure_logging(stream=out, json=True)
    logger("ingest").info("accepted", message="m")
    assert json.loads(out.getvalue())["event"] == "accepted"


def test_a_closed_standard_error_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    monkeypatch.setattr(sys, "stderr", gone)
    configure_logging()
    gone.close()
    logger("ingest").info("nobody hears this")
    now = io.StringIO()
    monkeypatch.setattr(sys, "stderr", now)
    logger("ingest").info("heard")
    assert "heard" in now.getvalue()
