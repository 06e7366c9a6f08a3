"""Imports point down: services import merpati, never each other; a foreign library comes in through its own door."""

import ast
from collections.abc import Iterator

import pytest

from tests.shape.tree import PACKAGES, SERVICES, imports, nothing, python_files, tree

# Library → the file, or the folder (ending in /), whose exceptions and quirks stay behind it.
DOORS = {
    "aiokafka": ("merpati/bus/",),
    "aiosmtpd": ("ingest/",),
    "argon2": ("merpati/auth/",),
    "click": ("merpati/cli/",),
    "dns": ("merpati/net/dns_wire.py",),
    "faust": ("processors/runners/stream.py",),
    "jwt": ("merpati/auth/",),
    "kafka": ("merpati/bus/",),
    "minio": ("merpati/objects/",),
    "mode": ("processors/runners/stream.py",),
    "obstore": ("merpati/objects/",),
    "prometheus_client": ("merpati/telemetry.py",),
    "rich": ("merpati/cli/",),
    "structlog": ("merpati/telemetry.py",),
    "typer": ("merpati/cli/",),
}


def forbidden(path: str, module: ast.Module) -> Iterator[str]:
    """What this file imports and may not, in words."""
    home = path.split("/")[0]
    for name, line in imports(module, path):
        top = name.split(".")[0]
        where = f"{path}:{line} imports {name}"
        if home in SERVICES and top in SERVICES and top != home:
            yield f"{where}: a service knows no other service"
        if home == "merpati" and top in SERVICES and not path.startswith("merpati/cli/"):
            yield f"{where}: only merpati/cli knows the services"
        if home in SERVICES and name.startswith("merpati.cli"):
            yield f"{where}: the command line starts the services, not they it"
        if top == "tests":
            yield f"{where}: only tests import tests"
        if top in DOORS and not any(path == door or (door[-1] == "/" and path.startswith(door)) for door in DOORS[top]):
            yield f"{where}: {top} comes in through {' or '.join(DOORS[top])} alone"


def test_imports_point_down_and_libraries_come_in_through_their_doors() -> None:
    seen = [path for path in python_files() if path.split("/")[0] in PACKAGES]
    assert seen
    nothing(words for path in seen for words in forbidden(path, tree(path)))


ALLOWED = [
    ("ingest/edge.py", "from merpati.bus.api import Bus"),
    ("ingest/edge.py", "from . import limits"),
    ("ingest/carrier.py", "import aiosmtpd.smtp"),
    ("merpati/cli/serve.py", "from ingest import service"),
    ("merpati/bus/kafka/producer.py", "import aiokafka"),
    ("merpati/net/dns_wire.py", "import dns.asyncresolver"),
    ("merpati/cli/app.py", "import typer"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_what_is_allowed_is_not_complained_about(path: str, source: str) -> None:
    assert list(forbidden(path, ast.parse(source))) == []


FORBIDDEN = [
    ("ingest/edge.py", "from delivery.local import Local", "a service knows no other service"),
    ("access/imap/session.py", "def f():\n    import processors", "a service knows no other service"),
    (
        "access/imap/session.py",
        "import importlib\nimportlib.import_module('ingest.edge')",
        "a service knows no other service",
    ),
    ("merpati/service.py", "from access.imap import session", "only merpati/cli knows the services"),
    ("merpati/service.py", "from ..ingest import edge", "only merpati/cli knows the services"),
    ("delivery/worker.py", "from merpati.cli import app", "the command line starts the services"),
    ("delivery/worker.py", "from merpati import cli", "the command line starts the services"),
    ("merpati/clock.py", "import tests.servers", "only tests import tests"),
    ("processors/runners/embedded.py", "import faust", "through processors/runners/stream.py alone"),
    ("delivery/worker.py", "from kafka import KafkaConsumer", "through merpati/bus/ alone"),
    ("merpati/net/tls.py", "import dns.resolver", "through merpati/net/dns_wire.py alone"),
    ("merpati/busy.py", "import aiokafka", "through merpati/bus/ alone"),
]


@pytest.mark.parametrize(("path", "source", "reason"), FORBIDDEN)
def test_what_is_forbidden_is_named(path: str, source: str, reason: str) -> None:
    complaints = list(forbidden(path, ast.parse(source)))
    assert len(complaints) == 1
    assert reason in complaints[0]
