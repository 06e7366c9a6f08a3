"""The HTTP listener of every process: /metrics, /health/live, /health/ready.

`live` answers as long as the process runs; `ready` asks every service and answers 503 with the reasons if one cannot do
its work now.  It says nothing that a stranger must not know, and takes nothing in.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from merpati.errors import Misconfigured
from merpati.service import Service
from merpati.telemetry import CONTENT_TYPE, Metrics


class Endpoint:
    """A service that tells of the others."""

    name = "http"

    def __init__(self, listen: str, metrics: Metrics, services: Sequence[Service]) -> None:
        self._listen = listen
        self._metrics = metrics
        self._services = services
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        if not self._listen:
            return
        host, _, port = self._listen.rpartition(":")
        application = web.Application(client_max_size=4096)
        application.router.add_get("/metrics", self._serve_metrics)
        application.router.add_get("/health/live", self._serve_live)
        application.router.add_get("/health/ready", self._serve_ready)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host.strip("[]"), int(port))
        try:
            await site.start()
        except OSError as error:
            raise Misconfigured(f"http.listen = {self._listen}: {error.strerror or error}") from None
        self.port = self._runner.addresses[0][1]

    async def stop(self, grace: float) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def ready(self) -> str:
        return ""

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _serve_live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _serve_ready(self, _: web.Request) -> web.Response:
        reasons = {service.name: service.ready() for service in self._services}
        waiting = {name: reason for name, reason in reasons.items() if reason}
        body = {"status": "not ready" if waiting else "ready", "services": sorted(reasons), "waiting": waiting}
        return web.json_response(body, status=503 if waiting else 200)
