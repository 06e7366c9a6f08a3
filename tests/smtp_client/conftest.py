"""Every test here that waits runs on both event loops: asyncio's own, and uvloop, which the services use."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from merpati.clock import SystemClock
from merpati.net.self_signed import CertificateFiles, ensure_self_signed


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return ensure_self_signed(tmp_path_factory.mktemp("tls"), "mx.example.org", SystemClock())
